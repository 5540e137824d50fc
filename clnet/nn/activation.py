"""Activation: a function of each element (or of each row) as a layer, and the names that layers take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, cast, get_args

from clnet import ops
from clnet.errors import ArgumentError
from clnet.nn.layer import Layer
from clnet.tensor import Tensor

ActivationFunction: TypeAlias = Callable[[Tensor], Tensor]
ActivationName = Literal[
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "sigmoid",
    "tanh",
    "hard_sigmoid",
    "mish",
    "softmax",
    "log_softmax",
]


class Activation(Layer):
    """y = function(x), of x's shape: a name, or any function of a tensor."""

    def __init__(self, activation: ActivationName | ActivationFunction) -> None:
        self.activation = activation
        activate(activation)

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        return activate(self.activation)(x)


def activate(choice: ActivationName | ActivationFunction | None) -> ActivationFunction:
    """The function that a name stands for; a callable is itself, None is "linear"."""
    if choice is None or choice == "linear":
        return lambda x: x
    if isinstance(choice, str) and choice in get_args(ActivationName):
        return cast("ActivationFunction", getattr(ops, choice))
    if callable(choice):
        return choice
    raise ArgumentError(
        f"activation: got {choice!r}, wants a function of a tensor or one of {', '.join(get_args(ActivationName))}"
    )
