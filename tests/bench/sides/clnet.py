"""clnet: `Model.fit`, compiled functions of tensors, `ops`, on data that lies on the device."""

import time
from typing import Any

import nets
import numpy as np

import clnet
from clnet import losses, nn, ops, optim
from clnet.plan import Plan

RECURRENT = {"rnn": nn.SimpleRNN, "gru": nn.GRU, "lstm": nn.LSTM}


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    return {"fit": Training, "predict": Inference, "matmul": Operation, "convolution": Operation}[task["work"]](
        task, arrays
    )


def device_of(task: dict[str, Any]) -> clnet.Device:
    """The device that the side's name ends with (clnet@intel), else the task's, else the best."""
    return clnet.device(task["side"].partition("@")[2] or task["device"] or None)


def layer(part: nets.Part) -> Any:
    if part.kind == "dense":
        return nn.Dense(part["units"], activation=part["activation"])
    if part.kind == "conv":
        return nn.Conv2D(part["filters"], part["size"], padding=part["padding"], activation=part["activation"])
    if part.kind == "depthwise":
        return nn.DepthwiseConv2D(part["size"], padding=part["padding"], use_bias=False)
    if part.kind == "norm":
        return Norm()
    if part.kind == "residual":
        return nn.Residual(nn.Sequential(*map(layer, part.inner)))
    if part.kind == "embedding":
        return nn.Embedding(part["rows"], part["width"])
    if part.kind == "position":
        return nn.PositionEmbedding(part.inputs[0])
    if part.kind == "mean":
        return lambda x: ops.mean(x, axis=tuple(range(1, x.ndim - 1)))
    if part.kind == "encoder":
        gpt = {"activation": "gelu", "norm_first": True, "causal": True} if part["gpt"] else {}
        features, heads = part.inputs[-1], part["heads"]
        return nn.TransformerEncoderLayer(features, heads, feed_forward=part["hidden"], dropout=0.0, **gpt)
    if part.kind in RECURRENT:
        return RECURRENT[part.kind](part["units"], return_sequences=part["sequences"])
    return {"pool": nn.MaxPool2D, "flatten": nn.Flatten, "layer_norm": nn.LayerNorm}[part.kind]()


class Norm(nn.BatchNorm):
    """Batch normalization and ReLU, as one layer of the description."""

    def call(self, x: clnet.Tensor, *, training: bool = False) -> clnet.Tensor:
        return ops.relu(super().call(x, training=training))


def network(task: dict[str, Any], arrays: dict[str, np.ndarray], device: clnet.Device) -> nn.Sequential:
    net = nn.Sequential(*map(layer, nets.parts(task["net"], task["sample"])))
    net.build((None, *task["sample"]), device=device, dtype=arrays["x"].dtype)
    for path, variable in net.trainable_variables().items():
        variable.assign(arrays[path])
    return net


def optimizer(task: dict[str, Any]) -> optim.Optimizer:
    rate = task["learning_rate"]
    if task["optimizer"] == "adam":
        return optim.Adam(learning_rate=rate, epsilon=task["epsilon"])
    return optim.SGD(learning_rate=rate, momentum=0.9 if task["optimizer"] == "momentum" else 0.0)


