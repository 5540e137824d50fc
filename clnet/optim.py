"""Optimizers: what a gradient does to a weight.

    optimizer = optim.Adam(learning_rate=1e-3, clip_norm=1.0)
    loss, gradients = clnet.value_and_grad(objective, wrt=net.trainable_variables())()
    optimizer.apply(gradients)                                      # in a traced step

Updates are elementwise in gradient, weight, state and scalars, so a plan fuses them into the product that computes the
gradient. What all optimizers share is in `Optimizer`; each adds its `slots` and its `update`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import Gradients
from clnet.errors import ArgumentError
from clnet.schedules import Schedule
from clnet.tensor import Tensor
from clnet.variable import Variable

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]

State = dict[str, Tensor]


@dataclass(eq=False)
class Optimizer:
    """weight <- weight - update(gradient), at a learning rate that is a number or a `Schedule` of the steps done.

    l1, l2: the gradient gets l1 sign(w) + l2 w, the penalty l1 |w| + l2 w squared / 2; Nielsen's lambda over n samples
    is l2 = lambda / n. weight_decay: w also loses learning_rate * weight_decay * w, apart from the gradient
    (Loshchilov and Hutter 2019). Neither touches biases and other variables of fewer than two axes, unless
    `decay_vectors`. clip_norm: all gradients together are scaled to this norm if theirs is larger (Keras's
    `global_clipnorm`), before l1 and l2. The reported loss contains no penalty.

    `learning_rate` may be set between steps (by a number); the other numbers are compiled into the step.
    """

    learning_rate: float | Schedule = 0.01
    _: KW_ONLY
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    decay_vectors: bool = False

    def __post_init__(self) -> None:
        self._step: Variable | None = None
        self._rate: Variable | None = None
        self._weights: dict[str, Variable] = {}
        self._state: dict[str, dict[str, Variable]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not value >= 0:
                raise ArgumentError(f"{type(self).__name__}: {field.name} is {value}, wants 0 or more")

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_step", None) is not None and name in {field.name for field in fields(self)}:
            self._change(name, value)
        super().__setattr__(name, value)

    def slots(self) -> dict[str, float]:
        """Name and first value of each array of state that a weight has."""
        return {}

    def update(self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor) -> tuple[Tensor, State]:
        """(what to subtract from the weight, the new state); all have the weight's shape but rate, a scalar."""
        raise NotImplementedError

    def corrected(self, rate: Tensor, step: Tensor) -> Tensor:
        """The rate that `update` gets at this step, counted from 1: a scalar that is computed once a step."""
        return rate

    def build(self, variables: Mapping[str, Variable]) -> None:
        """Make the state for these variables by path, where there is none yet."""
        for path, variable in variables.items():
            if self._step is None or self._rate is None:
                start = 0.0 if callable(self.learning_rate) else self.learning_rate
                self._rate = _state(np.float32(start), variable, "learning_rate")
                self._step = _state(np.int32(0), variable, "step")
            if self._weights.setdefault(path, variable) is not variable:
                who = type(self).__name__
                raise ArgumentError(f"{who}: has the state of another network's {path}; wants an optimizer each")
            if path not in self._state:
                first = {slot: np.full(variable.shape, value, variable.dtype) for slot, value in self.slots().items()}
                self._state[path] = {slot: _state(each, variable, f"{path}/{slot}") for slot, each in first.items()}

    def apply(self, gradients: Gradients) -> None:
        """One step: assigns every variable of the gradients and its state. Works in a trace and outside."""
        variables = {path: gradients.variables[path] for path in gradients if gradients.variables[path].trainable}
        if not variables:
            raise ArgumentError(f"{type(self).__name__}.apply: there is nothing to train")
        self.build(variables)
        assert self._step is not None
        assert self._rate is not None
        step = ops.cast(self._step, "float32")
        rate = self.learning_rate(step) if callable(self.learning_rate) else self._rate
        corrected = self.corrected(rate, step + 1)
        clipped = self._clipped({path: gradients[path] for path in variables})
        for path, weight in variables.items():
            self._apply(path, weight, clipped[path], rate, corrected)
        self._step.assign(self._step + 1)

    def variables(self) -> dict[str, Variable]:
        """Path -> Variable of the state: "step", "learning_rate", and "<path of the weight>/<slot>"."""
        if self._step is None or self._rate is None:
            return {}
        state = {f"{path}/{slot}": each for path, slots in self._state.items() for slot, each in slots.items()}
        return {"step": self._step, "learning_rate": self._rate, **state}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The state that `variables` had by these names; the variables must be built."""
        for path, variable in self.variables().items():
            variable.assign(arrays[path])
        if not callable(self.learning_rate):
            self.learning_rate = float(arrays["learning_rate"])

    def _apply(self, path: str, weight: Variable, gradient: Tensor, rate: Tensor, corrected: Tensor) -> None:
        decays = weight.ndim > 1 or self.decay_vectors
        if self.l2 and decays:
            gradient = gradient + self.l2 * weight
        if self.l1 and decays:
            gradient = gradient + self.l1 * ops.sign(weight)
        state = self._state[path]
        change, new = self.update(gradient, weight, dict(state), ops.cast(corrected, weight.dtype))
        if self.weight_decay and decays:
            change = change + ops.cast(rate * self.weight_decay, weight.dtype) * weight
        weight.assign(weight - change)
        for slot, value in new.items():
            state[slot].assign(value)

    def _clipped(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """g * clip_norm / max(clip_norm, norm): all gradients together have at most this norm."""
        if self.clip_norm is None:
            return gradients
        squares = [ops.sum(ops.square(gradient)) for gradient in gradients.values()]
        norm = ops.sqrt(functools.reduce(ops.add, squares))
        factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        return {path: gradient * factor for path, gradient in gradients.items()}

    def _change(self, name: str, value: Any) -> None:
        if name != "learning_rate" or callable(value) or callable(self.learning_rate):
            raise ArgumentError(
                f"{type(self).__name__}: {name} is part of the compiled step and stays as it is; only a learning rate "
                "that is a number can change between steps"
            )
        if not value >= 0:
            raise ArgumentError(f"{type(self).__name__}: learning_rate is {value}, wants 0 or more")
        assert self._rate is not None
        self._rate.assign(np.float32(value))


def _state(value: Any, beside: Variable, name: str) -> Variable:
    return Variable(value, device=beside.device, name=name, trainable=False)


@dataclass(eq=False)
class SGD(Optimizer):
    """v <- momentum v - rate g; w <- w + v, or w + momentum v - rate g if nesterov. Nielsen, chapter 3; as in Keras.

    Without momentum w <- w - rate g, and there is no state.
    """

    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def slots(self) -> dict[str, float]:
        return {"velocity": 0.0} if self.momentum else {}

    def update(self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor) -> tuple[Tensor, State]:
        if not self.momentum:
            return rate * gradient, {}
        velocity = self.momentum * state["velocity"] - rate * gradient
        change = rate * gradient - self.momentum * velocity if self.nesterov else -velocity
        return change, {"velocity": velocity}


@dataclass(eq=False)
class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g g; w <- w - rate c m / (sqrt(v) + epsilon).

    c = sqrt(1 - b2 ** t) / (1 - b1 ** t) at step t, from 1: Kingma and Ba 2015, the form before section 2.1; as Keras.
    """

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def corrected(self, rate: Tensor, step: Tensor) -> Tensor:
        first = 1 - ops.exp(step * math.log(self.beta_1)) if self.beta_1 else 1.0
        second = 1 - ops.exp(step * math.log(self.beta_2)) if self.beta_2 else step * 0 + 1.0
        correction: Tensor = ops.sqrt(second) / first
        return rate * correction

    def update(self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor) -> tuple[Tensor, State]:
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * gradient
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (gradient * gradient)
        return rate * m / (ops.sqrt(v) + self.epsilon), {"m": m, "v": v}


