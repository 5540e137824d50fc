"""Schedules: the learning rate as a function of the number of steps done, computed on the device.

An optimizer takes a schedule in place of a number: `optim.SGD(learning_rate=schedules.CosineDecay(0.1, 5000))`. It is
part of the step, so nothing is read or written by the host. Counts may be of epochs instead: the callback
`LearningRateScheduler` takes the same schedules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clnet import ops
from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.tensor import Tensor, tensor

__all__ = ["Constant", "CosineDecay", "ExponentialDecay", "OneCycle", "Schedule", "StepDecay"]


class Schedule:
    """Learning rate, float32 (), of a count, float32 (), which is 0 at the first step: a function of tensors."""

    def __call__(self, count: Tensor) -> Tensor:
        raise NotImplementedError

    def at(self, count: int, *, device: Device) -> float:
        """The rate at this count, computed on the device now."""
        return float(self(tensor(np.float32(count), device=device)))


@dataclass(frozen=True)
class Constant(Schedule):
    """rate"""

    rate: float

    def __call__(self, count: Tensor) -> Tensor:
        return count * 0 + self.rate


@dataclass(frozen=True)
class StepDecay(Schedule):
    """rate * factor ** floor(count / every)"""

    rate: float
    every: int
    factor: float = 0.5

    def __post_init__(self) -> None:
        _positive(self, every=self.every, factor=self.factor)

    def __call__(self, count: Tensor) -> Tensor:
        steps = ops.floor((count + 0.5) / self.every)  # OpenCL's division may fall short of a whole number
        decayed: Tensor = self.rate * ops.exp(steps * math.log(self.factor))
        return decayed


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """rate * factor ** (count / every)"""

    rate: float
    every: int
    factor: float = 0.5

    def __post_init__(self) -> None:
        _positive(self, every=self.every, factor=self.factor)

    def __call__(self, count: Tensor) -> Tensor:
        decayed: Tensor = self.rate * ops.exp(count * (math.log(self.factor) / self.every))
        return decayed


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """From rate down half a cosine to lowest, in `decay` counts; before that a line from 0 to rate in `warmup` counts.

    Loshchilov and Hutter 2017 without restarts; Goyal et al. 2017 for the warm-up, whose first step has rate / warmup.
    """

    rate: float
    decay: int
    warmup: int = 0
    lowest: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, decay=self.decay)

    def __call__(self, count: Tensor) -> Tensor:
        angle = ops.clip((count - self.warmup) / self.decay, 0.0, 1.0) * math.pi
        fall = self.lowest + (self.rate - self.lowest) * 0.5 * (1 + cosine(angle))
        if not self.warmup:
            return fall
        return ops.where(count < self.warmup, (count + 1) * (self.rate / self.warmup), fall)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """From rate / divide up half a cosine to rate, in `warmup` of `total` counts, and down another to rate / final.

    Smith and Topin 2018 (arXiv:1708.07120); as PyTorch's `OneCycleLR`, whose last count is total - 1.
    """

    rate: float
    total: int
    warmup: float = 0.3
    divide: float = 25.0
    final: float = 25e4

    def __post_init__(self) -> None:
        _positive(self, total=self.total - 1, divide=self.divide, final=self.final)
        if not 0 < self.warmup < 1:
            raise ArgumentError(f"OneCycle: warmup is {self.warmup}, wants a part of the counts, 0 < warmup < 1")

    def __call__(self, count: Tensor) -> Tensor:
        top = self.warmup * self.total - 1
        up = _between(self.rate / self.divide, self.rate, count / max(top, 1e-9))
        down = _between(self.rate, self.rate / self.final, (count - top) / (self.total - 1 - top))
        return ops.where(count < top, up, down)


def _between(start: float, end: float, part: Tensor) -> Tensor:
    """Half a cosine from start to end as part goes from 0 to 1, and what it was there on both sides."""
    way: Tensor = end + (start - end) * 0.5 * (1 + cosine(ops.clip(part, 0.0, 1.0) * math.pi))
    return way


cosine = ops.elementwise("cosine", "cos(x)", "-dy * sin(x)")


def _positive(schedule: Schedule, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ArgumentError(f"{type(schedule).__name__}: {name} is {value}, wants a number above 0")
