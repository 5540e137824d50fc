"""Directions: where to go from here, by what earlier steps, or products with the Hessian, say of the curvature."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import Gradients, compile, hvp
from clnet.optim.line import Line
from clnet.tensor import Tensor

PRODUCTS = 50  # with the Hessian, for a step of Newton's


class Rule:
    """Chooses the direction of the next line from what earlier ones have taught."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.knows = False
        self._accept = compile(self._accepted, device=line.device)

    def aim(self) -> float:
        """Set the direction; gives the slope along it."""
        raise NotImplementedError

    def trial(self, norm: float) -> float:
        """The distance to try first: the whole step, or one of length 1 along a bare gradient."""
        return 1.0 if self.knows else min(1.0, 1 / norm)

    def learn(self, t: float) -> None:
        """The search has gone so far."""
        self._accept(np.asarray(t, self.line.dtype))
        self.knows = True

    def forget(self) -> None:
        """Begin again with the gradient."""
        self.knows = False

    def _accepted(self, t: Tensor) -> None:
        self.line.start.assign(self.line.start + t * self.line.direction)


class LBFGS(Rule):
    """Two loops over the last steps s and changes of the gradient y, in the coefficients of a basis.

    d is a sum of s, y and g; its coefficients follow from their products with each other, so that an iteration is two
    matrix products of (2 history + 1, weights), whatever the history (Chen, Wang, Zhou 2014, "vector-free L-BFGS").
    """

    def __init__(self, line: Line, history: int) -> None:
        super().__init__(line)
        self.history, self.count = history, 0
        self.steps, self.changes = line.vector(history), line.vector(history)
        self._products = compile(self._multiplied, device=line.device)
        self._combine = compile(self._combined, device=line.device)
        self._push = compile(self._pushed, device=line.device)

    def aim(self) -> float:
        products = self._products().numpy().astype(np.float64)
        weights = self._two_loops(products)
        self._combine(weights[None].astype(self.line.dtype))
        return float(weights @ products[:, -1])

    def learn(self, t: float) -> None:
        self._push(np.asarray(t, self.line.dtype), np.int32(self.count % self.history).reshape(()))
        self.count += 1
        super().learn(t)

    def forget(self) -> None:
        self.count = 0
        super().forget()

    def _two_loops(self, products: NDArray[np.float64]) -> NDArray[np.float64]:
        m = self.history
        weights = np.zeros(2 * m + 1)
        weights[-1] = -1.0
        recent = [each % m for each in range(max(0, self.count - m), self.count)]
        recent = [each for each in recent if products[each, m + each] > 0]
        shares = {}
        for each in reversed(recent):
            shares[each] = weights @ products[each] / products[each, m + each]
            weights[m + each] -= shares[each]
        if recent:
            last = recent[-1]
            weights *= products[last, m + last] / products[m + last, m + last]
        for each in recent:
            weights[each] += shares[each] - weights @ products[m + each] / products[each, m + each]
        return weights

    def _basis(self) -> Tensor:
        gradient = ops.reshape(self.line.gradient, (1, -1))
        return ops.concatenate([self.steps, self.changes, gradient], axis=0)

    def _multiplied(self) -> Tensor:
        return ops.matmul(self._basis(), self._basis(), transpose_b=True)

    def _combined(self, weights: Tensor) -> None:
        self.line.direction.assign(ops.reshape(ops.matmul(weights, self._basis()), (-1,)))
        self.line.before.assign(self.line.gradient)

    def _pushed(self, t: Tensor, row: Tensor) -> None:
        mine = ops.equal(ops.reshape(ops.arange(self.history), (-1, 1)), row)
        self.steps.assign(ops.where(mine, t * self.line.direction, self.steps))
        self.changes.assign(ops.where(mine, self.line.gradient - self.line.before, self.changes))


class Conjugate(Rule):
    """d <- -g + b d, b = max(g.(g - g before) / |g before| squared, 0). Polak and Ribiere 1969."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._turn = compile(self._turned, device=line.device)
        self._last = 0.0

    def aim(self) -> float:
        slope = float(self._turn(np.asarray(self.knows, self.line.dtype)))
        if slope >= 0 and self.knows:  # not downhill: the gradient is
            self.forget()
            slope = float(self._turn(np.asarray(0, self.line.dtype)))
        self._ahead, self._last = (self._last / slope if slope else 0.0), slope
        return slope

    def trial(self, norm: float) -> float:
        """As much fall at first sight as in the step before."""
        return self._reached * self._ahead if self.knows else super().trial(norm)

    def learn(self, t: float) -> None:
        self._reached = t
        super().learn(t)

    def _turned(self, keep: Tensor) -> Tensor:
        line = self.line
        change, square = ops.sum(line.gradient * (line.gradient - line.before)), ops.sum(ops.square(line.before))
        share = ops.where(keep > 0, ops.maximum(change / square, 0.0), 0.0)
        direction = share * line.direction - line.gradient
        line.direction.assign(direction)
        line.before.assign(line.gradient)
        return ops.sum(direction * line.gradient)


class Newton(Rule):
    """H d = -g, by conjugate gradients: as exactly as |g| deserves, and as far as the curvature is positive."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.knows = True
        self.rest, self.ahead, self.curved = line.vector(), line.vector(), line.vector()
        self._begin = compile(self._begun, device=line.device)
        self._curve = compile(self._multiplied, device=line.device)
        self._go = compile(self._gone, device=line.device)
        self._slope = compile(lambda: ops.sum(line.gradient * line.direction), device=line.device)
        self._downhill = compile(lambda: line.direction.assign(-line.gradient), device=line.device)

    def aim(self) -> float:
        first = square = float(self._begin())
        for product in range(PRODUCTS if self.knows else 0):
            if square <= min(0.25, math.sqrt(first)) * first:
                break
            curvature = float(self._curve())
            if not curvature > 1e-12 * square:
                if not product:
                    self._downhill()
                break
            square = float(self._go(np.asarray(square / curvature, self.line.dtype)))
        if not self.knows:
            self._downhill()
        return float(self._slope())

    def _begun(self) -> Tensor:
        self.line.direction.assign(self.line.gradient * 0)
        self.rest.assign(self.line.gradient + 0)
        self.ahead.assign(-self.line.gradient)
        return ops.sum(ops.square(self.line.gradient))

    def _multiplied(self) -> Tensor:
        line = self.line
        vectors = Gradients(line.parts(self.ahead), line.variables)
        curved = line.flat(hvp(line.function, wrt=line.variables)(vectors))
        self.curved.assign(curved)
        return ops.sum(curved * self.ahead)

    def _gone(self, t: Tensor) -> Tensor:
        rest = self.rest + t * self.curved
        square = ops.sum(ops.square(rest))
        self.line.direction.assign(self.line.direction + t * self.ahead)
        self.rest.assign(rest)
        self.ahead.assign(square / ops.sum(ops.square(self.rest)) * self.ahead - rest)
        return square
