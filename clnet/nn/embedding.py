"""Embedding: a table of vectors, one a token."""

from __future__ import annotations

from typing import Any

import numpy as np

from clnet import ops, tree
from clnet.errors import ArgumentError, DataError, DTypeError
from clnet.graph import Input
from clnet.nn.initializers import Initializer, InitializerName, Uniform, initializer
from clnet.nn.layer import Layer, Shape
from clnet.plan.fusion import base
from clnet.tensor import Tensor
from clnet.trace import as_node, current
from clnet.variable import Variable


class Embedding(Layer):
    """y[...] = weight[tokens[...]]: tokens integers (batch, ...), weight (input_dim, output_dim), y (..., output_dim).

    A token that is not below input_dim is a `DataError` where a `Model` gets it from the host; on the device it
    counts as the last one. `mask_zero`: token 0 is padding, which `mask` tells from the others.
    """

    weight: Variable
    leaf: int | None = None  # which of the network's inputs the tokens are, if they are one

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        mask_zero: bool = False,
        weight_initializer: InitializerName | Initializer = Uniform(),  # noqa: B008 (frozen)
    ) -> None:
        if input_dim < 1 or output_dim < 1:
            raise ArgumentError(f"Embedding: input_dim is {input_dim}, output_dim {output_dim}; want at least 1")
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.mask_zero = mask_zero
        self.weight_initializer = weight_initializer
        initializer(weight_initializer)

    def setup(self, shape: Shape) -> None:
        self.add_variable("weight", (self.input_dim, self.output_dim), self.weight_initializer)

    def call(self, tokens: Tensor, *, training: bool = False) -> Tensor:
        if tokens.dtype.kind not in "iu":
            hint = "to a Model uint8 is a picture, use int32"
            raise DTypeError(f"Embedding: got tokens of {tokens.dtype}, wants integers ({hint})")
        if self.leaf is None and current() is not None:
            source = base(as_node(tokens)).op
            self.leaf = source.position if isinstance(source, Input) else None
        return ops.gather(self.weight, tokens)

    def mask(self, tokens: Tensor) -> Tensor | None:
        """Where a token is no padding: bool in the shape of the tokens; None without `mask_zero`."""
        return tokens > 0 if self.mask_zero else None

    def __repr__(self) -> str:
        return f"Embedding({self.input_dim}, {self.output_dim})"


def check_tokens(net: Layer, x: Any, who: str) -> None:
    """`DataError` for a token that the `Embedding` which looks it up has no vector for. x: nest of arrays."""
    leaves, _ = tree.flatten(x, lambda value: isinstance(value, (np.ndarray, Tensor)))
    for path, layer, _ in net.walk():
        if not isinstance(layer, Embedding) or layer.leaf is None or layer.leaf >= len(leaves):
            continue
        tokens = leaves[layer.leaf]
        if not isinstance(tokens, np.ndarray) or not tokens.size:
            continue
        lowest, highest = int(tokens.min()), int(tokens.max())
        if lowest < 0 or highest >= layer.input_dim:
            wrong = lowest if lowest < 0 else highest
            place = tuple(int(each) for each in np.argwhere(tokens == wrong)[0])
            raise DataError(
                f"{who} has token {wrong} (at {place}), Embedding {path!r} wants 0 to {layer.input_dim - 1}"
            )
