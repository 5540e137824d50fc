"""Convolutions of pictures and sequences, and their transposes.

A transposed convolution is a convolution of the picture with zeros between its elements, and so is every gradient.
"""

from __future__ import annotations

from typing import Any

from clnet.compiled import eager
from clnet.errors import ArgumentError, ShapeError
from clnet.graph import Node
from clnet.ops import reduction
from clnet.ops.convolve import Geometry, forward, spread_windows
from clnet.ops.elementwise import convert, product_dtype, sum_dtype
from clnet.ops.product import product
from clnet.ops.shape import broadcast_to, reshape, slice, transpose
from clnet.ops.windows import Padding, Pair, Size, counts, paddings, pair, reach
from clnet.tensor import Tensor
from clnet.trace import as_node


@eager
def convolution(
    x: Tensor, w: Tensor, *, strides: Size = 1, padding: Padding = "valid", dilation: Size = 1, groups: int = 1
) -> Tensor:
    """y[n, r, q, o] = sum over i, j, c of x[n, r * stride + i * dilation, q * stride + j * dilation, c] w[i, j, c, o].

    x (batch, height, width, channels), w (kernel height, kernel width, channels / groups, outputs), y (batch, rows,
    columns, outputs); or x (batch, steps, channels), w (kernel, channels / groups, outputs). Padding is "valid" (none),
    "same" (as many windows as elements, over the stride), an integer, or (before, after) for each axis. With groups,
    the g-th part of the outputs sees the g-th part of the channels. Floats; float16 is summed in float32. It is a
    correlation: the kernel is not flipped.
    """
    picture, weights, axes = _pictures("convolution", x, w, groups)
    steps = pair("convolution", "strides", strides, axes=axes)
    apart = pair("convolution", "dilation", dilation, axes=axes)
    sizes = (weights.shape[0], weights.shape[1])
    sides = paddings("convolution", padding, _extents(picture), sizes, steps, apart, axes=axes)
    starts = (sides[0][0], sides[1][0])
    padded = (picture.shape[1] + sum(sides[0]), picture.shape[2] + sum(sides[1]))
    outputs = counts("convolution", padded, sizes, steps, apart)
    return _like(x, _convolved(picture, weights, Geometry(steps, apart, (1, 1), starts), outputs, groups))


