"""Regularizers: what large weights cost, as a part of the loss.

    nn.Dense(100, weight_regularizer=nn.L2(1e-4), bias_regularizer=nn.L1(1e-5))

A layer's attribute `<name>_regularizer` belongs to its variable `<name>`, in layers of the user's own, too. A `Model`
adds `net.penalty()` to the loss that it makes small and shows, as Keras does. (An optimizer's `l1` and `l2` are for all
weights, enter the gradient alone, and cost nothing: they are part of the product that computes it.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from clnet import ops
from clnet.errors import ArgumentError
from clnet.tensor import Tensor

Regularizer: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class L1L2:
    """l1 sum of |w| + l2 sum of w squared."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if not (self.l1 >= 0 and self.l2 >= 0):
            raise ArgumentError(f"{type(self).__name__}: l1 is {self.l1}, l2 is {self.l2}; want 0 or more")

    def __call__(self, weight: Tensor) -> Tensor:
        terms = self.l2 * ops.square(weight) if self.l2 else weight * 0
        return ops.sum(terms + self.l1 * ops.abs(weight) if self.l1 else terms)


def L1(l1: float = 0.01) -> L1L2:
    """l1 sum of |w|."""
    return L1L2(l1=l1)


def L2(l2: float = 0.01) -> L1L2:
    """l2 sum of w squared."""
    return L1L2(l2=l2)
