"""Adam and what became of it: first and second moments of the gradient, freed of where they started."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from clnet import ops
from clnet.optim.optimizer import Optimizer, State
from clnet.schedules import Schedule
from clnet.tensor import Tensor


@dataclass(eq=False)
class Moments(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g g: what the optimizers here have in common."""

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def moments(self, gradient: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """The new m and v."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * gradient
        return m, self.beta_2 * state["v"] + (1 - self.beta_2) * (gradient * gradient)


@dataclass(eq=False)
class Adam(Moments):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g g; w <- w - rate c m / (sqrt(v) + epsilon).

    c = sqrt(1 - b2 ** t) / (1 - b1 ** t) at step t, from 1: Kingma and Ba 2015, the form before section 2.1; as Keras.
    """

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        m, v = self.moments(gradient, state)
        correction = ops.sqrt(_weight_of(self.beta_2, step)) / _weight_of(self.beta_1, step)
        rate = rate * ops.cast(correction, weight.dtype)
        return rate * m / (ops.sqrt(v) + self.epsilon), {"m": m, "v": v}


@dataclass(eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); weight_decay 0.004 as in Keras."""

    _: KW_ONLY
    weight_decay: float = 0.004


@dataclass(eq=False)
class Adamax(Moments):
    """m as in Adam; u <- max(b2 u, |g|); w <- w - rate m / ((1 - b1 ** t) (u + epsilon)).

    Kingma and Ba 2015, section 7.1; as in Keras.
    """

    def slots(self) -> dict[str, float]:
        return {"m": 0.0, "u": 0.0}

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * gradient
        u = ops.maximum(self.beta_2 * state["u"], ops.abs(gradient))
        rate = rate * ops.cast(1 / _weight_of(self.beta_1, step), weight.dtype)
        return rate * m / (u + self.epsilon), {"m": m, "u": u}


@dataclass(eq=False)
class Nadam(Moments):
    """w <- w - rate (b1 m / (1 - b1 ** (t + 1)) + (1 - b1) g / (1 - b1 ** t)) / (sqrt(v / (1 - b2 ** t)) + epsilon).

    m and v as in Adam: Dozat 2016, Nesterov's momentum in Adam, at a constant b1 (Keras and PyTorch let it rise).
    """

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        m, v = self.moments(gradient, state)
        ahead = ops.cast(self.beta_1 / _weight_of(self.beta_1, step + 1), weight.dtype) * m
        now = ops.cast((1 - self.beta_1) / _weight_of(self.beta_1, step), weight.dtype) * gradient
        root = ops.sqrt(v * ops.cast(1 / _weight_of(self.beta_2, step), weight.dtype))
        return rate * (ahead + now) / (root + self.epsilon), {"m": m, "v": v}


@dataclass(eq=False)
class LAMB(Moments):
    """u = m' / (sqrt(v') + epsilon) + weight_decay w; w <- w - rate |w| / |u| u, norms of each variable.

    m' = m / (1 - b1 ** t), v' = v / (1 - b2 ** t); the ratio is 1 where a norm is 0. For large batches: You et al. 2020
    (arXiv:1904.00962).
    """

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        m, v = self.moments(gradient, state)
        first, second = (1 / _weight_of(beta, step) for beta in (self.beta_1, self.beta_2))
        root = ops.sqrt(v * ops.cast(second, weight.dtype))
        direction = ops.cast(first, weight.dtype) * m / (root + self.epsilon)
        decay = self.number("weight_decay")
        if decay is not None and (weight.ndim > 1 or self.decay_vectors):
            direction = direction + decay * weight
        product = ops.sum(ops.square(weight)) / ops.sum(ops.square(direction))
        is_number = ops.logical_and(product > 0, product < float("inf"))
        return rate * ops.sqrt(ops.where(is_number, product, 1.0)) * direction, {"m": m, "v": v}

    def decayed(self, change: Tensor, weight: Tensor, rate: Tensor) -> Tensor:
        return change  # the decay is part of the direction


def _weight_of(beta: float, step: Tensor) -> Tensor:
    """1 - beta ** step: the weights of all gradients so far in a running mean that began with 0."""
    weight: Tensor = 1 - ops.exp(step * math.log(beta)) if beta else step * 0 + 1.0
    return weight