@dataclass(eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); weight_decay 0.004 as in Keras."""

    _: KW_ONLY
    weight_decay: float = 0.004


@dataclass(eq=False)
class RMSprop(Optimizer):
    """v <- rho v + (1 - rho) g g; w <- w - rate g / sqrt(v + epsilon) (Hinton, lecture 6); as in Keras.

    With momentum: u <- momentum u + rate g / sqrt(v + epsilon); w <- w - u.
    """

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        return {"v": 0.0, "momentum": 0.0} if self.momentum else {"v": 0.0}

    def update(self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor) -> tuple[Tensor, State]:
        v = self.rho * state["v"] + (1 - self.rho) * (gradient * gradient)
        change = rate * gradient / ops.sqrt(v + self.epsilon)
        if not self.momentum:
            return change, {"v": v}
        change = self.momentum * state["momentum"] + change
        return change, {"v": v, "momentum": change}


@dataclass(eq=False)
class Adagrad(Optimizer):
    """a <- a + g g, from 0.1; w <- w - rate g / sqrt(a + epsilon) (Duchi et al. 2011); as in Keras."""

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        return {"a": 0.1}

    def update(self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor) -> tuple[Tensor, State]:
        a = state["a"] + gradient * gradient
        return rate * gradient / ops.sqrt(a + self.epsilon), {"a": a}
