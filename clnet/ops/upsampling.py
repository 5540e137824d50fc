"""Upsampling: a picture with more pixels, by repetition or by interpolation."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clnet.compiled import eager
from clnet.errors import ArgumentError, ShapeError
from clnet.ops.elementwise import convert
from clnet.ops.product import matmul
from clnet.ops.shape import broadcast_to, reshape
from clnet.ops.windows import Size, pair
from clnet.tensor import Tensor
from clnet.trace import as_node

Interpolation = Literal["nearest", "bilinear"]


@eager
def upsample(x: Tensor, size: Size, *, interpolation: Interpolation = "nearest") -> Tensor:
    """Each pixel becomes `size` of them along height and width: copies, or a line between the middles of neighbours.

    x (batch, height, width, channels). "bilinear" takes pixels for squares (half-pixel centres), as Keras does and
    PyTorch without align_corners; beyond the outer middles it repeats.
    """
    if x.ndim != 4:
        raise ShapeError(f"upsample: got shape {x.shape}, wanted (batch, height, width, channels)")
    if interpolation not in get_args(Interpolation):
        raise ArgumentError(f"upsample: interpolation is {interpolation!r}, wants nearest or bilinear")
    down, across = pair("upsample", "size", size)
    n, height, width, channels = x.shape
    if interpolation == "nearest":
        apart = reshape(x, (n, height, 1, width, 1, channels))
        return reshape(
            broadcast_to(apart, (n, height, down, width, across, channels)),
            (n, height * down, width * across, channels),
        )
    x = convert(as_node(x), np.dtype(np.float32)) if x.dtype.kind != "f" else x
    tall = matmul(as_node(_lines(height, down).astype(x.dtype)), reshape(x, (n, height, width * channels)))
    wide = matmul(as_node(_lines(width, across).astype(x.dtype)), reshape(tall, (n * height * down, width, channels)))
    return reshape(wide, (n, height * down, width * across, channels))


def _lines(extent: int, size: int) -> NDArray[np.float64]:
    """(extent * size, extent): what each new pixel takes of each old one; every row adds up to 1."""
    place = np.clip((np.arange(extent * size) + 0.5) / size - 0.5, 0, extent - 1)
    lines: NDArray[np.float64] = np.maximum(1 - np.abs(place[:, None] - np.arange(extent)), 0)
    return lines
