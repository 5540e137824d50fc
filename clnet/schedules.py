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

__all__ = ["Constant", "CosineDecay", "ExponentialDecay", "Schedule", "StepDecay"]


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


cosine = ops.elementwise("cosine", "cos(x)", "-dy * sin(x)")


def _positive(schedule: Schedule, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ArgumentError(f"{type(schedule).__name__}: {name} is {value}, wants a number above 0")
