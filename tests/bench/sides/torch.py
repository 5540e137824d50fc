"""PyTorch as its tutorials write it: eager; with channels last; under torch.compile; with its fused optimizers."""

import os
from typing import Any

import numpy as np
import torch
from sides.torch_memory import peak
from sides.torch_nets import network
from torch import nn

torch.set_num_threads(len(os.sched_getaffinity(0)))


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    return {"fit": Training, "predict": Inference, "matmul": Operation, "convolution": Operation}[task["work"]](
        task, arrays
    )


def optimizer(task: dict[str, Any], net: nn.Module) -> torch.optim.Optimizer:
    options = {"lr": task["learning_rate"], "fused": True if task["side"] == "torch.fused" else None}
    learning = [each for each in net.parameters() if each.requires_grad]
    if task["optimizer"] == "adam":
        return torch.optim.Adam(learning, eps=task["epsilon"], **options)
    return torch.optim.SGD(learning, momentum=0.9 if task["optimizer"] == "momentum" else 0.0, **options)


def inputs(task: dict[str, Any], x: np.ndarray) -> torch.Tensor:
    """Pictures with their channels first; in memory too, unless the side is that of channels last."""
    if x.ndim < 4:
        return torch.from_numpy(x)
    pictures = torch.from_numpy(x).permute(0, 3, 1, 2)
    return pictures if task["side"] == "torch.channels_last" else pictures.contiguous()


class Training:
    """Epochs of steps written out; a unit is a step."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, inputs(task, arrays["x"]), torch.from_numpy(arrays["y"])
        self.y = self.y if self.y.is_floating_point() else self.y.long()
        self.net = network(task, arrays)
        self.loss = nn.MSELoss() if task["loss"] == "mean_squared_error" else nn.CrossEntropyLoss()
        self.optimizer = optimizer(task, self.net)
        self.step = torch.compile(self._step) if task["side"] == "torch.compile" else self._step

    def check(self) -> list[float]:
        order = torch.arange(self.task["check"])
        return [self._epoch(order) for _ in range(3)]

    def run(self) -> int:
        self._epoch(torch.randperm(len(self.x)))
        return -(-len(self.x) // self.task["batch"])

    def facts(self) -> dict[str, float]:
        """The most bytes of tensors that are alive at once in a step, the data set's not counted."""
        return {"bytes": peak(lambda: self._step(torch.arange(self.task["batch"])), self.net, self.optimizer)}

    def _epoch(self, order: torch.Tensor) -> float:
        total = torch.zeros(())
        for indices in order.split(self.task["batch"]):
            total += self.step(indices) * len(indices)
        return float(total) / len(order)

    def _step(self, indices: torch.Tensor) -> torch.Tensor:
        x, y = self.x.index_select(0, indices), self.y.index_select(0, indices)
        self.optimizer.zero_grad()
        predictions = self.net(x)
        loss = (
            self.loss(predictions.flatten(0, -2), y.flatten()) if predictions.ndim == 3 else self.loss(predictions, y)
        )
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class Inference:
    """The network's outputs for one batch."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.x = inputs(task, arrays["x"][: task["batch"]])
        self.net = network(task, arrays).eval()
        self.call = torch.compile(self.net) if task["side"] == "torch.compile" else self.net

    def check(self) -> np.ndarray:
        with torch.inference_mode():
            return self.call(self.x).numpy()

    def run(self) -> int:
        with torch.inference_mode():
            for _ in range(10):
                self.call(self.x)
        return 10


class Operation:
    """A product or a convolution, forward or a gradient."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.values = task, {name: torch.from_numpy(value) for name, value in arrays.items()}
        if task["work"] == "convolution":
            self.values["w"] = self.values["w"].permute(3, 2, 0, 1)
            self.values = {
                name: self._laid(v if name == "w" else v.permute(0, 3, 1, 2)) for name, v in self.values.items()
            }
        self.call = self._product if task["work"] == "matmul" else self._convolution

    def _laid(self, value: torch.Tensor) -> torch.Tensor:
        last = self.task["side"] == "torch.channels_last"
        return value.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    def _product(self) -> torch.Tensor:
        a, b = self.values["a"], self.values["b"]
        flip_a, flip_b = (each == "T" for each in self.task["transposes"])
        return (a.T if flip_a else a) @ (b.T if flip_b else b)

    def _convolution(self) -> torch.Tensor:
        x, w, dy = (self.values[name] for name in ("x", "w", "dy"))
        sizes = {"stride": self.task["strides"], "padding": self.task["padding"]}
        if self.task["what"] == "forward":
            return nn.functional.conv2d(x, w, **sizes)
        wanted = (self.task["what"] == "input", self.task["what"] == "weight", False)
        lists = [[sizes[name]] * 2 for name in ("stride", "padding")]
        found = torch.ops.aten.convolution_backward(dy, x, w, None, *lists, [1, 1], False, [0, 0], 1, wanted)
        return found[0 if wanted[0] else 1]

    def check(self) -> np.ndarray:
        y = self.call()
        order = (2, 3, 1, 0) if self.task.get("what") == "weight" else (0, 2, 3, 1)
        return (y.permute(order) if y.ndim == 4 else y).numpy()

    def run(self) -> int:
        for _ in range(10):
            self.call()
        return 10
