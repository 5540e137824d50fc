"""Averaging: running means of weights, which often judge better than the last ones."""

from __future__ import annotations

from dataclasses import dataclass

from clnet import ops
from clnet.errors import ArgumentError
from clnet.tensor import Tensor


class Averaging:
    """average <- average + share (weight - average) after each step."""

    def share(self, done: Tensor) -> Tensor:
        """Of the new weights in the mean, a scalar; `done`: steps before this one."""
        raise NotImplementedError


@dataclass(frozen=True)
class EMA(Averaging):
    """average <- decay average + (1 - decay) weight, from the weights after the first step."""

    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ArgumentError(f"EMA: decay is {self.decay}, wants 0 <= decay < 1")

    def share(self, done: Tensor) -> Tensor:
        return ops.where(done < 0.5, 1.0, 1 - self.decay)


@dataclass(frozen=True)
class SWA(Averaging):
    """The mean of the weights after step `start`, and every so many steps from there; before, the weights themselves.

    Give the steps of an epoch as `every`, as in Izmailov et al. 2018 (arXiv:1803.05407).
    """

    start: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        if self.start < 0 or self.every < 1:
            raise ArgumentError(f"SWA: start is {self.start}, every is {self.every}; want 0 and 1 or more")

    def share(self, done: Tensor) -> Tensor:
        since = done - self.start
        taken = ops.floor((since + 0.5) / self.every)  # OpenCL's division may fall short of a whole number
        is_one = ops.logical_or(since < 0, ops.equal(taken * self.every, since))
        return ops.where(is_one, 1 / (ops.maximum(taken, 0.0) + 1), 0.0)
