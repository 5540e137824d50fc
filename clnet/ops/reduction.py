"""Reductions over any axes: sum, mean, max, min, prod, argmax.

The order of a reduction is a function of the shape and of the kind of the device, so that the same numbers give the
same bits in every plan: along a last axis 16 partial sums on a CPU and 128 on a GPU, merged as a tree; else in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clnet.compiled import eager
from clnet.errors import ShapeError
from clnet.graph import Broadcast, Node, Reduction, Spec, count
from clnet.ops.elementwise import convert, equal, in_float32, where
from clnet.ops.shape import one_axis, reshape
from clnet.tensor import Tensor, value_type
from clnet.trace import apply, as_node

Axes = int | Sequence[int] | None


@dataclass(frozen=True)
class Fold(Reduction):
    """One accumulator."""

    initial: ClassVar[str]
    joined: ClassVar[str]

    def infer(self, *inputs: Spec) -> Spec:
        shape = tuple(inputs[0].shape[axis] for axis in self.kept(inputs[0].shape))
        return Spec((self.parts, *shape) if self.parts > 1 else shape, inputs[0].dtype)

    def accumulators(self, dtype: np.dtype[Any]) -> Sequence[tuple[str, str]]:
        return [(value_type(dtype), self._first(dtype))]

    def _first(self, dtype: np.dtype[Any]) -> str:
        return self.initial

    def update(self, state: Sequence[str], value: str, position: str) -> Sequence[str]:
        return [self.joined.format(state[0], value)]

    def merge(self, left: Sequence[str], right: Sequence[str]) -> Sequence[str]:
        return [self.joined.format(left[0], right[0])]


@dataclass(frozen=True)
class Sum(Fold):
    """x[0] + x[1] + ..."""

    initial = "0"
    joined = "{0} + {1}"

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [_spread(dy, node.inputs[0].shape, self.axes)]


@dataclass(frozen=True)
class Prod(Fold):
    """x[0] x[1] ..."""

    initial = "1"
    joined = "{0} * {1}"

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        """dy times the product of the others, which a single zero among them leaves to that zero alone."""
        (x,) = node.inputs
        zero = equal(x, 0.0)
        others: Any = _spread(prod(where(zero, 1.0, x), axis=self.axes), x.shape, self.axes)
        zeros: Any = _spread(sum(where(zero, 1.0, 0.0), axis=self.axes), x.shape, self.axes)
        alone = where(zero, equal(zeros, 1.0), equal(zeros, 0.0))
        return [where(alone, _spread(dy, x.shape, self.axes) * others / where(zero, 1.0, x), 0.0)]


@dataclass(frozen=True)
class Max(Fold):
    """The largest element; NaN if there is one."""

    joined = "(({0} > {1}) | ({0} != {0})) ? {0} : {1}"

    def _first(self, dtype: np.dtype[Any]) -> str:
        return (
            "-INFINITY"
            if dtype.kind == "f"
            else f"({np.iinfo(dtype).min + 1}L - 1)"
            if dtype.itemsize == 8
            else str(np.iinfo(dtype).min)
        )

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [_to_the_chosen(node, dy, self.axes)]


@dataclass(frozen=True)
class Min(Max):
    """The smallest element; NaN if there is one."""

    joined = "(({0} < {1}) | ({0} != {0})) ? {0} : {1}"

    def _first(self, dtype: np.dtype[Any]) -> str:
        return "INFINITY" if dtype.kind == "f" else f"{np.iinfo(dtype).max}" + ("L" if dtype.itemsize == 8 else "")


@dataclass(frozen=True)
class ArgMax(Reduction):
    """Where the largest element is, the first of equal ones."""

    divisible = False

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(tuple(inputs[0].shape[axis] for axis in self.kept(inputs[0].shape)), np.dtype(np.int32))

    def accumulators(self, dtype: np.dtype[Any]) -> Sequence[tuple[str, str]]:
        return [(value_type(dtype), Max((0,))._first(dtype)), ("int", "0x7fffffff")]

    def update(self, state: Sequence[str], value: str, position: str) -> Sequence[str]:
        return self.merge(state, (value, position))

    def merge(self, left: Sequence[str], right: Sequence[str]) -> Sequence[str]:
        (a, i), (b, j) = left, right
        first = f"(({a} > {b}) | (({a} == {b}) & ({i} < {j})))"
        return [f"{first} ? {a} : {b}", f"{first} ? {i} : {j}"]

    def result(self, state: Sequence[str]) -> str:
        return f"{state[1]} == 0x7fffffff ? 0 : {state[1]}"


def _spread(dy: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """A result seen under the shape of what was reduced."""
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    return apply(Broadcast(shape), reshape(dy, kept))


def _to_the_chosen(node: Node, dy: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The gradient shared among the elements that are the result."""
    (x,) = node.inputs
    chosen = where(equal(x, _spread(node, x.shape, axes)), 1.0, 0.0)
    shared: Any = _spread(dy / sum(chosen, axis=axes), x.shape, axes)
    result: Tensor = chosen * shared
    return convert(as_node(result), x.dtype)


def axes_of(who: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    """Axes from the front, sorted."""
    wanted = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    found = tuple(sorted(one_axis(who, each, ndim) for each in wanted))
    if len(set(found)) != len(found):
        raise ShapeError(f"{who}: got axis {axis}, which names one twice")
    return found


def _reduce(kind: type[Reduction], x: Node, axis: Axes, keepdims: bool, who: str) -> Tensor:
    axes = axes_of(who, axis, x.ndim)
    kept = tuple(1 if place in axes else extent for place, extent in enumerate(x.shape))
    shape = kept if keepdims else tuple(extent for place, extent in enumerate(x.shape) if place not in axes)
    real = tuple(place for place in axes if x.shape[place] != 1)
    if not real and kind is not ArgMax:
        return reshape(x, shape)
    return reshape(apply(kind(real or axes), x), shape)


def _not_empty(who: str, x: Node, axis: Axes) -> None:
    if not count([x.shape[place] for place in axes_of(who, axis, x.ndim)]):
        raise ShapeError(f"{who}: got shape {x.shape}, which has no element along axis {axis}")


@eager
@in_float32
def sum(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Sum over axes (default: all); bool counts as int32."""
    node = as_node(x)
    return _reduce(Sum, convert(node, np.dtype(np.int32)) if node.dtype == np.bool_ else node, axis, keepdims, "sum")


@eager
@in_float32
def mean(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Mean over axes (default: all); integers become float32 first."""
    node = as_node(x)
    _not_empty("mean", node, axis)
    node = node if node.dtype.kind == "f" else convert(node, np.dtype(np.float32))
    elements = count([node.shape[place] for place in axes_of("mean", axis, node.ndim)])
    total: Any = _reduce(Sum, node, axis, keepdims, "mean")
    result: Tensor = total / elements
    return result


@eager
@in_float32
def prod(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Product over axes (default: all)."""
    return _reduce(Prod, as_node(x), axis, keepdims, "prod")


@eager
@in_float32
def max(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Maximum over axes (default: all); NaN if there is one."""
    _not_empty("max", as_node(x), axis)
    return _reduce(Max, as_node(x), axis, keepdims, "max")


@eager
@in_float32
def min(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Minimum over axes (default: all); NaN if there is one."""
    _not_empty("min", as_node(x), axis)
    return _reduce(Min, as_node(x), axis, keepdims, "min")


@eager
@in_float32
def argmax(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """int32 index of the first maximum along an axis, or in row-major order along several (default: all)."""
    _not_empty("argmax", as_node(x), axis)
    return _reduce(ArgMax, as_node(x), axis, keepdims, "argmax")
