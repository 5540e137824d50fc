"""SGD and Lion: steps along the gradient, or its sign, with momentum."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from clnet import ops
from clnet.optim.optimizer import Optimizer, State
from clnet.schedules import Schedule
from clnet.tensor import Tensor


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

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        if not self.momentum:
            return rate * gradient, {}
        velocity = self.momentum * state["velocity"] - rate * gradient
        change = rate * gradient - self.momentum * velocity if self.nesterov else -velocity
        return change, {"velocity": velocity}


@dataclass(eq=False)
class Lion(Optimizer):
    """w <- w - rate sign(b1 m + (1 - b1) g); m <- b2 m + (1 - b2) g. Chen et al. 2023 (arXiv:2302.06675).

    Rates are 3 to 10 times smaller than Adam's, and `weight_decay` as many times larger; defaults as in Keras.
    """

    learning_rate: float | Schedule = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.99

    def slots(self) -> dict[str, float]:
        return {"m": 0.0}

    def update(
        self, gradient: Tensor, weight: Tensor, state: State, rate: Tensor, step: Tensor
    ) -> tuple[Tensor, State]:
        direction = ops.sign(self.beta_1 * state["m"] + (1 - self.beta_1) * gradient)
        return rate * direction, {"m": self.beta_2 * state["m"] + (1 - self.beta_2) * gradient}
