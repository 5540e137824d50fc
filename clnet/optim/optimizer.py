"""Optimizer: what a gradient does to a weight, and what all optimizers share.

    optimizer = optim.Adam(learning_rate=1e-3, clip_norm=1.0)
    loss, gradients = clnet.value_and_grad(objective, wrt=net.trainable_variables())()
    optimizer.apply(gradients)                                      # in a traced step

Updates are elementwise in gradient, weight, state and scalars, so a plan fuses them into the product that computes the
gradient; for a norm (`clip_norm`, LAMB) it is written out. Each optimizer adds its `slots` and its `update`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import Gradients
from clnet.errors import ArgumentError
from clnet.optim.averaging import Averaging
from clnet.schedules import Schedule
from clnet.tensor import Tensor
from clnet.variable import Variable

State = dict[str, Tensor]
VARIED = ("learning_rate", "weight_decay", "l1", "l2")  # what each of many networks may have a number of its own for


@dataclass(eq=False)
class Optimizer:
    """weight <- weight - update(gradient), at a learning rate that is a number or a `Schedule` of the steps done.

    l1, l2: the gradient gets l1 sign(w) + l2 w, the penalty l1 |w| + l2 w squared / 2; Nielsen's lambda over n samples
    is l2 = lambda / n. weight_decay: w also loses learning_rate * weight_decay * w, apart from the gradient
    (Loshchilov and Hutter 2019). Neither touches biases and other variables of fewer than two axes, unless
    `decay_vectors`. clip_norm: all gradients together are scaled to this norm if theirs is larger (Keras's
    `global_clipnorm`), before l1 and l2. The reported loss contains no penalty.

    accumulate: so many batches make one step, by the mean of their gradients: that of one batch with all their samples,
    if they have equally many. Schedules count steps. average: a running mean of the weights, `EMA` or `SWA`, kept
    beside them; `Model.averaged` evaluates, predicts and saves with it.

    `learning_rate` may be set between steps (by a number); the other numbers are compiled into the step.
    """

    learning_rate: float | Schedule = 0.01
    _: KW_ONLY
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    decay_vectors: bool = False
    accumulate: int = 1
    average: Averaging | None = None

    def __post_init__(self) -> None:
        self._step: Variable | None = None
        self._rate: Variable | None = None
        self._varied: dict[str, NDArray[np.float32]] = {}
        self._numbers: dict[str, Variable] = {}
        self._weights: dict[str, Variable] = {}
        self._state: dict[str, dict[str, Variable]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not value >= 0:
                raise ArgumentError(f"{type(self).__name__}: {field.name} is {value}, wants 0 or more")
        if not isinstance(self.accumulate, int) or self.accumulate < 1:
            raise ArgumentError(f"{type(self).__name__}: accumulate is {self.accumulate}, wants batches, 1 or more")

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_step", None) is not None and name in {field.name for field in fields(self)}:
            self._change(name, value)
        super().__setattr__(name, value)

    def slots(self) -> dict[str, float]:
        """Name and first value of each array of state that a weight has."""
        return {}

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        """(what to subtract from the weight, the new state), of the weight's shape.

        rate and step, which counts from 1, are scalars; what several weights compute of them is computed once.
        """
        raise NotImplementedError

    def decayed(self, change: Tensor, weight: Tensor, rate: Tensor) -> Tensor:
        """The change with `weight_decay`, apart from the gradient."""
        decayed: Tensor = change + rate * self.number("weight_decay") * weight
        return decayed

    def number(self, name: str) -> Any:
        """One of VARIED: a number, or a scalar of each network's own; None where it is 0."""
        return self._numbers.get(name, getattr(self, name) or None)

    def vary(self, numbers: Mapping[str, Sequence[float]]) -> None:
        """Give each of many networks a number of its own for these of VARIED, before the first step."""
        for name, values in numbers.items():
            if name not in VARIED or not all(value >= 0 for value in values) or self._step is not None:
                raise ArgumentError(
                    f"{type(self).__name__}: got {list(values)} as {name}; wants numbers of 0 or more for "
                    f"{', '.join(VARIED)}, before the first step"
                )
            if name == "learning_rate" and callable(self.learning_rate):
                raise ArgumentError(f"{type(self).__name__}: has a schedule, {self.learning_rate}, for all networks")
            self._varied[name] = np.asarray(values, np.float32)

    def build(self, variables: Mapping[str, Variable]) -> None:
        """Make the state for these variables by path, where there is none yet."""
        for path, variable in variables.items():
            if self._step is None or self._rate is None:
                start = 0.0 if callable(self.learning_rate) else self.learning_rate
                self._rate = _state(np.float32(start), variable, "learning_rate")
                self._step = _state(np.int32(0), variable, "step")
                self._numbers = {name: _state(np.float32(0), variable, name) for name in self._varied}
                self._numbers |= {"learning_rate": self._rate} if "learning_rate" in self._varied else {}
                for name, values in self._varied.items():
                    self._numbers[name].stack(values)
            if self._weights.setdefault(path, variable) is not variable:
                who = type(self).__name__
                raise ArgumentError(f"{who}: has the state of another network's {path}; wants an optimizer each")
            if path not in self._state:
                slots = self.slots() | ({"average": 0.0} if self.average else {})
                slots |= {"accumulated": 0.0} if self.accumulate > 1 else {}
                first = {slot: np.full(variable.shape, value, variable.dtype) for slot, value in slots.items()}
                self._state[path] = {slot: _state(each, variable, f"{path}/{slot}") for slot, each in first.items()}

    def apply(self, gradients: Gradients) -> None:
        """One step: assigns every variable of the gradients and its state. Works in a trace and outside."""
        variables = {path: gradients.variables[path] for path in gradients if gradients.variables[path].trainable}
        if not variables:
            raise ArgumentError(f"{type(self).__name__}.apply: there is nothing to train")
        self.build(variables)
        assert self._step is not None
        assert self._rate is not None
        batches = ops.cast(self._step, "float32")
        done = batches if self.accumulate == 1 else ops.floor((batches + 0.5) / self.accumulate)
        is_due = None if self.accumulate == 1 else ops.equal(batches + 1, (done + 1) * self.accumulate)
        rate = self.learning_rate(done) if callable(self.learning_rate) else self._rate
        clipped = self._clipped({path: self._gathered(path, gradients[path], is_due) for path in variables})
        for path, weight in variables.items():
            self._apply(path, weight, clipped[path], rate, done, is_due)
        self._step.assign(self._step + 1)

    def averages(self) -> dict[str, Variable]:
        """Path -> the running mean of the weight, where `average` is given and a step was made."""
        return {path: slots["average"] for path, slots in self._state.items() if "average" in slots}

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
        if not callable(self.learning_rate) and "learning_rate" not in self._varied:
            self.learning_rate = float(arrays["learning_rate"])

    def _gathered(self, path: str, gradient: Tensor, is_due: Tensor | None) -> Tensor:
        """The mean gradient of the batches of this step so far."""
        if is_due is None:
            return gradient
        total = self._state[path]["accumulated"] + gradient
        self._state[path]["accumulated"].assign(ops.where(is_due, 0.0, total))
        return total * (1 / self.accumulate)

    def _apply(
        self, path: str, weight: Variable, gradient: Tensor, rate: Tensor, done: Tensor, is_due: Tensor | None
    ) -> None:
        decays = weight.ndim > 1 or self.decay_vectors
        l1, l2, decay = (self.number(name) if decays else None for name in ("l1", "l2", "weight_decay"))
        if l2 is not None:
            gradient = gradient + l2 * weight
        if l1 is not None:
            gradient = gradient + l1 * ops.sign(weight)
        state, rate = self._state[path], ops.cast(rate, weight.dtype)
        change, new = self.update(gradient, weight, dict(state), rate, done + 1)
        moved = weight - (change if decay is None else self.decayed(change, weight, rate))
        if self.average:
            share = ops.cast(self.average.share(done), weight.dtype)
            new = {**new, "average": state["average"] + share * (moved - state["average"])}
        for variable, value in [(weight, moved), *((state[slot], each) for slot, each in new.items())]:
            variable.assign(value if is_due is None else ops.where(is_due, value, variable))

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
        if not value >= 0 or name in self._varied:
            each = ", and each network has its own" if name in self._varied else ""
            raise ArgumentError(f"{type(self).__name__}: learning_rate is {value}, wants 0 or more{each}")
        assert self._rate is not None
        self._rate.assign(np.float32(value))


def _state(value: Any, beside: Variable, name: str) -> Variable:
    return Variable(value, device=beside.device, name=name, trainable=False)
