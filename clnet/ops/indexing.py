"""Indexing by values: gather, one-hot, slices that start where a tensor says; sequences of integers.

Indices come from the device, so kernels limit them to what is there instead of reading beside it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import DTypeError, ShapeError
from clnet.graph import Broadcast, Emitter, Node, Op, Pointwise, Routine, Spec, count
from clnet.index import Index, Var
from clnet.kernels import DOUBLE, Launch, define, read
from clnet.lowering import Epilogue, Lowering, Target
from clnet.ops.elementwise import convert, like, sum_dtype, where
from clnet.ops.reduction import sum
from clnet.ops.shape import Reshape, Transpose, one_axis, reshape, transpose
from clnet.tensor import C_TYPES, Tensor
from clnet.trace import apply, as_node, widened

GROUP, GPU_ITEMS = 64, 1 << 16  # work-items of a GPU to a row of a table, and in all


def limited(place: str, extent: int) -> Var:
    """An index held inside an axis."""
    return Var(f"({place} < 0 ? 0 : {place} < {extent} ? (int){place} : {extent - 1})", extent)


def _check_indices(who: str, indices: Tensor) -> None:
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{who}: got indices of {indices.dtype}, wanted integers")


@dataclass(frozen=True)
class Gather(Pointwise):
    """result[i..., j...] = x[indices[i...], j...]."""

    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        x, indices = inputs
        return Spec((*indices.shape, *x.shape[1:]), x.dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        x, indices = node.inputs
        place = emitter.value(indices, index[: indices.ndim])
        return emitter.value(x, (limited(place, x.shape[0]), *index[indices.ndim :]))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        x, indices = inputs
        if not many[0]:
            return self, inputs
        flat = reshape(x, (-1, *x.shape[2:]))
        return self, [as_node(flat), _rows_of_all(indices, many[1], networks, x.shape[1])]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        x, indices = node.inputs
        rows, repeat = _repeated(as_node(dy), indices.ndim)
        rows = convert(rows, sum_dtype(dy.dtype))
        return [like(apply(GatherBackward(x.shape, repeat), rows, indices), x), None]


def _repeated(dy: Node, axes: int) -> tuple[Node, int]:
    """Rows of dy (i..., j...), and for how many of the first `axes` each stands, one after another.

    A mean over what was gathered has one gradient for all: it is not written out for each.
    """
    if not isinstance(dy.op, Broadcast) or not dy.size:
        return dy, 1
    (own,) = dy.inputs
    shape = (1,) * (dy.ndim - own.ndim) + own.shape
    kept = axes
    while kept and shape[kept - 1] == 1:
        kept -= 1
    if shape[:kept] + shape[axes:] != dy.shape[:kept] + dy.shape[axes:]:
        return dy, 1
    return as_node(reshape(own, shape[:kept] + shape[axes:])), count(dy.shape[kept:axes])


@dataclass(frozen=True)
class GatherBackward(Routine):
    """dx[r, j...] = sum of dy[i..., j...] where indices[i...] = r, in the order of the indices.

    Where dy lacks the last axes of the indices, `repeat` of these in a row have one row of it.
    """

    shape: tuple[int, ...]
    repeat: int = 1
    fuses = False

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(self.shape, inputs[0].dtype)

    def runs(self, node: Node) -> tuple[int, int]:
        return 0, 1

    def multiply_adds(self, node: Node) -> float:
        return node.size + node.inputs[0].size * self.repeat

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        indices = node.inputs[1]
        if not node.size:
            return Lowering(())
        rows, columns = self.shape[0], node.size // self.shape[0]
        wide = min(GROUP, 1 << (columns - 1).bit_length()) if target.gpu else 1
        across = -(-columns // wide) * wide if target.gpu else 1
        down, rows_of_item = target.blocks(rows, items=-(-GPU_ITEMS // across) if target.gpu else 0)
        source = define(T=C_TYPES[node.dtype], INDEX=C_TYPES[indices.dtype], GPU=int(target.gpu)) + read("indexing.cl")
        source = DOUBLE * (node.dtype == np.float64) + source
        sizes = map(np.int32, (rows, columns, indices.size, self.repeat, rows_of_item))
        arguments = (epilogue.arguments[0], *operands, *sizes)
        return Lowering((Launch(source, "gather_backward", arguments, (across, down), (wide, 1)),))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        dy, indices = inputs
        rows, *rest = self.shape
        wide = [dy if many[0] else widened(dy, networks), _rows_of_all(indices, many[1], networks, rows)]
        return Reshape((networks, *self.shape)), [apply(GatherBackward((networks * rows, *rest), self.repeat), *wide)]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        rows, indices = node.inputs
        gathered: Tensor = apply(Gather(), dy, indices)
        if self.repeat > 1:
            gathered = sum(reshape(gathered, (-1, self.repeat, *self.shape[1:])), axis=1)
        return [reshape(gathered, rows.shape), None]


def _rows_of_all(indices: Node, is_many: bool, networks: int, rows: int) -> Node:
    """Indices (networks, ...) into the rows of all networks, one after another, each held inside its own."""
    wide: Any = convert(indices if is_many else widened(indices, networks), np.dtype(np.int32))
    held: Any = where(wide < 0, 0, where(wide < rows, wide, rows - 1))
    first: Any = reshape(arange(networks), (networks, *(1 for _ in indices.shape[is_many:])))
    return as_node(held + first * rows)


@eager
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Slices of x along an axis, one an index; the axis is replaced by the axes of `indices`.

    Indices outside the axis take its first or last slice.
    """
    place = one_axis("gather", axis, x.ndim)
    wanted = as_node(indices)
    _check_indices("gather", wanted)
    if not x.shape[place] and wanted.size:
        raise ShapeError(f"gather: axis {axis} of shape {x.shape} has nothing to gather")
    if place == 0:
        return apply(Gather(), as_node(x), wanted)
    front = transpose(x, (place, *(a for a in range(x.ndim) if a != place)))
    found = apply(Gather(), as_node(front), wanted)
    n = wanted.ndim
    return transpose(found, (*range(n, n + place), *range(n), *range(n + place, found.ndim)))


