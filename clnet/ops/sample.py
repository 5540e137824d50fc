"""sample: pictures looked up at places that tensors name, whole pixels or between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import ShapeError
from clnet.graph import Broadcast, Emitter, Node, Op, Pointwise, Spec
from clnet.index import Index
from clnet.ops import reduction
from clnet.ops.elementwise import cast, convert, equal, floor, where
from clnet.ops.indexing import arange, limited
from clnet.ops.shape import Reshape, expand_dims, reshape
from clnet.tensor import Tensor
from clnet.trace import all_widened, apply, as_node


@dataclass(frozen=True)
class Sample(Pointwise):
    """result[b, i, j, c] = x[b, rows[b, i, j], columns[b, i, j], c], 0 where that is outside."""

    def infer(self, *inputs: Spec) -> Spec:
        x, rows, _ = inputs
        return Spec((*rows.shape, x.shape[3]), x.dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        x, *places = node.inputs
        row, column = (emitter.value(place, index[:3]) for place in places)
        _, height, width, _ = x.shape
        value = emitter.value(x, (index[0], limited(row, height), limited(column, width), index[3]))
        inside = f"(({row} >= 0) & ({row} < {height}) & ({column} >= 0) & ({column} < {width}))"
        return f"{inside} ? {value} : {emitter.scalar(0, x.dtype)}"

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """The networks' pictures as one batch."""
        x, rows, columns = all_widened(inputs, many, networks)
        merged = [as_node(reshape(each, (-1, *each.shape[2:]))) for each in (x, rows, columns)]
        return Reshape((*rows.shape, x.shape[4])), [apply(self, *merged)]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        """dx[b, r, s] = sum of dy[b, i, j] over the (i, j) that looked there: in a fixed order, without a scatter."""
        x, *places = node.inputs
        batch, height, width, channels = x.shape
        looked = (reshape(place, (batch, 1, 1, -1, 1)) for place in places)
        all_rows, all_columns = reshape(arange(height), (1, -1, 1, 1, 1)), reshape(arange(width), (1, 1, -1, 1, 1))
        there = [equal(all_of, place) for all_of, place in zip((all_rows, all_columns), looked, strict=True)]
        chosen = where(there[0] & there[1], reshape(dy, (batch, 1, 1, -1, channels)), 0.0)
        return [reduction.sum(chosen, axis=3), None, None]


@eager
def sample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """y[b, i, j, c] = x[b, rows[b, i, j], columns[b, i, j], c], with zeros around x (batch, height, width, channels).

    rows, columns: broadcast to (batch, y's height, y's width). Integers name pixels; floats lie between them, and y is
    the bilinear mean of four, as in spatial transformers (Jaderberg et al. 2015, equation 5).
    """
    picture, *places = as_node(x), as_node(rows), as_node(columns)
    shapes = [place.shape for place in places]
    try:
        shape = np.broadcast_shapes(*shapes, (picture.shape[0], 1, 1) if picture.ndim == 4 else ())
    except ValueError:
        shape = ()
    if picture.ndim != 4 or len(shape) != 3 or shape[0] != picture.shape[0]:
        raise ShapeError(
            f"sample: pictures have shape {x.shape}, rows {shapes[0]} and columns {shapes[1]}; wanted (batch, height, "
            "width, channels) and twice what broadcasts to (batch, height, width)"
        )
    wide = [apply(Broadcast(shape), place) for place in places]
    if all(place.dtype.kind in "iu" for place in wide):
        return apply(Sample(), picture, *(convert(place, np.dtype(np.int32)) for place in wide))
    return _bilinear(picture, *wide)


def _bilinear(x: Node, rows: Node, columns: Node) -> Tensor:
    """The mean of the four pixels around each place, by how near they are."""
    x = convert(x, rows.dtype) if x.dtype.kind != "f" else x
    firsts: list[Any] = [floor(place) for place in (rows, columns)]
    beyond: list[Any] = [expand_dims(place - first, 3) for place, first in zip((rows, columns), firsts, strict=True)]
    top, left = (cast(first, "int32") for first in firsts)

    def line(down: int) -> Any:
        a, b = (sample(x, top + down, left + right) for right in (0, 1))
        return a * (1 - beyond[1]) + b * beyond[1]

    result: Tensor = line(0) * (1 - beyond[0]) + line(1) * beyond[0]
    return result