@eager
def transposed_convolution(
    x: Tensor,
    w: Tensor,
    *,
    strides: Size = 1,
    padding: Padding = "valid",
    output_padding: Size | None = None,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, r * stride + i * dilation - before, ...] += x[n, r, q, c] w[i, j, c, o]: what undoes a convolution's shape.

    x, w and y as in `convolution`, which with these strides makes x's height and width of y's. Rows of y: (height - 1)
    * stride + reach - before - after + output_padding, where reach = (kernel - 1) * dilation + 1. Without
    output_padding, "same" gives height * stride and "valid" height * stride + max(reach - stride, 0), as in Keras.
    """
    who = "transposed_convolution"
    picture, weights, axes = _pictures(who, x, w, groups)
    steps = pair(who, "strides", strides, axes=axes)
    apart = pair(who, "dilation", dilation, axes=axes)
    more = None if output_padding is None else pair(who, "output_padding", output_padding, least=0, axes=axes)
    if more is not None and any(e >= max(s, d) for e, s, d in zip(more, steps, apart, strict=True)):
        raise ArgumentError(
            f"{who}: output_padding is {output_padding!r}, wants less than strides {strides!r} or dilation {dilation!r}"
        )
    sizes = (weights.shape[0], weights.shape[1])
    sides = paddings(who, padding, _extents(picture), sizes, steps, apart, axes=axes)
    starts, outputs = [], []
    for axis, extent in enumerate(_extents(picture)):
        span, stride = reach(sizes[axis], apart[axis]), steps[axis]
        before, after = _taken_off(padding, sides[axis], span, stride, None if more is None else more[axis])
        starts.append(span - 1 - before)
        outputs.append((extent - 1) * stride + span - before - after)
    if min(outputs) < 1:
        raise ShapeError(f"{who}: of an input of {_extents(picture)}, padding {padding!r} leaves nothing")
    geometry = Geometry((1, 1), apart, steps, (starts[0], starts[1]))
    turned = slice(weights, (sizes[0] - 1, sizes[1] - 1, 0, 0), weights.shape, steps=(-1, -1, 1, 1))
    return _like(x, _convolved(picture, as_node(turned), geometry, (outputs[0], outputs[1]), groups))


def _taken_off(padding: Padding, sides: Pair, span: int, stride: int, more: int | None) -> Pair:
    """What the result lacks before and after, along one axis; where it has more, that is negative."""
    if padding == "same" and more is None:
        total = span - stride
        return (total // 2, total - total // 2) if total > 0 else (0, total)
    if padding == "same":
        sides = (span // 2, span // 2)
    if padding == "valid" and more is None:
        more = max(stride - span, 0)
    return sides[0], sides[1] - (more or 0)


def _pictures(who: str, x: Tensor, w: Tensor, groups: int) -> tuple[Node, Node, int]:
    """(x, w, spatial axes) of one dtype; a sequence as a picture of height 1. Raises where they do not fit together."""
    dtype = product_dtype((x, w), who)
    if x.ndim not in (3, 4) or w.ndim != x.ndim:
        wanted = "(batch, height, width, channels) with (height, width, channels, outputs), or both without height"
        raise ShapeError(f"{who}: got input {x.shape} and weights {w.shape}, wanted {wanted}")
    if groups < 1 or w.shape[-1] % groups or x.shape[-1] != w.shape[-2] * groups:
        raise ShapeError(
            f"{who}: {groups} groups of input {x.shape} and weights {w.shape}: wanted {w.shape[-2]} channels for each "
            "group, and outputs that divide among the groups"
        )
    picture, weights = (convert(as_node(each), dtype) for each in (x, w))
    if x.ndim == 3:
        picture = as_node(reshape(picture, (x.shape[0], 1, *x.shape[1:])))
        weights = as_node(reshape(weights, (1, *w.shape)))
    return picture, weights, x.ndim - 2


def _extents(x: Tensor) -> Pair:
    return x.shape[1], x.shape[2]


def _like(x: Tensor, y: Tensor) -> Tensor:
    """A picture as the sequence that it was."""
    return y if x.ndim == 4 else reshape(y, (y.shape[0], *y.shape[2:]))


def _convolved(x: Node, w: Node, geometry: Geometry, outputs: Pair, groups: int) -> Tensor:
    """The convolution of each group, in the operands' dtype."""
    y = forward(x, w, geometry, outputs) if groups == 1 else _grouped(x, w, geometry, outputs, groups)
    return convert(as_node(y), x.dtype)


def _grouped(x: Node, w: Node, geometry: Geometry, outputs: Pair, groups: int) -> Tensor:
    """The products of each group's windows, summed in float32 at least."""
    kh, kw, inputs, filters = w.shape
    each, n = filters // groups, x.shape[0]
    taken: Any = spread_windows(x, geometry, outputs, (kh, kw))
    if inputs == 1:  # a few sums for each channel: no product has an axis to run along
        shape = (n, *outputs, kh, kw, groups, each)
        spread: Any = reshape(broadcast_to(reshape(taken, (*shape[:-1], 1)), shape), (*shape[:-2], filters))
        wide: Any = convert(as_node(spread), sum_dtype(spread.dtype))
        y = reduction.sum(wide * reshape(w, (kh, kw, filters)), axis=(3, 4))
    else:
        apart = reshape(taken, (n * outputs[0] * outputs[1], kh * kw, groups, inputs))
        left = reshape(transpose(apart, (2, 0, 1, 3)), (groups, -1, kh * kw * inputs))
        right = transpose(reshape(w, (kh * kw * inputs, groups, each)), (1, 0, 2))
        y = transpose(product(left, right), (1, 0, 2))
    return reshape(y, (n, *outputs, filters))
