"""Shape: ops that only say where elements lie. Each is index arithmetic inside the kernel that reads its result."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import ArgumentError, ShapeError
from clnet.graph import Broadcast, Emitter, Node, Op, Pointwise, Spec, View, count
from clnet.index import Expr, Index, Shifted, Var
from clnet.index import reshape as reindex
from clnet.ops.elementwise import common_dtype, convert
from clnet.tensor import Tensor, check_dtype
from clnet.trace import all_widened, apply, as_node, current


@dataclass(frozen=True)
class Reshape(View):
    """The same elements in the same order."""

    shape: tuple[int, ...]

    def infer(self, *inputs: Spec) -> Spec:
        if count(inputs[0].shape) != count(self.shape):
            raise ShapeError(f"reshape: {inputs[0].shape} has {count(inputs[0].shape)} elements, wanted {self.shape}")
        return Spec(self.shape, inputs[0].dtype)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        (x,) = inputs
        if x.shape == self.shape:
            return x
        return apply(self, x.inputs[0]) if isinstance(x.op, Reshape) else None

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        (x,) = node.inputs
        return emitter.value(x, reindex(index, node.shape, x.shape))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return Reshape((networks, *self.shape)), inputs

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [reshape(dy, node.inputs[0].shape)]


@dataclass(frozen=True)
class Transpose(Pointwise):
    """result axis i is axis axes[i] of x."""

    axes: tuple[int, ...]
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(tuple(inputs[0].shape[axis] for axis in self.axes), inputs[0].dtype)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        (x,) = inputs
        if self.axes == tuple(range(len(self.axes))):
            return x
        if isinstance(x.op, Transpose):
            return apply(Transpose(tuple(x.op.axes[axis] for axis in self.axes)), x.inputs[0])
        return None

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        places = dict(zip(self.axes, index, strict=True))
        return emitter.value(node.inputs[0], tuple(places[axis] for axis in range(len(index))))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return Transpose((0, *(axis + 1 for axis in self.axes))), inputs

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [transpose(dy, tuple(int(axis) for axis in np.argsort(self.axes)))]


@dataclass(frozen=True)
class Strided(Pointwise):
    """What two arrays of which one is every steps-th element of the other, from `starts` on, have in common."""

    starts: tuple[int, ...]
    steps: tuple[int, ...]
    shape: tuple[int, ...]
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(self.shape, inputs[0].dtype)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        return inputs[0] if inputs[0].shape == self.shape and builtins.all(step == 1 for step in self.steps) else None

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        wide = replace(self, starts=(0, *self.starts), steps=(1, *self.steps), shape=(networks, *self.shape))
        return wide, inputs


@dataclass(frozen=True)
class Slice(Strided):
    """result[i] = x[starts + steps * i]."""

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        (x,) = inputs
        is_inside = isinstance(x.op, Embed) and (x.op.starts, x.op.steps) == (self.starts, self.steps)
        if is_inside and x.inputs[0].shape == self.shape:
            return x.inputs[0]
        return super().simplify(inputs)

    def leads(self, node: Node) -> bool:
        (x,) = node.inputs
        cut = [axis for axis, extent in enumerate(x.shape) if extent != self.shape[axis]]
        first = [*self.shape[: cut[-1]]] if cut else []
        return not builtins.any(self.starts) and set(self.steps) <= {1} and set(first) <= {1}

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        moved = zip(index, self.starts, self.steps, strict=True)
        return emitter.value(node.inputs[0], tuple(_shifted(i, start, step) for i, start, step in moved))

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [apply(Embed(self.starts, self.steps, node.inputs[0].shape), dy)]


def _shifted(expr: Expr, start: int, step: int) -> Expr:
    return expr if (start, step) == (0, 1) else Shifted(expr, start, step)


@dataclass(frozen=True)
class Embed(Strided):
    """result[starts + steps * i] = x[i], `fill` elsewhere: pad, and the gradient of a slice."""

    fill: float = 0.0

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        (x,) = node.inputs
        fill = emitter.scalar(self.fill, x.dtype)
        if not x.size:
            return fill
        inside, where = [], []
        for axis, (i, start, step) in enumerate(zip(index, self.starts, self.steps, strict=True)):
            wide, extent = self.shape[axis], x.shape[axis]
            if wide == extent and step == 1:
                where.append(i)
                continue
            moved = f"({emitter.code((_shifted(i, -start, 1),), (wide + builtins.abs(start),))})"
            place = moved if step == 1 else f"({moved} / ({step}))"
            inside.append(f"({place} >= 0) & ({place} < {extent})")
            if step != 1:
                inside.append(f"({moved} % ({step}) == 0)")
            limited = f"({place} < 0 ? 0 : {place} < {extent} ? {place} : {extent - 1})"
            where.append(Var(limited, extent))
        return f"({' & '.join(inside)}) ? {emitter.value(x, tuple(where))} : {fill}"

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [apply(Slice(self.starts, self.steps, node.inputs[0].shape), dy)]


@dataclass(frozen=True)
class Concatenate(Pointwise):
    """Inputs one after another along an axis."""

    axis: int

    def infer(self, *inputs: Spec) -> Spec:
        first = inputs[0].shape
        total = builtins.sum(spec.shape[self.axis] for spec in inputs)
        return Spec((*first[: self.axis], total, *first[self.axis + 1 :]), inputs[0].dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        place = emitter.code((index[self.axis],), (node.shape[self.axis],))
        text, start = "", 0
        for number, x in enumerate(node.inputs):
            extent = x.shape[self.axis]
            moved = f"({place} - {start})"
            limited = Var(f"({moved} < 0 ? 0 : {moved} < {extent} ? {moved} : {extent - 1})", extent)
            value = emitter.value(x, (*index[: self.axis], limited, *index[self.axis + 1 :]))
            start += extent
            text += value if number == len(node.inputs) - 1 else f"{place} < {start} ? {value} : "
        return text

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return Concatenate(self.axis + 1), all_widened(inputs, many, networks)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return split(dy, [x.shape[self.axis] for x in node.inputs], axis=self.axis)


def one_by_one(op: Op, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
    """The rule for many networks of an op whose kernels know no axis of them: they run once for each."""
    each = [
        apply(op, *(getitem(x, network) if own else x for x, own in zip(inputs, many, strict=True)))
        for network in range(networks)
    ]
    return Concatenate(0), [as_node(expand_dims(node, 0)) for node in each]


def one_axis(who: str, axis: int, ndim: int) -> int:
    """An axis counted from the front."""
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{who}: got axis {axis} of a tensor with {ndim} axes")
    return axis % ndim


def _shape(who: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    wanted = (shape,) if isinstance(shape, int) else tuple(int(extent) for extent in shape)
    if builtins.any(extent < -1 for extent in wanted):
        raise ShapeError(f"{who}: got shape {wanted}, wanted extents of 0 and more")
    return wanted


@eager
def reshape(x: Tensor, shape: int | Sequence[int]) -> Tensor:
    """The same elements in row-major order under another shape; one extent may be -1. Copies nothing."""
    wanted = _shape("reshape", shape)
    if -1 in wanted:
        known = count([extent for extent in wanted if extent != -1])
        if wanted.count(-1) > 1 or not known or x.size % known:
            raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which do not make {wanted}")
        wanted = tuple(x.size // known if extent == -1 else extent for extent in wanted)
    return apply(Reshape(wanted), as_node(x))


@eager
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; without `axes`, reversed."""
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(one_axis("transpose", a, x.ndim) for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: got axes {tuple(axes or ())} for shape {x.shape}, wanted each axis once")
    return apply(Transpose(order), as_node(x))


@eager
def broadcast_to(x: Tensor, shape: int | Sequence[int]) -> Tensor:
    """x under a larger shape, by NumPy's rule."""
    return apply(Broadcast(_shape("broadcast_to", shape)), as_node(x))


@eager
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """A new axis of extent 1 at `axis`."""
    place = one_axis("expand_dims", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


@eager
def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    """Without axis `axis`, or without every axis of extent 1."""
    gone = {one_axis("squeeze", axis, x.ndim)} if axis is not None else {a for a, e in enumerate(x.shape) if e == 1}
    if builtins.any(x.shape[place] != 1 for place in gone):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} has more than one element")
    return reshape(x, tuple(extent for place, extent in enumerate(x.shape) if place not in gone))


@eager
def concatenate(tensors: Sequence[Tensor], *, axis: int = 0) -> Tensor:
    """Tensors one after another along an axis; the other extents are equal."""
    if not tensors:
        raise ArgumentError("concatenate: got no tensors")
    dtype = common_dtype(tensors, "concatenate")
    nodes = [convert(as_node(each), dtype) for each in tensors]
    place = one_axis("concatenate", axis, nodes[0].ndim)
    rest = {(*node.shape[:place], *node.shape[place + 1 :]) for node in nodes if node.ndim == nodes[0].ndim}
    if len(rest) != 1 or builtins.any(node.ndim != nodes[0].ndim for node in nodes):
        raise ShapeError(f"concatenate: shapes {', '.join(str(n.shape) for n in nodes)} differ beside axis {axis}")
    filled = [node for node in nodes if node.shape[place]] or nodes[:1]
    return filled[0] if len(filled) == 1 else apply(Concatenate(place), *filled)


@eager
def split(x: Tensor, sections: int | Sequence[int], *, axis: int = 0) -> list[Tensor]:
    """Pieces along an axis: `sections` equal ones, or of the extents given."""
    place = one_axis("split", axis, x.ndim)
    extent = x.shape[place]
    if isinstance(sections, int):
        if sections < 1 or extent % sections:
            raise ShapeError(f"split: axis {axis} of shape {x.shape} does not divide by {sections}")
        sections = [extent // sections] * sections
    if builtins.sum(sections) != extent:
        raise ShapeError(f"split: extents {list(sections)} do not add up to axis {axis} of shape {x.shape}")
    starts = np.cumsum([0, *sections[:-1]])
    return [_cut(x, place, int(start), size) for start, size in zip(starts, sections, strict=True)]


def _cut(x: Tensor, axis: int, start: int, size: int) -> Tensor:
    starts = [0] * x.ndim
    starts[axis] = start
    return slice(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


@eager
def slice(x: Tensor, starts: Sequence[int], sizes: Sequence[int], *, steps: Sequence[int] | None = None) -> Tensor:
    """x[start : start + step * size : step] along every axis."""
    steps = tuple(steps or (1,) * x.ndim)
    if not len(starts) == len(sizes) == len(steps) == x.ndim:
        raise ShapeError(f"slice: got {len(starts)} starts and {len(sizes)} sizes for shape {x.shape}")
    for start, size, step, extent in zip(starts, sizes, steps, x.shape, strict=True):
        last = start + step * (size - 1)
        if size < 0 or (size and not (0 <= start < extent and 0 <= last < extent)):
            raise ShapeError(f"slice: starts {tuple(starts)} and sizes {tuple(sizes)} leave shape {x.shape}")
    return apply(Slice(tuple(starts), steps, tuple(sizes)), as_node(x))


@eager
def pad(x: Tensor, widths: Sequence[tuple[int, int]], *, value: float = 0.0) -> Tensor:
    """`widths[axis] = (before, after)` more elements of `value` around x."""
    if len(widths) != x.ndim or builtins.any(side < 0 for pair in widths for side in pair):
        raise ShapeError(
            f"pad: got widths {list(widths)} for shape {x.shape}, wanted (before, after) >= 0 for each axis"
        )
    shape = tuple(before + extent + after for (before, after), extent in zip(widths, x.shape, strict=True))
    starts = tuple(before for before, _ in widths)
    return apply(Embed(starts, (1,) * x.ndim, shape, float(value)), as_node(x))


@eager
def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key] for integers, slices, `...` and None: basic indexing as in NumPy."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if builtins.any(isinstance(each, (Tensor, np.ndarray, list)) for each in keys):
        raise ArgumentError("x[...]: got an array as an index; use ops.gather(x, indices, axis=axis)")
    missing = x.ndim - builtins.sum(each is not None and each is not Ellipsis for each in keys)
    if missing < 0:
        raise ShapeError(f"x[...]: got {len(keys)} indices for shape {x.shape}")
    place = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[place : place + 1] = [_ALL] * missing
    starts: list[int] = []
    sizes: list[int] = []
    steps: list[int] = []
    shape: list[int] = []
    extents = iter(x.shape)
    for each in keys:
        if each is None:
            shape.append(1)
            continue
        start, size, step = _one_key(each, next(extents), x.shape)
        starts, sizes, steps = [*starts, start], [*sizes, size], [*steps, step]
        if isinstance(each, builtins.slice):
            shape.append(size)
    return reshape(slice(x, starts, sizes, steps=steps), shape)


_ALL = builtins.slice(None)


def _one_key(key: Any, extent: int, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(start, size, step) of an index along one axis."""
    if isinstance(key, builtins.slice):
        span = range(extent)[key]
        return (span.start if len(span) else 0), len(span), span.step
    if not -extent <= int(key) < extent:
        raise ShapeError(f"x[...]: index {key} is outside an axis of {extent} in shape {shape}")
    return int(key) % extent, 1, 1


@eager
def full(shape: int | Sequence[int], value: float, *, dtype: Any = np.float32, device: Any = None) -> Tensor:
    """A tensor with one number everywhere."""
    trace = current()
    assert trace is not None
    return trace.filled(value, _shape("full", shape), check_dtype(dtype, trace.device, "full"))


def zeros(shape: int | Sequence[int], *, dtype: Any = np.float32, device: Any = None) -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype=dtype, device=device)


def ones(shape: int | Sequence[int], *, dtype: Any = np.float32, device: Any = None) -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype=dtype, device=device)


__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "full", "getitem", "ones", "pad", "reshape", "slice", "split",
    "squeeze", "transpose", "zeros",
]  # fmt: skip
