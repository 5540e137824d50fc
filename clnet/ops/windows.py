"""Windows of a picture: views that cost nothing, from which pools and convolutions are reductions and products.

A picture is (batch, height, width, channels), its windows are (batch, rows, columns, kernel height, kernel width,
channels). Sequences (batch, steps, channels) are pictures of height 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from clnet.compiled import eager
from clnet.errors import ArgumentError, ShapeError
from clnet.graph import Broadcast, Emitter, Node, Op, Pointwise, Spec
from clnet.index import Expr, Index, Sum, Var
from clnet.ops.shape import Reshape, reshape, slice, transpose
from clnet.tensor import Tensor
from clnet.trace import apply, as_node

Pair: TypeAlias = tuple[int, int]
Size: TypeAlias = int | Sequence[int]  # of all spatial axes, or of each
Padding: TypeAlias = Literal["same", "valid"] | int | Sequence[int] | Sequence[Sequence[int]]


@dataclass(frozen=True)
class _Sliding(Pointwise):
    """What both directions have in common: steps between windows and between their elements, extents of the result."""

    strides: Pair
    dilation: Pair
    extents: Pair
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        batch, _, _, *rest = inputs[0].shape
        return Spec((batch, *self.extents, *rest), inputs[0].dtype)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """The networks' pictures as one batch."""
        (x,) = inputs
        found = apply(self, reshape(x, (-1, *x.shape[2:])))
        return Reshape((*x.shape[:2], *found.shape[1:])), [found]


@dataclass(frozen=True)
class Slide(_Sliding):
    """result[n, r, q, i, j, c] = x[n, r * stride + i * dilation, q * stride + j * dilation, i, j, c]."""

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        n, r, q, i, j, c = index
        h, w = (
            _sum(place, stride, tap, dilation)
            for place, stride, tap, dilation in zip((r, q), self.strides, (i, j), self.dilation, strict=True)
        )
        return emitter.value(node.inputs[0], (n, h, w, i, j, c))

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        (x,) = node.inputs
        return [apply(SlideBack(self.strides, self.dilation, (x.shape[1], x.shape[2])), dy)]


@dataclass(frozen=True)
class SlideBack(_Sliding):
    """result[n, r * stride + i * dilation, q * stride + j * dilation, i, j, c] = y[n, r, q, i, j, c], 0 elsewhere."""

    reads_once = True

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        (y,) = node.inputs
        n, h, w, i, j, c = index
        zero = emitter.scalar(0, y.dtype)
        if not y.size:
            return zero
        inside: list[str] = []
        places: list[Expr] = []
        for axis, (at, tap) in enumerate(((h, i), (w, j))):
            found, wanted = self._place(emitter, axis, at, tap, y.shape[1 + axis], y.shape[3 + axis])
            places.append(found)
            inside += wanted
        value = emitter.value(y, (n, *places, i, j, c))
        return f"({' & '.join(inside)}) ? {value} : {zero}"

    def _place(self, emitter: Emitter, axis: int, at: Expr, tap: Expr, count: int, taps: int) -> tuple[Expr, list[str]]:
        """Which window has its tap here, held inside what there is, and C conditions that it is one."""
        stride, dilation = self.strides[axis], self.dilation[axis]
        here, back = emitter.code((at,), (self.extents[axis],)), emitter.code((tap,), (taps,))
        moved = f"({here} - {back})" if dilation == 1 else f"({here} - {dilation} * {back})"
        place = moved if stride == 1 else f"({moved} / {stride})"
        wanted = [f"({moved} >= 0)", f"({place} < {count})"]
        if stride != 1:
            wanted.append(f"({moved} % {stride} == 0)")
        return Var(f"({moved} < 0 ? 0 : {place} < {count} ? {place} : {count - 1})", count), wanted

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        (y,) = node.inputs
        return [apply(Slide(self.strides, self.dilation, (y.shape[1], y.shape[2])), dy)]


def _sum(place: Expr, stride: int, tap: Expr, dilation: int) -> Expr:
    if isinstance(tap, Var) and tap.extent == 1 and stride == 1:
        return place
    return Sum(place, stride, tap, dilation)


