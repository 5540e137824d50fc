"""Line: all weights as one vector that moves along a direction, and the search for where to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from clnet import ops
from clnet.compiled import compile, value_and_grad
from clnet.tensor import Tensor
from clnet.variable import Variable

FALL = 1e-4  # of what the slope promises, at least (Armijo); Nocedal and Wright 2006, section 3.1
NOISE = 8  # units of rounding that a loss may rise by: near the minimum the slope knows more (Hager and Zhang 2005)
TRIALS = 30  # of a line search: after as many halvings nothing is left of a step


@dataclass(frozen=True)
class Place:
    """A point on the line: its distance, the loss there, its slope along the line, the gradient's norm."""

    t: float
    loss: float
    slope: float
    norm: float


class Line:
    """start + t direction, vectors of all weights; `gradient`: at the last point looked at, `before`: at the start."""

    def __init__(self, function: Callable[[], Tensor], variables: Mapping[str, Variable]) -> None:
        self.function, self.variables, self.evaluations = function, variables, 0
        first = next(iter(variables.values()))
        self.size, self.dtype, self.device = sum(each.size for each in variables.values()), first.dtype, first.device
        self.start, self.direction, self.gradient, self.before = (self.vector() for _ in range(4))
        self._move = compile(self._moved, device=self.device)
        self._look = compile(self._looked, device=self.device)
        compile(lambda: self.start.assign(self.flat(variables)), device=self.device)()

    def vector(self, *rows: int) -> Variable:
        """Zeros, one a weight."""
        return Variable(np.zeros((*rows, self.size), self.dtype), device=self.device, trainable=False)

    def flat(self, nest: Mapping[str, Tensor]) -> Tensor:
        """One vector of what the weights, or tensors of their shapes, hold."""
        return ops.concatenate([ops.reshape(nest[path], (-1,)) for path in self.variables], axis=0)

    def parts(self, vector: Tensor) -> dict[str, Tensor]:
        """The vector as tensors of the weights' shapes."""
        pieces = ops.split(vector, [each.size for each in self.variables.values()], axis=0)
        named = zip(self.variables.items(), pieces, strict=True)
        return {path: ops.reshape(piece, variable.shape) for (path, variable), piece in named}

    def at(self, t: float) -> Place:
        """Put the weights there and look."""
        self._move(np.asarray(t, self.dtype))
        self.evaluations += 1
        loss, slope, square = (float(each) for each in self._look())
        return Place(t, loss, slope, math.sqrt(square) if square >= 0 else math.nan)

    def search(self, loss: float, slope: float, t: float, flatter: float) -> Place | None:
        """A point where the loss has fallen and the line has become flat enough; None if there is none to be found.

        The zero of the slope is looked for by secants inside a bracket, which find a parabola's at once.
        """
        low, high = Place(0.0, loss, slope, math.nan), None
        noise = NOISE * float(np.finfo(self.dtype).eps) * abs(loss)
        for _ in range(TRIALS if slope < 0 else 0):
            there = self.at(t)
            if not there.loss <= loss + FALL * t * slope + noise or there.slope > -flatter * slope:
                high = there
            elif there.slope < flatter * slope:
                low = there
            else:
                return there
            t = _next(low, high, t)
        if low.t > 0:
            return self.at(low.t)
        self.at(0.0)
        return None

    def _moved(self, t: Tensor) -> None:
        for path, value in self.parts(self.start + t * self.direction).items():
            self.variables[path].assign(value)

    def _looked(self) -> tuple[Tensor, Tensor, Tensor]:
        loss, found = value_and_grad(self.function, wrt=self.variables)()
        gradient = self.flat(found)
        self.gradient.assign(gradient)
        return loss, ops.sum(gradient * self.direction), ops.sum(ops.square(gradient))


def _next(low: Place, high: Place | None, t: float) -> float:
    """The distance to try after t: between the places, or beyond both."""
    if high is None:
        return 4 * t
    width, rise = high.t - low.t, high.slope - low.slope
    part = -low.slope / rise if math.isfinite(rise) and high.slope > 0 else 0.5
    return low.t + width * min(max(part, 0.1), 0.9)
