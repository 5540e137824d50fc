"""What is compared, as data: networks with their batches, optimizers and data, and the ratios that are wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nets
import numpy as np
from nets import Layer, conv, dense, embedding, encoder, flatten, layer_norm, mean, mlp, norm, pool, position, recurrent

RATES = {"sgd": 1e-3, "momentum": 1e-3, "adam": 1e-4}  # small: rounding must not grow in the curves compared
SLOTS = {"sgd": 0, "momentum": 1, "adam": 2}  # arrays like the weights that an optimizer keeps
EPSILON = 1e-10  # of Adam: so small that it does not matter where in the formula a framework adds it
EPOCH = 2e10  # floating-point operations of an epoch, about


@dataclass(frozen=True)
class Workload:
    """A network that learns ("fit", a unit is a step) or answers ("predict", a unit is a batch)."""

    name: str
    net: Sequence[Layer]
    sample: tuple[int, ...]  # the shape of one input
    batch: int
    optimizer: str = "adam"
    wanted: float = 1.0  # the best peer's time over clnet's: at least, and worth aiming at
    aim: float = 2.0
    loss: str = "softmax_cross_entropy"
    data: str = "normal"  # or "black": mostly 0, as MNIST is; "tokens"
    work: str = "fit"
    rest: int = 0  # samples in a last, incomplete batch

    @property
    def label(self) -> str:
        return f"{self.name}, batch {self.batch}, {self.optimizer if self.work == 'fit' else 'inference'}"

    @property
    def parts(self) -> tuple[nets.Part, ...]:
        return nets.parts(self.net, self.sample)

    @property
    def is_mlp(self) -> bool:
        """Whether it is a classifier of dense layers that NumPy by hand and scikit-learn do in reasonable time."""
        is_classifier = self.loss == "softmax_cross_entropy" and self.operations < 2e9
        return is_classifier and all(part.kind == "dense" for part in self.parts)

    @property
    def is_small(self) -> bool:
        """Whether a step takes less than about a millisecond."""
        return self.operations < 1e8

    @property
    def sides(self) -> list[str]:
        names = ["clnet", "torch", "torch.compile", "jax"]
        names += ["torch.channels_last"] * (len(self.sample) == 3) + ["numpy"] * self.is_mlp
        if self.work == "fit":
            names += ["jax.scan"] * self.is_small + ["sklearn"] * self.is_mlp
        return names

    @property
    def operations(self) -> float:
        """Floating-point operations of a unit: products forward, and for each its two gradients, but the data's."""
        forward = sum(part.multiply_adds for part in nets.flat(self.parts))
        if self.work == "predict":
            return 2.0 * self.batch * forward
        return 2.0 * self.batch * (3 * forward - self.parts[0].by_input)

    @property
    def bytes(self) -> float:
        """What a unit moves if nothing is moved twice: weights and moments read and written, outputs of layers too."""
        every = list(nets.flat(self.parts))
        weights = sum(math.prod(shape) for part in every for shape in part.weights.values())
        outputs = math.prod(self.sample) + 2 * sum(math.prod(part.outputs) for part in every)
        if self.work == "predict":
            return 4.0 * (weights + self.batch * outputs)
        return 4.0 * (2 * weights * (1 + SLOTS[self.optimizer]) + self.batch * outputs)

    @property
    def steps(self) -> int:
        return min(max(4, int(EPOCH / self.operations)), max(8, 20_000 // self.batch))

    def task(self, device: str) -> dict[str, Any]:
        """What the sides are told."""
        checked = min(50, max(2, self.steps // 4)) * self.batch + self.rest
        kept = {name: getattr(self, name) for name in ("net", "sample", "batch", "optimizer", "loss", "work")}
        return {**kept, "learning_rate": RATES[self.optimizer], "epsilon": EPSILON, "check": checked, "device": device}

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Inputs, the first weights, and targets of which half can be learned.

        The other half keeps the loss from nearing 0, where denormal gradients would be what is timed: 2,700 against
        600 us a step of PyTorch's Adam.
        """
        random = np.random.default_rng(seed)
        samples, outputs = self.steps * self.batch + self.rest, self.parts[-1].outputs
        if self.data == "tokens":
            x = random.integers(0, self.net[0]["rows"], (samples, *self.sample)).astype(np.int32)
        elif self.data == "black":
            x = random.random((samples, *self.sample), np.float32)
            x *= random.random(x.shape, np.float32) < 0.2
        else:
            x = random.standard_normal((samples, *self.sample), np.float32)
        y = x if self.loss == "mean_squared_error" else _labels(x, outputs, random)
        return {"x": x, "y": y, **nets.initial(self.parts, random)}


def _labels(x: np.ndarray, outputs: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Half of them what a linear teacher says of the input, or the step's token; the others drawn."""
    if len(outputs) > 1:
        y = (7 * x + 3) % outputs[-1]
    elif x.dtype == np.int32:
        y = np.argmax(random.standard_normal((x.max() + 1, outputs[0]))[x].mean(axis=1), axis=1)
    else:
        rows = x.reshape(len(x), -1)
        y = np.argmax((rows - rows.mean()) @ random.standard_normal((rows.shape[1], outputs[0]), np.float32), axis=1)
    return np.where(random.random(y.shape) < 0.5, y, random.integers(0, outputs[-1], y.shape)).astype(np.int32)


def dense_net(
    sizes: Sequence[int], batch: int, optimizer: str, wanted: float = 1.0, aim: float = 2.0, **options: Any
) -> Workload:
    """A classifier of dense layers."""
    activation = options.pop("activation", "relu")
    net, name = mlp(*sizes[1:], activation=activation), "-".join(map(str, sizes))
    return Workload(name, net, (sizes[0],), batch, optimizer, wanted, aim, data="black", **options)


NIELSEN = [
    *(conv(20, 5, activation="relu"), pool(), conv(40, 5, activation="relu"), pool()),
    *(flatten(), dense(100, "relu"), dense(10)),
]
CIFAR = [
    *(conv(32, 3, padding=1), norm(), conv(32, 3, padding=1), norm(), pool()),
    *(conv(64, 3, padding=1), norm(), conv(64, 3, padding=1), norm(), pool()),
    *(flatten(), dense(256, "relu"), dense(10)),
]
BLOCK = nets.residual(conv(16, 3, padding=1), norm(), conv(16, 3, padding=1), norm())
SEPARABLE = [
    *(conv(32, 3, padding=1), norm(), nets.depthwise(3, padding=1), norm(), conv(64, 1), norm(), pool()),
    *(nets.depthwise(3, padding=1), norm(), conv(128, 1), norm(), mean(), dense(10)),
]
SIGMOID = {"activation": "sigmoid"}

TABLE = [
    dense_net((784, 30, 10), 10, "sgd", 3.0, 5, **SIGMOID),
    dense_net((784, 30, 10), 10, "adam", 3.0, 5, **SIGMOID),
    dense_net((784, 100, 10), 10, "sgd", 2.0, 4, **SIGMOID),
    dense_net((784, 100, 10), 10, "adam", 2.5, 4, **SIGMOID),
    dense_net((784, 128, 10), 64, "sgd", 2.0, 3),
    dense_net((784, 128, 10), 64, "adam", 2.0, 3),
    dense_net((784, 512, 512, 10), 128, "sgd", 1.2, 1.4),
    dense_net((784, 512, 512, 10), 128, "adam", 1.3, 1.5),
    dense_net((784, 1024, 1024, 10), 128, "sgd", 1.1, 1.2),
    dense_net((784, 1024, 1024, 10), 128, "adam", 1.15, 1.3),
    dense_net((784, 2048, 2048, 10), 512, "sgd", 0.95, 1.05),
    dense_net((784, 2048, 2048, 10), 512, "adam", 1.15, 1.25),
    Workload("conv-20, conv-40, 100, 10", NIELSEN, (28, 28, 1), 10, "sgd", 3.0, 5),
    Workload("conv-20, conv-40, 100, 10", NIELSEN, (28, 28, 1), 64, "sgd", 2.2, 4),
    Workload("CIFAR network", CIFAR, (32, 32, 3), 64, "sgd", 1.3, 1.8),
    Workload("LSTM 128, 64 steps of 64", [recurrent("lstm", 128), dense(10)], (64, 64), 32, "adam", 1.2, 1.7),
    Workload("GRU 128, 64 steps of 64", [recurrent("gru", 128), dense(10)], (64, 64), 32, "adam", 2.2, 3.5),
    Workload(
        "transformer encoder 4 x 128", [*[encoder(4, 512)] * 4, mean(), dense(10)], (128, 128), 16, "adam", 1.3, 1.7
    ),
    dense_net((784, 100, 10), 1, "sgd", 1.3, 2, work="predict"),
    dense_net((784, 100, 10), 256, "sgd", 1.0, 1.3, work="predict"),
]
FURTHER = [
    dense_net((300, 777, 33, 5), 100, "momentum"),
    dense_net((16, 48, 48, 48, 48, 3), 50, "adam"),
    dense_net((1000, 1500, 20), 250, "adam"),
    dense_net((784, 45, 10), 17, "sgd", rest=8),
    Workload(
        "autoencoder 784-256-32-256-784", mlp(256, 32, 256, 784), (784,), 64, loss="mean_squared_error", data="black"
    ),
    Workload("residual, 3 x two conv-16", [conv(16, 3, padding=1), *[BLOCK] * 3, mean(), dense(10)], (32, 32, 3), 32),
    Workload("depthwise-separable 32-64-128", SEPARABLE, (32, 32, 3), 32),
    Workload(
        "stacked GRU 2 x 96, 40 steps of 32",
        [recurrent("gru", 96, sequences=True), recurrent("gru", 96), dense(10)],
        (40, 32),
        20,
    ),
    Workload(
        "embedding 10,000 x 64, mean, 32, 2",
        [embedding(10_000, 64), mean(), dense(32, "relu"), dense(2)],
        (50,),
        256,
        data="tokens",
    ),
    Workload(
        "GPT 2 x 64, 64 tokens",
        [embedding(65, 64), position(), *[encoder(4, 256, gpt=True)] * 2, layer_norm(), dense(65)],
        (64,),
        32,
        data="tokens",
    ),
]


def drawn(seed: int) -> list[Workload]:
    """Four classifiers of dense layers, sizes and batches that nobody chose, named "drawn ..."."""
    random = np.random.default_rng(seed)

    def size(least: int, most: int) -> int:
        return int(np.exp(random.uniform(np.log(least), np.log(most))))

    found = []
    for optimizer in ("sgd", "momentum", "adam", "adam"):
        hidden = [size(8, 1500) for _ in range(random.integers(1, 4))]
        sizes = size(8, 1500), *hidden, size(2, 100)
        work = dense_net(sizes, size(4, 500), optimizer)
        found.append(replace(work, name=f"drawn {work.name}"))
    return found


class Grown(Workload):
    """A workload of clnet alone, named by the size that grows."""

    @property
    def label(self) -> str:
        return self.name

    @property
    def sides(self) -> list[str]:
        return ["clnet"]


ODD = (65, 100, 127, 129, 200, 257, 333, 500, 513, 777, 1025, 1500, 2049, 3000, 4095)
GROWING = sorted({1, 2, 4, 8, 16, 17, 31, 32, 48, 64, *ODD, *(-(-n // 16) * 16 for n in ODD), 1024, 2048, 4096})


def grown() -> list[Workload]:
    """784-128-10 by batch, and 784-n-n-10 at batch 64 by width n, from 16 on."""
    batches = [Grown(f"batch {n}", mlp(128, 10), (784,), n, "sgd", data="black") for n in GROWING]
    return batches + [Grown(f"width {n}", mlp(n, n, 10), (784,), 64, "sgd", data="black") for n in GROWING if n >= 16]


def cliffs(times: Mapping[str, float | None]) -> Iterator[tuple[str, str, float]]:
    """(size, its next multiple of 16, ratio) where a size from 64 on takes more than 1.5 times as long as the other."""
    for name, time in times.items():
        kind, size = name.split()
        other = f"{kind} {-(-int(size) // 16) * 16}"
        if int(size) >= 64 and time and times.get(other) and time > 1.5 * times[other]:
            yield name, other, time / times[other]
