"""Dropout: noise that keeps units from relying on each other."""

from __future__ import annotations

from clnet import ops
from clnet.errors import ArgumentError
from clnet.nn.chance import Chance
from clnet.tensor import Tensor


class Dropout(Chance):
    """In training y = x / (1 - rate) where a coin of probability 1 - rate falls so, else 0; y = x otherwise.

    The mask is the same on every device (see `Chance`). Srivastava et al. 2014, inverted as in Keras.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: rate is {rate}, wants 0 <= rate < 1")
        self.rate = rate

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        return ops.dropout(x, self.rate, key=self.draw()) if training and self.rate else x

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
