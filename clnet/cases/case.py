"""Case: a row of the op table, and the shapes and functions that rows share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clnet.tensor import tensor

Array = npt.NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]  # one an input


@dataclass(frozen=True)
class Case:
    """One row. `low`, `high`: the range of the inputs; `length`: the numbers that one result adds up, by its inputs."""

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Array]
    shapes: Sequence[Shapes]
    low: float = -2.0
    high: float = 2.0
    gradient: bool = True
    length: Callable[..., int] = lambda *shapes: 1

    def inputs(self, shapes: Shapes, dtype: npt.DTypeLike, seed: int = 0) -> list[Array]:
        """Arrays of these shapes, the same for every device."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        return [rng.uniform(self.low, self.high, shape).astype(dtype) for shape in shapes]


def tolerance(dtype: npt.DTypeLike, length: int = 1) -> float:
    """How far a result may be from the exact one, relative to the largest; grows with the root of a sum's length.

    float32 has 2^-24, an elementary function is within 4 units of that, and a chain of them loses some more.
    """
    return float(np.finfo(np.dtype(dtype)).eps) * 16 * (1 + math.sqrt(length))


# An odd shape, a single element, more than a work-group and a tile, nothing. Broadcasting has tests of its own.
ONE: list[Shapes] = [((3, 5),), ((1,),), ((37, 129),), ((0, 4),)]
TWO: list[Shapes] = [((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((0, 4), (4,))]
AXES: list[Shapes] = [((3, 5),), ((1, 1),), ((37, 129),), ((2, 40, 17),)]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))"""
    return 1 / (1 + np.exp(-x))


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x))"""
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = powers / powers.sum(axis=axis, keepdims=True)
    return result


def captured(like: Any, values: Any) -> Any:
    """Values on the device of a tensor; in a trace they are captured."""
    return tensor(np.asarray(values), device=like.device)
