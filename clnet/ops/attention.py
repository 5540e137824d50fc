"""Scaled dot-product attention without a matrix of scores: attention, self_attention."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import ArgumentError, DTypeError, ShapeError
from clnet.gemm.problem import Registers, c_type
from clnet.graph import Node, Op, Routine, Spec, count
from clnet.kernels import DOUBLE, Launch, define, read
from clnet.lowering import WORKSPACE, Epilogue, Lowering, Target
from clnet.ops.elementwise import common_dtype, convert, in_float32
from clnet.ops.shape import one_by_one, reshape
from clnet.tensor import Tensor
from clnet.trace import apply, as_node

BLOCK = 32  # queries whose scores with all keys a core has in its cache
GROUP = 64  # work-items of a GPU's group


@dataclass(frozen=True)
class _Heads(Routine):
    """What both directions have in common. Inputs: q, k, v (batch, rows, heads, features), or all three in one array
    (batch, rows, 3, heads, features) if `packed`; then the mask, (batch, keys) or (batch, queries, keys), if `masked`.
    """

    scale: float
    causal: bool
    packed: bool
    masked: bool
    fuses = False

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return one_by_one(self, inputs, many, networks)

    def runs(self, node: Node) -> tuple[int, int]:
        return node.ndim - 1, node.ndim

    def _arrays(self, values: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
        """(q, k, v, mask); q stands in for a mask that is not there."""
        q, k, v = [values[0]] * 3 if self.packed else values[:3]
        return q, k, v, values[-1] if self.masked else q

    def _sizes(self, inputs: Sequence[Node]) -> _Sizes:
        q, k, _, mask = self._arrays(inputs)
        (batch, queries), (heads, features) = q.shape[:2], q.shape[-2:]
        return _Sizes(batch, heads, queries, k.shape[1], features, self.packed, mask.shape[1:] if self.masked else ())

    def _source(self, node: Node) -> str:
        double = node.dtype == np.float64
        text = DOUBLE * double + define(T=c_type(node.dtype), DOUBLE=int(double)) + read("math.cl")
        return text + define(CAUSAL=int(self.causal), MASKED=int(self.masked))

    def _gpu(self, sizes: _Sizes, node: Node) -> str:
        tile = max(1, min(16, 2048 // sizes.features))
        own = define(FEATURES=sizes.features, GROUP=GROUP, TILE=tile)
        return self._source(node) + own + read("attention_gpu.cl")

    def _cpu(self, tiles: _Tiles, node: Node) -> str:
        width, size = tiles.registers.width, tiles.registers.size
        text = self._source(node) + define(WIDTH=width, BYTES=width * size) + read("gemm_registers.cl")
        for name, (rows, vectors) in (("by_keys", tiles.by_keys), ("by_features", tiles.by_features)):
            text += define(NAME=name, MR=rows, NV=vectors) + read("attention_tile.cl")
        own = {"FEATURES": tiles.features, "COLUMNS": tiles.columns, "BLOCK": tiles.block}
        own |= {"KEY_ROWS": tiles.by_keys[0], "KEY_TILE": tiles.by_keys[1] * width}
        own |= {"FEATURE_ROWS": tiles.by_features[0], "FEATURE_TILE": tiles.by_features[1] * width}
        return text + define(**own) + read("attention_cpu.cl")


@dataclass(frozen=True)
class _Sizes:
    """Extents, and where the rows of q, k and v lie."""

    batch: int
    heads: int
    queries: int
    keys: int
    features: int
    packed: bool
    mask: tuple[int, ...]

    @property
    def row(self) -> int:
        """Elements of a row of all heads."""
        return self.heads * self.features

    def arguments(self, scale: float, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """What all kernels take after their arrays."""
        stride = 3 * self.row if self.packed else self.row
        starts = [self.row * place if self.packed else 0 for place in range(3)]
        places = [each for start in starts for each in (start, stride)]
        mask = (count(self.mask), self.keys if len(self.mask) > 1 else 0)
        integers = (self.batch, self.heads, self.queries, self.keys, *places, *mask)
        return (*map(np.int32, integers), dtype.type(scale))

    @property
    def gradients(self) -> tuple[Any, Any, Any]:
        """Where dq, dk and dv begin in a result."""
        if self.packed:
            starts = [0, self.row, 2 * self.row]
        else:
            q, k = self.batch * self.queries * self.row, self.batch * self.keys * self.row
            starts = [0, q, q + k]
        return np.int32(starts[0]), np.int32(starts[1]), np.int32(starts[2])

    @property
    def multiply_adds(self) -> int:
        """Of one product of queries and keys."""
        return self.batch * self.row * self.queries * self.keys


@dataclass(frozen=True)
class Attention(_Heads):
    """(batch, queries, heads, features): softmax(scale q k') v for each head."""

    def infer(self, *inputs: Spec) -> Spec:
        q = inputs[0]
        return Spec((*q.shape[:2], *q.shape[-2:]), q.dtype)

    def multiply_adds(self, node: Node) -> float:
        return 2 * self._sizes(node.inputs).multiply_adds

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        if not node.size:
            return Lowering(())
        sizes, arrays = self._sizes(node.inputs), self._arrays(operands)
        out, arguments = epilogue.arguments[0], sizes.arguments(self.scale, node.dtype)
        if target.gpu:
            items = ceil(sizes.queries / GROUP) * GROUP * sizes.batch * sizes.heads
            return Lowering(
                (Launch(self._gpu(sizes, node), "forward", (out, *arrays, *arguments), (items,), (GROUP,)),)
            )
        tiles = _Tiles.of(sizes, Registers.of(target.device, node))
        blocks = ceil(sizes.queries / tiles.block)
        chunk = ceil(blocks / ceil(target.items / (sizes.batch * sizes.heads))) * tiles.block
        items = min(target.items, sizes.batch * sizes.heads * ceil(sizes.queries / chunk))
        room = tiles.rooms(transposed=1, tables=1, blocks=2, scores=1)
        every = (out, WORKSPACE, *arrays, *arguments, np.int32(chunk), np.int32(room))
        launch = Launch(self._cpu(tiles, node), "forward", every, (items,), (1,))
        return Lowering((launch,), items * room * node.dtype.itemsize)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        found = apply(AttentionBackward(self.scale, self.causal, self.packed, self.masked), dy, *node.inputs)
        rest: list[Tensor | None] = [None] if self.masked else []
        if self.packed:
            return [found, *rest]
        ends = np.cumsum([each.size for each in node.inputs[:3]])
        pieces = [found[end - each.size : end] for end, each in zip(ends, node.inputs, strict=False)]
        return [*(reshape(piece, each.shape) for piece, each in zip(pieces, node.inputs, strict=False)), *rest]


@dataclass(frozen=True)
class AttentionBackward(_Heads):
    """dq, dk and dv one after the other, flat; or as the packed input. Inputs: dy, then those of `Attention`."""

    @property
    def name(self) -> str:
        return "attention_backward"

    def infer(self, *inputs: Spec) -> Spec:
        arrays = inputs[1:2] if self.packed else inputs[1:4]
        return Spec(arrays[0].shape if self.packed else (sum(count(each.shape) for each in arrays),), inputs[0].dtype)

    def multiply_adds(self, node: Node) -> float:
        return 5 * self._sizes(node.inputs[1:]).multiply_adds

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        if not node.size:
            return Lowering(())
        sizes, arrays = self._sizes(node.inputs[1:]), (operands[0], *self._arrays(operands[1:]))
        arguments, (dq, dk, dv) = sizes.arguments(self.scale, node.dtype), sizes.gradients
        out, heads, size = epilogue.arguments[0], sizes.batch * sizes.heads, node.dtype.itemsize
        if not target.gpu:
            tiles = _Tiles.of(sizes, Registers.of(target.device, node))
            room, items = tiles.rooms(transposed=2, tables=3, blocks=3, scores=2), min(target.items, heads)
            every = (out, WORKSPACE, *arrays, *arguments, dq, dk, dv, np.int32(room))
            return Lowering((Launch(self._cpu(tiles, node), "backward", every, (items,), (1,)),), items * room * size)
        source, every = self._gpu(sizes, node), (out, WORKSPACE, *arrays, *arguments)
        steps = [("backward_queries", sizes.queries, (dq,)), ("backward_keys", sizes.keys, (dk, dv))]
        launches = [
            Launch(source, name, (*every, *starts), (ceil(rows / GROUP) * GROUP * heads,), (GROUP,))
            for name, rows, starts in steps
        ]
        return Lowering(tuple(launches), 2 * heads * sizes.queries * size)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        raise ArgumentError("attention: has no second derivative")


@dataclass(frozen=True)
class _Tiles:
    """Tiles of attention_cpu.cl, (rows, vectors) each, and what they pad the keys and features to."""

    registers: Registers
    features: int
    block: int
    by_keys: tuple[int, int]
    by_features: tuple[int, int]
    keys_padded: int
    columns: int

    @classmethod
    def of(cls, sizes: _Sizes, registers: Registers) -> _Tiles:
        width = registers.width
        vectors = [
            _even(ceil(extent / width), 4 if registers.count > 16 else 2) for extent in (sizes.keys, sizes.features)
        ]
        tiles = [each * width for each in vectors]
        rows = [next(r for r in (8, 4, 2) if (r + 1) * each < registers.count and not tiles[0] % r) for each in vectors]
        padded = [ceil(extent / tile) * tile for extent, tile in zip((sizes.keys, sizes.features), tiles, strict=True)]
        block = min(BLOCK, ceil(sizes.queries / 8) * 8)
        return cls(registers, sizes.features, block, (rows[0], vectors[0]), (rows[1], vectors[1]), *padded)

    def rooms(self, *, transposed: int, tables: int, blocks: int, scores: int) -> int:
        """Elements of so many arrays in a work-item's part of the workspace, in whole cache lines."""
        total = self.keys_padded * (transposed * self.features + tables * self.columns + scores * self.block)
        return ceil((total + blocks * self.block * self.columns) / 16) * 16


def _even(vectors: int, most: int) -> int:
    """Vectors of each of the fewest tiles that cover so many, all of one size."""
    return ceil(vectors / ceil(vectors / most))


def _heads(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None, packed: bool
) -> Tensor:
    """The node, its arguments checked; packed: q, k and v are one array."""
    queries, keys = q.shape[1], k.shape[1]
    if not queries or not keys:
        raise ShapeError(f"attention: got {queries} queries and {keys} keys, wants one of each at least")
    if causal and queries > keys:
        raise ShapeError(f"attention: causal, with {queries} queries and {keys} keys; wants no more queries than keys")
    arrays = [q] if packed else [q, k, v]
    dtype = common_dtype(arrays, "attention")
    if dtype.kind != "f":
        raise DTypeError(f"attention: got {dtype}, wants float32 or float64")
    nodes = [convert(as_node(each), dtype) for each in arrays]
    if mask is not None:
        if mask.shape not in ((q.shape[0], keys), (q.shape[0], queries, keys)):
            wanted = f"({q.shape[0]}, {keys}) or ({q.shape[0]}, {queries}, {keys})"
            raise ShapeError(f"attention: mask has shape {mask.shape}, wants {wanted}")
        nodes.append(convert(as_node(mask), np.dtype(np.bool_)))
    factor = float(q.shape[-1] ** -0.5 if scale is None else scale)
    return apply(Attention(factor, bool(causal), packed, mask is not None), *nodes)


@eager
@in_float32
def attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """softmax(scale q k') v for each head: (batch, queries, heads, features). Source: Vaswani et al. 2017.

    q (batch, queries, heads, features); k, v (batch, keys, heads, features). scale: 1 / sqrt(features) if None.
    causal: query i sees the keys up to i + keys - queries. mask, bool: which keys are seen, (batch, keys), or which
    each query sees, (batch, queries, keys). A query that sees none gets 0.
    """
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape or (q.shape[0], *q.shape[2:]) != (k.shape[0], *k.shape[2:]):
        raise ShapeError(
            f"attention: got q {q.shape}, k {k.shape}, v {v.shape}; wants (batch, queries, heads, features) and twice "
            "(batch, keys, heads, features)"
        )
    return _heads(q, k, v, mask, causal, scale, packed=False)


@eager
@in_float32
def self_attention(
    x: Tensor, *, causal: bool = False, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """`attention` of x[:, :, 0], x[:, :, 1] and x[:, :, 2]; x (batch, steps, 3, heads, features), one projection."""
    if x.ndim != 5 or x.shape[2] != 3:
        raise ShapeError(f"self_attention: got shape {x.shape}, wants (batch, steps, 3, heads, features)")
    return _heads(x, x, x, mask, causal, scale, packed=True)
