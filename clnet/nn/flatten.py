"""Flatten: pictures to rows."""

from __future__ import annotations

import math

from clnet import ops
from clnet.nn.layer import Layer
from clnet.tensor import Tensor


class Flatten(Layer):
    """y = x with all axes but the batch made one: (batch, height, width, channels) to (batch, features)."""

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
