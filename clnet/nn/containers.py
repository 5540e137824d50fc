"""Containers: layers made of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clnet.errors import ArgumentError, ShapeError
from clnet.nn.activation import Activation, ActivationFunction
from clnet.nn.layer import Layer
from clnet.tensor import Tensor
from clnet.variable import Variable


class Sequential(Layer):
    """y = last(...(second(first(x)))): layers, or functions of a tensor, named "0", "1", ... in the paths."""

    def __init__(self, *layers: Layer | ActivationFunction) -> None:
        self.layers = tuple(_layer(each, "Sequential") for each in layers)

    def members(self) -> Iterator[tuple[str, Layer | Variable]]:
        return ((str(index), layer) for index, layer in enumerate(self.layers))

    def call(self, *inputs: Any, training: bool = False) -> Any:
        outputs = inputs
        for layer in self.layers:
            outputs = (layer(*outputs, training=training),)
        return outputs[0]

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


class Residual(Layer):
    """y = layer(x) + shortcut(x), of one shape; without a shortcut, + x (He et al. 2016)."""

    def __init__(
        self, layer: Layer | ActivationFunction, *, shortcut: Layer | ActivationFunction | None = None
    ) -> None:
        self.layer = _layer(layer, "Residual")
        self.shortcut = None if shortcut is None else _layer(shortcut, "Residual")

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        y: Tensor = self.layer(x, training=training)
        short: Tensor = x if self.shortcut is None else self.shortcut(x, training=training)
        if y.shape != short.shape:
            raise ShapeError(f"Residual: layer gives {y.shape}, shortcut {short.shape}, wants one shape")
        return y + short

    def __repr__(self) -> str:
        return f"Residual({self.layer!r})"


def _layer(value: Layer | ActivationFunction, who: str) -> Layer:
    if isinstance(value, Layer):
        return value
    if callable(value) and not isinstance(value, type):
        return Activation(value)
    raise ArgumentError(f"{who}: got {value!r}, wants layers, {who}(nn.Dense(10), ...)")
