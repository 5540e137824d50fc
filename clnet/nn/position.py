"""Positions: what tells a layer without an order of its own where in a sequence a step is."""

from __future__ import annotations

import numpy as np

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.initializers import Initializer, InitializerName, Normal, initializer
from clnet.nn.layer import Layer, Shape
from clnet.tensor import Tensor, tensor
from clnet.variable import Variable


class PositionalEncoding(Layer):
    """y[:, t] = x[:, t] + P[t]: P[t, 2i] = sin(t / 10000^(2i / features)), P[t, 2i + 1] the cosine.

    x, y (batch, steps, features), any number of steps. Vaswani et al. 2017, section 3.5.
    """

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        _check(self, x)
        steps, features = x.shape[1:]

        def table() -> Tensor:
            pairs = np.arange(features) // 2 * 2 / features
            angles = np.arange(steps)[:, None] / 10000.0**pairs
            values = np.where(np.arange(features) % 2, np.cos(angles), np.sin(angles))
            return tensor(values.astype(x.dtype), device=x.device)

        # One for each length, on the device: a sine costs more than a load, and a variable would bind the length.
        return x + x.device.cache(("positions", steps, features, x.dtype), table)


class PositionEmbedding(Layer):
    """y[:, t] = x[:, t] + weight[t]: weight (length, features) is learned; x, y (batch, steps <= length, features)."""

    weight: Variable

    def __init__(
        self,
        length: int,
        *,
        weight_initializer: InitializerName | Initializer = Normal(stddev=0.02),  # noqa: B008 (frozen)
    ) -> None:
        if length < 1:
            raise ArgumentError(f"PositionEmbedding: length is {length}, wants at least 1")
        self.length = length
        self.weight_initializer = weight_initializer
        initializer(weight_initializer)

    def setup(self, shape: Shape) -> None:
        self.add_variable("weight", (self.length, shape[-1]), self.weight_initializer)

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        _check(self, x)
        if x.shape[1] > self.length or x.shape[2] != self.weight.shape[1]:
            wanted = f"(batch, up to {self.length}, {self.weight.shape[1]})"
            raise ShapeError(f"PositionEmbedding: input has shape {x.shape}, wants {wanted}")
        return x + ops.slice(self.weight, (0, 0), x.shape[1:])

    def __repr__(self) -> str:
        return f"PositionEmbedding({self.length})"


def _check(layer: Layer, x: Tensor) -> None:
    if x.ndim != 3 or x.dtype.kind != "f":
        raise ShapeError(f"{layer.name}: input has shape {x.shape} of {x.dtype}, wants floats (batch, steps, features)")
