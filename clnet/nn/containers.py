"""Containers: layers made of layers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal, get_args

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.activation import Activation, ActivationFunction
from clnet.nn.layer import Layer
from clnet.tensor import Tensor
from clnet.variable import Variable

Merge = Literal["concatenate", "sum", "none"]


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


class Parallel(Layer):
    """Branches side by side: y = merged(first(x), second(x), ...), or with as many inputs as branches, one for each.

    merge: "concatenate" along the last axis, "sum" of equal shapes, or "none": a tuple, for several outputs at the end
    of a network. Two towers that meet: `nn.Sequential(nn.Parallel(nn.Dense(32), nn.Dense(32)), nn.Dense(1))`.
    """

    def __init__(self, *layers: Layer | ActivationFunction, merge: Merge = "concatenate") -> None:
        if merge not in get_args(Merge) or not layers:
            raise ArgumentError(
                f"Parallel: {len(layers)} branches, merge {merge!r}; wants 1 or more, {get_args(Merge)}"
            )
        self.layers = tuple(_layer(each, "Parallel") for each in layers)
        self.merge = merge

    def members(self) -> Iterator[tuple[str, Layer | Variable]]:
        return ((str(index), layer) for index, layer in enumerate(self.layers))

    def call(self, *inputs: Tensor, training: bool = False) -> Any:
        if len(inputs) not in (1, len(self.layers)):
            raise ShapeError(f"Parallel: got {len(inputs)} inputs for {len(self.layers)} branches, wants 1 or as many")
        each_input = inputs if len(inputs) > 1 else inputs * len(self.layers)
        outputs = tuple(layer(x, training=training) for layer, x in zip(self.layers, each_input, strict=True))
        if self.merge == "concatenate":
            return ops.concatenate(list(outputs), axis=-1)
        if self.merge == "none":
            return outputs
        if len({y.shape for y in outputs}) > 1:
            raise ShapeError(
                f"Parallel: branches give {', '.join(str(y.shape) for y in outputs)}, a sum wants one shape"
            )
        return functools.reduce(ops.add, outputs)

    def __repr__(self) -> str:
        return f"Parallel({', '.join(map(repr, self.layers))})"


def _layer(value: Layer | ActivationFunction, who: str) -> Layer:
    if isinstance(value, Layer):
        return value
    if callable(value) and not isinstance(value, type):
        return Activation(value)
    raise ArgumentError(f"{who}: got {value!r}, wants layers, {who}(nn.Dense(10), ...)")
