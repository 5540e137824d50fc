"""minimize: full-batch methods that look at the curvature: L-BFGS, conjugate gradient, Newton's method.

    found = optim.minimize(lambda: losses.softmax_cross_entropy(net(x, training=True), y), net.trainable_variables())

All weights are one vector on the device. Gradients, steps and products with the curvature stay there; the host reads a
few numbers an iteration, and decides how far to go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from clnet.errors import ArgumentError, DivergenceError
from clnet.optim.directions import LBFGS, Conjugate, Newton, Rule
from clnet.optim.line import Line
from clnet.tensor import Tensor
from clnet.variable import Variable

Method = Literal["lbfgs", "cg", "newton"]
FLATTER = {"lbfgs": 0.9, "cg": 0.1, "newton": 0.9}  # of the slope, at most, is left after a step (Wolfe)


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
    line = Line(function, trained)
    rule: Rule = LBFGS(line, history) if method == "lbfgs" else Conjugate(line) if method == "cg" else Newton(line)
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