class Training:
    """Epochs of `Model.fit`; a unit is a step."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.arrays, self.device = task, arrays, device_of(task)
        self.x, self.y = (clnet.tensor(arrays[name], device=self.device) for name in "xy")
        net = network(task, arrays, self.device)
        self.model = clnet.Model(net, task["loss"], optimizer(task), device=self.device, seed=0)
        self.options: dict[str, Any] = {"batch_size": task["batch"], "verbose": 0}

    def check(self) -> list[float]:
        first = [clnet.tensor(self.arrays[name][: self.task["check"]], device=self.device) for name in "xy"]
        history = self.model.fit(*first, epochs=3, shuffle=False, **self.options)
        return [float(loss) for loss in history.history["loss"]]

    def run(self) -> int:
        self.model.fit(self.x, self.y, epochs=1, **self.options)
        return -(-self.x.shape[0] // self.task["batch"])

    def facts(self) -> dict[str, float]:
        """Of a step: launches, whether on one core, and the bytes of its tensors with weights and optimizer's state."""
        net, updates = network(self.task, self.arrays, self.device), optimizer(self.task)
        updates.build(net.trainable_variables())

        def step(xs: Any, ys: Any, rows: Any) -> Any:
            x, y = ops.gather(xs, rows), ops.gather(ys, rows)

            def loss_of() -> Any:
                return getattr(losses, self.task["loss"])(net(x, training=True), y)

            loss, gradients = clnet.value_and_grad(loss_of, wrt=net.trainable_variables())()
            updates.apply(gradients)
            return loss

        rows = clnet.tensor(np.arange(self.task["batch"], dtype=np.int32), device=self.device)
        plan = clnet.compile(step, device=self.device).plan(self.x, self.y, rows)
        held = {**net.variables(), **{f"optimizer/{path}": each for path, each in updates.variables().items()}}
        kept = sum(each.numpy().nbytes for each in held.values())
        return facts_of(plan, repeated=True) | {"bytes": plan.nbytes + kept}


class Inference:
    """The network's outputs for one batch, a tensor in and a tensor out, each waited for."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.device = device_of(task)
        self.x = clnet.tensor(arrays["x"][: task["batch"]], device=self.device)
        self.net = clnet.compile(network(task, arrays, self.device), device=self.device)

    def check(self) -> np.ndarray:
        return self.net(self.x).numpy()

    def run(self) -> int:
        for _ in range(10):
            self.net(self.x)
            self.device.finish()
        return 10

    def facts(self) -> dict[str, float]:
        return facts_of(self.net.plan(self.x), repeated=False)


class Operation:
    """A product or a convolution, forward or a gradient, as a compiled plan replayed."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.device = device_of(task)
        inputs = [clnet.tensor(arrays[name], device=self.device) for name in sorted(arrays)]
        self.function = clnet.compile(getattr(self, task["work"])(task), device=self.device)
        self.result = self.function(*inputs).numpy()
        self.plan = self.function.plan(*inputs)
        self.times = 1
        self.run()  # what is repeated is compiled apart from what is called once
        start = time.perf_counter()
        self.run()
        self.times = max(1, min(200, int(0.05 / (time.perf_counter() - start))))

    @staticmethod
    def matmul(task: dict[str, Any]) -> Any:
        a, b = (each == "T" for each in task["transposes"])
        return lambda x, y: ops.matmul(x, y, transpose_a=a, transpose_b=b)

    @staticmethod
    def convolution(task: dict[str, Any]) -> Any:
        """y(x, w), or the gradient by x or w of sum(dy y), which needs dy alone and the other operand."""

        def forward(x: Any, w: Any) -> Any:
            return ops.convolution(x, w, padding=task["padding"], strides=task["strides"])

        if task["what"] == "forward":
            return lambda dy, w, x: forward(x, w)
        wrt = 1 if task["what"] == "weight" else 0

        def gradient(dy: Any, w: Any, x: Any) -> Any:
            return clnet.value_and_grad(lambda x, w: ops.sum(forward(x, w) * dy), wrt=wrt)(x, w)[1]

        return gradient

    def check(self) -> np.ndarray:
        return self.result

    def run(self) -> int:
        self.plan.replay(self.times)
        self.device.finish()
        return self.times

    def facts(self) -> dict[str, float]:
        return facts_of(self.plan, repeated=True)


def facts_of(plan: Plan, *, repeated: bool) -> dict[str, float]:
    """Bytes, and kernels enqueued for one run: where plans are joined one, which runs it as often as it is told."""
    launches = plan.launches if not plan.device.joins else 0 if repeated else 1
    return {"launches": launches, "bytes": plan.nbytes}
