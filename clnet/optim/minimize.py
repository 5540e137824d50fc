"""minimize: full-batch methods that look at the curvature: L-BFGS, conjugate gradient, Newton's method.

    found = optim.minimize(lambda: losses.softmax_cross_entropy(net(x, training=True), y), net.trainable_variables())

All weights are one vector on the device. Gradients, steps and products with the curvature stay there; the host reads a
few numbers an iteration, and decides how far to go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import Gradients, compile, hvp, value_and_grad
from clnet.errors import ArgumentError, DivergenceError
from clnet.tensor import Tensor
from clnet.variable import Variable

Method = Literal["lbfgs", "cg", "newton"]
FALL = 1e-4  # of what the slope promises, at least (Armijo); Nocedal and Wright 2006, section 3.1, as the next
FLATTER = {"lbfgs": 0.9, "cg": 0.1, "newton": 0.9}  # of the slope, at most, is left after a step (Wolfe)
NOISE = 8  # units of rounding that a loss may rise by: near the minimum the slope knows more (Hager and Zhang 2005)
TRIALS = 30  # of a line search: after as many halvings nothing is left of a step
PRODUCTS = 50  # with the Hessian, for a step of Newton's


@dataclass(frozen=True)
class Minimum:
    """Where `minimize` ended: `converged` says that the gradient's norm fell to the tolerance."""

    loss: float
    gradient_norm: float
    steps: int
    evaluations: int
    converged: bool


def minimize(
    function: Callable[[], Tensor],
    variables: Mapping[str, Variable],
    *,
    method: Method = "lbfgs",
    steps: int = 100,
    tolerance: float = 1e-5,
    history: int = 10,
) -> Minimum:
    """Change the variables so that function() becomes small, until its gradient has a norm of `tolerance`.

    function: traced, without arguments, deterministic; gives a float tensor of shape (). method: "lbfgs" (the last
    `history` steps stand for the curvature; Liu and Nocedal 1989), "cg" (conjugate gradients, Polak and Ribiere, with
    restarts) or "newton" (H d = -g by conjugate gradients over `clnet.hvp`; the function is differentiated twice;
    Steihaug 1983). `DivergenceError`: the loss is no finite number to begin with.
    """
    if method not in get_args(Method) or steps < 0 or history < 1:
        raise ArgumentError(
            f"minimize: got method {method!r}, steps {steps}, history {history}; wants one of {get_args(Method)}, 0 or "
            "more and 1 or more"
        )
    trained = {path: variable for path, variable in variables.items() if variable.trainable}
    if not trained:
        raise ArgumentError("minimize: there is nothing to train")
    line = _Line(function, trained)
    rule = _LBFGS(line, history) if method == "lbfgs" else _Conjugate(line) if method == "cg" else _Newton(line)
    here = line.at(0.0)
    if not math.isfinite(here.loss):
        raise DivergenceError("minimize: the loss is not a finite number to begin with", step=0, epoch=0)
    done = 0
    while done < steps and here.norm > tolerance:
        slope = rule.aim()
        there = line.search(here.loss, slope, rule.trial(here.norm), FLATTER[method])
        if there is not None:
            rule.learn(there.t)
            here, done = there, done + 1
        elif rule.knows:
            rule.forget()
        else:
            break  # not even along the gradient does the loss fall: what is left is rounding
    return Minimum(here.loss, here.norm, done, line.evaluations, here.norm <= tolerance)


@dataclass(frozen=True)
class _Place:
    """A point on the line: its distance, the loss there, its slope along the line, the gradient's norm."""

    t: float
    loss: float
    slope: float
    norm: float


class _Line:
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

    def at(self, t: float) -> _Place:
        """Put the weights there and look."""
        self._move(np.asarray(t, self.dtype))
        self.evaluations += 1
        loss, slope, square = (float(each) for each in self._look())
        return _Place(t, loss, slope, math.sqrt(square) if square >= 0 else math.nan)

    def search(self, loss: float, slope: float, t: float, flatter: float) -> _Place | None:
        """A point where the loss has fallen and the line has become flat enough; None if there is none to be found.

        The zero of the slope is looked for by secants inside a bracket, which find a parabola's at once.
        """
        low, high = _Place(0.0, loss, slope, math.nan), None
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


def _next(low: _Place, high: _Place | None, t: float) -> float:
    """The distance to try after t: between the places, or beyond both."""
    if high is None:
        return 4 * t
    width, rise = high.t - low.t, high.slope - low.slope
    part = -low.slope / rise if math.isfinite(rise) and high.slope > 0 else 0.5
    return low.t + width * min(max(part, 0.1), 0.9)


class _Rule:
    """Chooses the direction of the next line from what earlier ones have taught."""

    def __init__(self, line: _Line) -> None:
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


class _LBFGS(_Rule):
    """Two loops over the last steps s and changes of the gradient y, in the coefficients of a basis.

    d is a sum of s, y and g; its coefficients follow from their products with each other, so that an iteration is two
    matrix products of (2 history + 1, weights), whatever the history (Chen, Wang, Zhou 2014, "vector-free L-BFGS").
    """

    def __init__(self, line: _Line, history: int) -> None:
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


class _Conjugate(_Rule):
    """d <- -g + b d, b = max(g.(g - g before) / |g before| squared, 0). Polak and Ribiere 1969."""

    def __init__(self, line: _Line) -> None:
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


class _Newton(_Rule):
    """H d = -g, by conjugate gradients: as exactly as |g| deserves, and as far as the curvature is positive."""

    def __init__(self, line: _Line) -> None:
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
        square: Any = ops.sum(ops.square(rest))
        self.line.direction.assign(self.line.direction + t * self.ahead)
        self.rest.assign(rest)
        self.ahead.assign(square / ops.sum(ops.square(self.rest)) * self.ahead - rest)
        return ops.sum(ops.square(rest))
