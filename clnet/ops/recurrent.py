"""Recurrences over a whole sequence in one launch: simple_rnn, lstm, gru.

The input's part of the gates, for all steps at once, is a product outside, and so are the gradients of the weights.
Arrays run over time first, (steps, batch, ...): each step is contiguous, and a transposition costs nothing where it is
part of a copy that is made anyway.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from clnet.compiled import eager
from clnet.errors import ArgumentError, DTypeError, ShapeError
from clnet.gemm.problem import Registers, c_type
from clnet.graph import Node, Op, Routine, Spec, count
from clnet.kernels import DOUBLE, Launch, define, read
from clnet.lowering import WORKSPACE, Epilogue, Lowering, Target
from clnet.ops import reduction
from clnet.ops.elementwise import common_dtype, convert, in_float32
from clnet.ops.product import matmul
from clnet.ops.shape import Embed, concatenate, one_by_one, ones, reshape
from clnet.tensor import Tensor
from clnet.trace import apply, as_node

GROUP, ROWS = 256, 4  # work-items of a GPU's group, and rows of the batch that it owns, at most
VECTORS = 4  # of units side by side in a backward tile, at most


@dataclass(frozen=True)
class Cell:
    """A kind of cell: its number in recurrent.cl, and how many arrays it has of each sort."""

    name: str
    number: int
    gates: int
    states: int
    sections: int  # of a result: the states, then what the backward pass reads
    bias: bool = False  # of the state's part of the gates, beside the one of the input's


CELLS: Mapping[str, Cell] = MappingProxyType(
    {
        "tanh": Cell("simple_rnn", 0, 1, 1, 1),
        "relu": Cell("simple_rnn", 1, 1, 1, 1),
        "lstm": Cell("lstm", 2, 4, 2, 6),
        "gru": Cell("gru", 3, 3, 1, 5, bias=True),
    }
)


@dataclass(frozen=True)
class Recurrence(Routine):
    """(sections, steps, batch, units), the states first, from x, weights, h, c (lstm), bias (gru), mask (if masked).

    Nothing but all of h and the last c may be used of the result where gradients are wanted.
    """

    cell: Cell
    masked: bool
    fuses = False

    @property
    def name(self) -> str:
        return self.cell.name

    def infer(self, *inputs: Spec) -> Spec:
        x, weights = inputs[:2]
        return Spec((self.cell.sections, *x.shape[:2], weights.shape[0]), x.dtype)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return one_by_one(self, inputs, many, networks)

    def runs(self, node: Node) -> tuple[int, int]:
        return node.ndim - 1, node.ndim

    def multiply_adds(self, node: Node) -> float:
        x, weights = node.inputs[:2]
        return x.size * weights.shape[0]

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        if not node.size:
            return Lowering(())
        x, weights, h, c, bias, mask = self.named(operands)
        steps, batch, units = node.shape[1:]
        form = _form(
            self.cell, node, units, batch, target, self.cell.gates, MASKED=int(self.masked), BIAS=int(self.cell.bias)
        )
        packed = weights if target.gpu else WORKSPACE
        arguments = (epilogue.arguments[0], x, packed, bias, h, c, mask, *map(np.int32, (steps, batch, units)))
        launch = Launch(form.source, "forward", arguments, (form.items,), (form.group,))
        return Lowering((launch,)) if target.gpu else Lowering((form.pack(weights), launch), form.packed_bytes)

    def named(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """(x, weights, h, c, bias, mask); h stands in for what there is not."""
        rest = iter(values)
        x, weights, h = next(rest), next(rest), next(rest)
        has = (self.cell.states > 1, self.cell.bias, self.masked)
        return x, weights, h, *(next(rest) if there else h for there in has)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        _, weights, h, c, _, mask = self.named(node.inputs)
        cell, (steps, batch, units) = self.cell, node.shape[1:]
        ends = [dy[1, -1]] if cell.states > 1 else []
        dh = as_node(dy[0])
        last = _of_last_step(dh)
        rest = [weights, h, *([c] if ends else []), *([mask] if self.masked else [])]
        inputs = [node, dh if last is None else last, *ends, *rest]
        backward = RecurrenceBackward(cell, self.masked, last is not None)
        dx = apply(backward, *inputs)
        starts = apply(replace(backward, initial=True), *inputs)
        gates: Tensor = dx
        if cell.bias:  # the state's part of the candidate passes the reset gate
            others = ones((steps, batch, 2 * units), dtype=node.dtype, device=node.device)
            gates = dx * concatenate([others, node[2]], axis=-1)  # element by element: it takes the place of dx
        before = concatenate([h[None], node[0, :-1]], axis=0)
        flat = reshape(before, (steps * batch, units)), reshape(gates, (steps * batch, -1))
        gradients = [dx, matmul(*flat, transpose_a=True), starts[0]]
        gradients += [starts[1]] if cell.states > 1 else []
        gradients += [reduction.sum(flat[1], axis=0)] if cell.bias else []
        return [*gradients, None] if self.masked else gradients


def _of_last_step(dh: Node) -> Node | None:
    """The part (batch, units) of dh that belongs to the last step, where the others have none."""
    (steps, *rest), op = dh.shape, dh.op
    if isinstance(op, Embed) and op == Embed((steps - 1, 0, 0), (1, 1, 1), dh.shape):
        (source,) = dh.inputs
        return as_node(reshape(source, rest)) if source.shape == (1, *rest) else None
    return None


@dataclass(frozen=True)
class RecurrenceBackward(Routine):
    """dx (steps, batch, gates * units), or d of the first states (states, batch, units) if `initial`.

    Inputs: the result, dh (steps, batch, units) or that of the `last` step alone (batch, units), d of the last c
    (lstm), weights, h, c (lstm), mask (if masked).
    """

    cell: Cell
    masked: bool
    last: bool
    initial: bool = False
    fuses = False

    @property
    def name(self) -> str:
        return f"{self.cell.name}_backward"

    def infer(self, *inputs: Spec) -> Spec:
        _, steps, batch, units = inputs[0].shape
        shape = (self.cell.states, batch, units) if self.initial else (steps, batch, self.cell.gates * units)
        return Spec(shape, inputs[0].dtype)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return one_by_one(self, inputs, many, networks)

    def runs(self, node: Node) -> tuple[int, int]:
        return node.ndim - 1, node.ndim

    def multiply_adds(self, node: Node) -> float:
        _, steps, batch, units = node.inputs[0].shape
        return steps * batch * units * units * self.cell.gates

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        if not node.size:
            return Lowering(())
        cell, (steps, batch, units) = self.cell, node.inputs[0].shape[1:]
        rest = iter(operands)
        two = cell.states > 1
        y, dh = next(rest), next(rest)
        dc = next(rest) if two else dh
        weights, h = next(rest), next(rest)
        c = next(rest) if two else h
        mask = next(rest) if self.masked else h
        options = {"MASKED": int(self.masked), "LAST": int(self.last), "INITIAL": int(self.initial)}
        form = _form(cell, node, units, batch, target, VECTORS, **options)
        arguments = (epilogue.arguments[0], WORKSPACE, y, dh, dc, h, c, mask, *map(np.int32, (steps, batch, units)))
        launch = Launch(form.source, "backward", arguments, (form.items,), (form.group,))
        space = batch * units * (2 * cell.gates + cell.states) * node.dtype.itemsize
        return Lowering((form.pack(weights, backward=True), launch), form.packed_bytes + space)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        raise ArgumentError(f"{self.cell.name}: has no second derivative")


@dataclass(frozen=True)
class _Form:
    """A program, its work-items and their groups; the weights as it reads them: (panels, depth, vectors, width)."""

    source: str
    items: int
    group: int
    units: int
    packed: tuple[int, int, int, int]
    itemsize: int

    @property
    def packed_bytes(self) -> int:
        return count(self.packed) * self.itemsize

    def pack(self, weights: Hashable, *, backward: bool = False) -> Launch:
        """The kernel that puts the weights in that order, transposed for the backward pass."""
        panels, depth, vectors, width = self.packed
        grain = 1 if self.group > 1 else 64
        down = ceil(depth / grain)
        sizes = map(np.int32, (self.units, depth, vectors, width, grain, backward))
        return Launch(self.source, "pack", (WORKSPACE, weights, *sizes), (panels, down), (1, 1))


def _form(cell: Cell, node: Node, units: int, batch: int, target: Target, vectors: int, **options: int) -> _Form:
    """The form for a target; `vectors`: most of a tile. Rows, columns and items are no part of what sums are."""
    backward = "INITIAL" in options
    registers = Registers.of(target.device, node)
    size, depth = registers.size, units * (cell.gates if backward else 1)
    text = DOUBLE * (size == 8) + define(T=c_type(node.dtype), DOUBLE=int(size == 8), CELL=cell.number, **options)
    text += read("math.cl") + read("activation.cl")
    if target.gpu:
        rows = max(1, min(ROWS, batch // (2 * target.units)))
        group = min(GROUP, 1 << (max(32, units) - 1).bit_length())
        text += define(LANES=1, ROWS=rows, GROUP=group) + read("recurrent.cl") + read("recurrent_gpu.cl")
        return _Form(text, ceil(batch / rows) * group, group, units, (1, depth, 1, units), size)
    width = registers.width
    vectors = min(vectors, ceil(units / width)) if backward else vectors
    items = min(batch, target.units)
    text += define(
        LANES=width, WIDTH=width, BYTES=width * size, MR=_tile(batch // items, vectors, registers), NV=vectors
    )
    text += read("gemm_registers.cl") + read("recurrent.cl") + read("recurrent_cpu.cl")
    panels = ceil(units / (width * (vectors if backward else 1)))
    return _Form(text, items, 1, units, (panels, depth, vectors, width), size)


def _tile(rows: int, vectors: int, registers: Registers) -> int:
    """Rows of a tile that stays in registers: the fewest steps and loads to cover `rows`."""
    most = min(rows, (registers.count - 1 - vectors) // vectors)
    return min(range(1, most + 1), key=lambda tile: ceil(rows / tile) * (tile * vectors + 0.5 * vectors + 2))


def _sequence(
    cell: Cell, x: Tensor, weights: Tensor, h: Tensor, c: Tensor | None, bias: Tensor | None, mask: Tensor | None
) -> Node:
    """The node of a recurrence, its arguments checked."""
    values = [each for each in (x, weights, h, c, bias) if each is not None]
    dtype = common_dtype(values, cell.name)
    if dtype.kind != "f":
        raise DTypeError(f"{cell.name}: got {dtype}, wants float32 or float64")
    if x.ndim != 3 or weights.ndim != 2 or not x.shape[0]:
        raise ShapeError(
            f"{cell.name}: got x of shape {x.shape} and weights of {weights.shape}; wants (steps, batch, "
            f"{cell.gates} * units), at least one step, and (units, {cell.gates} * units)"
        )
    steps, batch, _ = x.shape
    units = weights.shape[0]
    gates = cell.gates * units
    wanted = {"x": (steps, batch, gates), "weights": (units, gates), "h": (batch, units), "c": (batch, units)}
    wanted |= {"bias": (gates,), "mask": (steps, batch)}
    given = {"x": x, "weights": weights, "h": h, "c": c, "bias": bias, "mask": mask}
    for name, value in given.items():
        if value is not None and value.shape != wanted[name]:
            raise ShapeError(f"{cell.name}: {name} has shape {value.shape}, wants {wanted[name]}")
    nodes = [convert(as_node(each), dtype) for each in values]
    if mask is not None:
        nodes.append(convert(as_node(mask), np.dtype(np.bool_)))
    return apply(Recurrence(cell, mask is not None), *nodes)


@eager
@in_float32
def simple_rnn(
    x: Tensor, weights: Tensor, h: Tensor, *, mask: Tensor | None = None, activation: Literal["tanh", "relu"] = "tanh"
) -> Tensor:
    """h[t] = activation(x[t] + h[t - 1] weights) for all t: (steps, batch, units). Source: Elman 1990.

    x (steps, batch, units): the input's part; weights (units, units); h (batch, units): the state before the first
    step. mask (steps, batch): rows keep their state in steps where it is False, as if the step were not there.
    """
    if activation not in ("tanh", "relu"):
        raise ArgumentError(f"simple_rnn: got activation {activation!r}, wants 'tanh' or 'relu'")
    return _sequence(CELLS[activation], x, weights, h, None, None, mask)[0]


@eager
@in_float32
def lstm(x: Tensor, weights: Tensor, h: Tensor, c: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(h[t] for all t (steps, batch, units), the last c (batch, units)) of a long short-term memory.

    i, f, o = sigmoid and g = tanh of x[t] + h[t - 1] weights; c[t] = f c[t - 1] + i g; h[t] = o tanh(c[t]).
    x (steps, batch, 4 * units): the input's part of the gates i, f, g, o, Keras's order; weights (units, 4 * units);
    h, c (batch, units): the states before the first step. mask: as for `simple_rnn`. Source: Hochreiter and
    Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.
    """
    node = _sequence(CELLS["lstm"], x, weights, h, c, None, mask)
    return node[0], node[1, -1]


@eager
@in_float32
def gru(x: Tensor, weights: Tensor, bias: Tensor, h: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """h[t] for all t (steps, batch, units) of a gated recurrent unit, its reset gate after the product.

    With u = h[t - 1] weights + bias: z, r = sigmoid(x[t] + u); n = tanh(x[t] + r u); h[t] = z h[t - 1] + (1 - z) n.
    x (steps, batch, 3 * units): the input's part of z, r and n, Keras's order; weights (units, 3 * units), bias
    (3 * units,), h (batch, units): the state before the first step. mask: as for `simple_rnn`. Source: Cho et al. 2014,
    as in cuDNN.
    """
    return _sequence(CELLS["gru"], x, weights, h, None, bias, mask)[0]
