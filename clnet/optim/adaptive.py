"""Adagrad, RMSprop, Adadelta: steps divided by the size that gradients have had."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from clnet import ops
from clnet.optim.optimizer import Optimizer, State
from clnet.schedules import Schedule
from clnet.tensor import Tensor


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

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
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

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        a = state["a"] + gradient * gradient
        return rate * gradient / ops.sqrt(a + self.epsilon), {"a": a}


@dataclass(eq=False)
class Adadelta(Optimizer):
    """w <- w - rate d, d = g sqrt(u + epsilon) / sqrt(a + epsilon), where u and a are running means of d d and g g.

    a <- rho a + (1 - rho) g g before d is computed, u <- rho u + (1 - rho) d d after it. Zeiler 2012 (arXiv:1212.5701),
    where the rate is 1; defaults as in Keras.
    """

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    rho: float = 0.95
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        return {"a": 0.0, "u": 0.0}

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        a = self.rho * state["a"] + (1 - self.rho) * (gradient * gradient)
        d = gradient * ops.sqrt(state["u"] + self.epsilon) / ops.sqrt(a + self.epsilon)
        return rate * d, {"a": a, "u": self.rho * state["u"] + (1 - self.rho) * (d * d)}