@dataclass(frozen=True)
class DynamicSlice(Pointwise):
    """result[i] = x[start + i], along the first axis."""

    size: int
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((self.size, *inputs[0].shape[1:]), inputs[0].dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        x, start = node.inputs
        place = f"({emitter.value(start, ())} + {emitter.code(index[:1], node.shape[:1])})"
        return emitter.value(x, (limited(place, x.shape[0]), *index[1:]))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """From one start on, rows seen in front of the networks; else a gather of the rows from each start on."""
        x, start = inputs
        if not many[1]:
            swapped = (1, 0, *range(2, x.ndim))
            return Transpose(swapped), [apply(self, transpose(x, swapped), start)]
        first: Any = reshape(start, (-1, 1)) if many[1] else start
        return Gather().stacked([x, as_node(first + arange(self.size))], many, networks)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        x, start = node.inputs
        return [apply(DynamicEmbed(x.shape[0]), dy, start), None]


@dataclass(frozen=True)
class DynamicEmbed(Pointwise):
    """result[start + i] = x[i], 0 elsewhere: the gradient of `DynamicSlice`."""

    extent: int
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((self.extent, *inputs[0].shape[1:]), inputs[0].dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        x, start = node.inputs
        place = f"({emitter.code(index[:1], node.shape[:1])} - {emitter.value(start, ())})"
        value = emitter.value(x, (limited(place, x.shape[0]), *index[1:]))
        return f"(({place} >= 0) & ({place} < {x.shape[0]})) ? {value} : {emitter.scalar(0, x.dtype)}"

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        x, start = node.inputs
        return [apply(DynamicSlice(x.shape[0]), dy, start), None]


@eager
def dynamic_slice(x: Tensor, start: Tensor, size: int) -> Tensor:
    """x[start : start + size] along the first axis, where `start` is an integer tensor of shape ().

    Rows that would lie outside x are its first or last one.
    """
    first = as_node(start)
    _check_indices("dynamic_slice", first)
    if first.shape != () or not 0 <= size <= (x.shape[0] if x.ndim else 0):
        raise ShapeError(f"dynamic_slice: got a start of shape {first.shape} and size {size} for shape {x.shape}")
    return apply(DynamicSlice(size), as_node(x), first)


@dataclass(frozen=True)
class OneHot(Pointwise):
    """result[i..., c] = 1 where labels[i...] = c, else 0."""

    classes: int
    dtype: np.dtype[Any]
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((*inputs[0].shape, self.classes), self.dtype)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return self, inputs

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        (labels,) = node.inputs
        found = emitter.value(labels, index[:-1])
        return f"{found} == {emitter.code(index[-1:], node.shape[-1:])}"


@eager
def one_hot(labels: Tensor, classes: int, *, dtype: Any = np.float32) -> Tensor:
    """1 at each label, 0 elsewhere, along a new last axis of `classes`; a label outside gives zeros."""
    nodes = as_node(labels)
    _check_indices("one_hot", nodes)
    return apply(OneHot(int(classes), np.dtype(dtype)), nodes)


@dataclass(frozen=True)
class Arange(Pointwise):
    """0, 1, ..., n - 1."""

    n: int
    dtype: np.dtype[Any]
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((self.n,), self.dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        return emitter.code(index, node.shape)


@eager
def arange(n: int, *, dtype: Any = np.int32, device: Any = None) -> Tensor:
    """0, 1, ..., n - 1."""
    return apply(Arange(int(n), np.dtype(dtype)))