@eager
def windows(x: Tensor, size: Size, *, strides: Size | None = None, dilation: Size = 1) -> Tensor:
    """result[n, r, q, i, j, c] = x[n, r * stride + i * dilation, q * stride + j * dilation, c]. Copies nothing.

    x (batch, height, width, channels), result (batch, rows, columns, size, size, channels): as many windows as lie
    inside. strides: default the size, so that windows tile the picture. Also called unfold, or im2col.
    """
    if x.ndim != 4:
        raise ShapeError(f"windows: got shape {x.shape}, wanted (batch, height, width, channels)")
    sizes = pair("windows", "size", size)
    steps = sizes if strides is None else pair("windows", "strides", strides)
    apart = pair("windows", "dilation", dilation)
    n, height, width, channels = x.shape
    rows, columns = counts("windows", (height, width), sizes, steps, apart)
    if steps == sizes and apart == (1, 1):  # each element is in one window
        (a, b), (p, q) = sizes, (rows * sizes[0], columns * sizes[1])
        inside = slice(x, (0, 0, 0, 0), (n, p, q, channels))
        return transpose(reshape(inside, (n, rows, a, columns, b, channels)), (0, 1, 3, 2, 4, 5))
    taps = apply(Broadcast((n, height, width, *sizes, channels)), reshape(x, (n, height, width, 1, 1, channels)))
    return apply(Slide(steps, apart, (rows, columns)), as_node(taps))


def pair(who: str, what: str, value: Size, *, least: int = 1, axes: int = 2) -> Pair:
    """A size along height and width; of one axis (a sequence), the height's is 1 and stays `least` at most."""
    found = [value] * axes if isinstance(value, int) else list(value)
    if len(found) != axes or any(not isinstance(each, int) or each < least for each in found):
        wanted = f"an integer of {least} or more" + (" or two of them" if axes == 2 else "")
        raise ArgumentError(f"{who}: {what} is {value!r}, wants {wanted}")
    return (found[0], found[1]) if axes == 2 else (min(1, least), found[0])


def counts(who: str, extents: Pair, sizes: Pair, strides: Pair, dilation: Pair) -> Pair:
    """How many windows fit along each axis; `ShapeError` where none does."""
    spans = [reach(size, apart) for size, apart in zip(sizes, dilation, strict=True)]
    if any(span > extent for span, extent in zip(spans, extents, strict=True)):
        raise ShapeError(
            f"{who}: a window of {spans[0]} x {spans[1]} does not fit into the {extents[0]} x {extents[1]} "
            "of the input with its padding"
        )
    down, across = ((extent - span) // step + 1 for extent, span, step in zip(extents, spans, strides, strict=True))
    return down, across


def reach(size: int, dilation: int) -> int:
    """The elements from a window's first to its last."""
    return (size - 1) * dilation + 1


def paddings(
    who: str, padding: Padding, extents: Pair, sizes: Pair, strides: Pair, dilation: Pair, *, axes: int = 2
) -> tuple[Pair, Pair]:
    """(before, after) along height and width.

    "valid": none. "same": so many that there are ceil(extent / stride) windows, the odd one after, as in Keras. Else
    an integer, one for each axis, or (before, after) for each.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        return _same(extents[0], sizes[0], strides[0], dilation[0]), _same(
            extents[1], sizes[1], strides[1], dilation[1]
        )
    given: list[Any] = [padding] * axes if isinstance(padding, int) else list(padding)
    sides = [(each, each) if isinstance(each, int) else tuple(each) for each in given]
    if isinstance(padding, str) or len(sides) != axes or any(len(s) != 2 or min(s) < 0 for s in sides):
        wanted = '"same", "valid", an integer of 0 or more, or one or (before, after) for each axis'
        raise ArgumentError(f"{who}: padding is {padding!r}, wants {wanted}")
    down, across = [(0, 0), *sides][-2:]
    return (down[0], down[1]), (across[0], across[1])


def _same(extent: int, size: int, stride: int, dilation: int) -> Pair:
    total = max((-(-extent // stride) - 1) * stride + reach(size, dilation) - extent, 0)
    return total // 2, total - total // 2
