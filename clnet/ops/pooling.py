"""Pools: the maximum, the mean, or the root of the sum of squares of each window of a picture or a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import DTypeError, ShapeError
from clnet.graph import Emitter, Node, Op, Pointwise, Spec
from clnet.index import Index
from clnet.ops import reduction
from clnet.ops.elementwise import equal, in_float32, sqrt, square, where
from clnet.ops.indexing import arange
from clnet.ops.reduction import ArgMax, Max
from clnet.ops.shape import Reshape, pad, reshape
from clnet.ops.windows import Padding, Pair, Size, counts, paddings, pair, windows
from clnet.tensor import Tensor
from clnet.trace import all_widened, apply, as_node

TAPS = (3, 4)  # a window's own axes


@dataclass(frozen=True)
class First(Max):
    """The largest element of a window, to whose first place the gradient goes."""

    @property
    def name(self) -> str:
        return "max"

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        (taken,) = node.inputs
        return [apply(Chosen((taken.shape[3], taken.shape[4])), apply(ArgMax(self.axes), taken), dy)]


@dataclass(frozen=True)
class Chosen(Pointwise):
    """result[n, r, q, i, j, c] = dy[n, r, q, c] where taps[n, r, q, c] = i * size[1] + j, else 0.

    One op, so that what the forward pass leaves behind for it is `taps`, not a mask of every element.
    """

    size: Pair
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        n, rows, columns, channels = inputs[0].shape
        return Spec((n, rows, columns, *self.size, channels), inputs[1].dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        taps, dy = node.inputs
        pixel, own = (*index[:3], index[5]), emitter.code(index[3:5], self.size)
        return f"{emitter.value(taps, pixel)} == {own} ? {emitter.value(dy, pixel)} : {emitter.scalar(0, node.dtype)}"

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """The networks' pictures as one batch."""
        taps, dy = all_widened(inputs, many, networks)
        found = apply(self, *(reshape(each, (-1, *each.shape[2:])) for each in (taps, dy)))
        return Reshape((*taps.shape[:2], *found.shape[1:])), [found]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        taps, _ = node.inputs
        n, rows, columns, channels = taps.shape
        own = reshape(arange(self.size[0] * self.size[1]), (1, 1, 1, *self.size, 1))
        chosen = equal(reshape(taps, (n, rows, columns, 1, 1, channels)), own)
        return [None, reduction.sum(where(chosen, dy, 0.0), axis=TAPS)]


@eager
@in_float32
def max_pool(x: Tensor, size: Size, *, strides: Size | None = None, padding: Padding = "valid") -> Tensor:
    """The maximum of each window; padding never is one. x (batch, height, width, channels) or (batch, steps, channels).

    size, strides (default: the size) and padding are for all axes or for each; see `paddings`. The gradient goes to
    the first of equal maxima.
    """

    def reduce(taken: Tensor, _: Tensor | int) -> Tensor:
        return apply(First(TAPS), as_node(taken))

    return _pool("max_pool", x, size, strides, padding, -np.inf, reduce)


@eager
@in_float32
def average_pool(x: Tensor, size: Size, *, strides: Size | None = None, padding: Padding = "valid") -> Tensor:
    """The mean of each window's elements, of which padding is none. Arguments as in `max_pool`."""

    def reduce(taken: Tensor, real: Tensor | int) -> Tensor:
        mean: Any = reduction.sum(taken, axis=TAPS)
        result: Tensor = mean / real
        return result

    return _pool("average_pool", x, size, strides, padding, 0.0, reduce)


@eager
@in_float32
def l2_pool(x: Tensor, size: Size, *, strides: Size | None = None, padding: Padding = "valid") -> Tensor:
    """The root of the sum of each window's squares, as in Nielsen's chapter 6. Arguments as in `max_pool`.

    Where a window is all zeros, so is its gradient.
    """

    def reduce(taken: Tensor, _: Tensor | int) -> Tensor:
        total: Any = reduction.sum(square(taken), axis=TAPS)
        some = total > 0
        return where(some, sqrt(where(some, total, 1.0)), 0.0)

    return _pool("l2_pool", x, size, strides, padding, 0.0, reduce)


def _pool(
    who: str,
    x: Tensor,
    size: Size,
    strides: Size | None,
    padding: Padding,
    fill: float,
    reduce: Callable[[Tensor, Tensor | int], Tensor],
) -> Tensor:
    """`reduce(windows, real elements in each)` of a padded picture, or of a sequence, which is one of height 1."""
    if x.ndim not in (3, 4) or x.dtype.kind != "f":
        kind = ShapeError if x.dtype.kind == "f" else DTypeError
        wanted = "floats (batch, height, width, channels) or (batch, steps, channels)"
        raise kind(f"{who}: got {x.dtype} of shape {x.shape}, wanted {wanted}")
    axes = x.ndim - 2
    sizes = pair(who, "size", size, axes=axes)
    steps = sizes if strides is None else pair(who, "strides", strides, axes=axes)
    picture = x if axes == 2 else reshape(x, (x.shape[0], 1, *x.shape[1:]))
    extents = (picture.shape[1], picture.shape[2])
    sides = paddings(who, padding, extents, sizes, steps, (1, 1), axes=axes)
    padded = pad(picture, [(0, 0), *sides, (0, 0)], value=fill)
    counts(who, (padded.shape[1], padded.shape[2]), sizes, steps, (1, 1))
    taken = windows(padded, sizes, strides=steps)
    result = reduce(taken, _real(who, extents, sizes, steps, sides))
    return result if axes == 2 else reshape(result, (x.shape[0], result.shape[2], x.shape[2]))


def _real(who: str, extents: Pair, sizes: Pair, strides: Pair, sides: tuple[Pair, Pair]) -> Tensor | int:
    """How many elements of each window are not padding: a number, or (rows, columns, 1) of them."""
    if sides == ((0, 0), (0, 0)):
        return sizes[0] * sizes[1]
    along = []
    for extent, size, stride, (before, after) in zip(extents, sizes, strides, sides, strict=True):
        starts = np.arange(0, extent + before + after - size + 1, stride) - before
        along.append(np.minimum(starts + size, extent) - np.maximum(starts, 0))
    real = np.maximum(along[0][:, None, None] * along[1][:, None], 1)  # a window of padding alone has a mean of 0
    return as_node(real.astype(np.float32))
