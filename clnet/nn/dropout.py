"""Dropout: noise in training that keeps units from relying on each other; it is the same on every device."""

from __future__ import annotations

import math

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.chance import Chance
from clnet.tensor import Tensor


class Noise(Chance):
    """y = noisy(x) in training, y = x otherwise; `amount`: how strong, x stays what it is where that is 0."""

    def __init__(self, amount: float) -> None:
        self.amount = amount

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        return self.noisy(x, self.draw()) if training and self.amount else x

    def noisy(self, x: Tensor, key: ops.Key) -> Tensor:
        """What training makes of x."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.name}({self.amount})"


class Dropout(Noise):
    """In training y = x / (1 - rate) where a coin of probability 1 - rate falls so, else 0; y = x otherwise.

    Srivastava et al. 2014, inverted as in Keras.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ArgumentError(f"{self.name}: rate is {rate}, wants 0 <= rate < 1")
        self.rate = rate
        super().__init__(rate)

    def noisy(self, x: Tensor, key: ops.Key) -> Tensor:
        return ops.dropout(x, self.rate, key=key)


class SpatialDropout2D(Dropout):
    """Dropout of whole channels: one coin for all places of a picture (batch, height, width, channels).

    Tompson et al. 2015 (arXiv:1411.4280), as in Keras.
    """

    def noisy(self, x: Tensor, key: ops.Key) -> Tensor:
        if x.ndim != 4:
            raise ShapeError(f"SpatialDropout2D: input has shape {x.shape}, wants (batch, height, width, channels)")
        ones = ops.ones((x.shape[0], 1, 1, x.shape[3]), dtype=x.dtype, device=x.device)
        return x * ops.dropout(ones, self.rate, key=key)


class GaussianDropout(Dropout):
    """In training y = x n, n normal of mean 1 and variance rate / (1 - rate); y = x otherwise.

    Srivastava et al. 2014, section 10; as in Keras.
    """

    def noisy(self, x: Tensor, key: ops.Key) -> Tensor:
        factor = 1 + math.sqrt(self.rate / (1 - self.rate)) * ops.random_normal(x.shape, key=key, device=x.device)
        return x * ops.cast(factor, x.dtype)


class GaussianNoise(Noise):
    """In training y = x + n, n normal of mean 0 and deviation stddev; y = x otherwise. As in Keras."""

    def __init__(self, stddev: float) -> None:
        if not stddev >= 0:
            raise ArgumentError(f"GaussianNoise: stddev is {stddev}, wants 0 or more")
        self.stddev = stddev
        super().__init__(stddev)

    def noisy(self, x: Tensor, key: ops.Key) -> Tensor:
        noise = self.stddev * ops.random_normal(x.shape, key=key, device=x.device)
        return x + ops.cast(noise, x.dtype)
