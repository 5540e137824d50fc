"""Maps: kernels in which each element is computed on its own."""

from __future__ import annotations

import math

from clnet.graph import count
from clnet.index import Var, unflatten
from clnet.lowering import Target
from clnet.plan.fusion import Group
from clnet.plan.source import MOST, Kernel, Places, Source, bounds, kernel

GRAIN = 16  # floats to a cache line: what two cores write should not meet in one
STRIP = 128  # rows of a strip of columns, where columns lie far apart in memory
GROUP = 256  # work-items to a work-group of a GPU


def lower(group: Group, places: Places, target: Target) -> Kernel:
    """Rows by columns; columns are as many trailing axes as can be walked without dividing an index."""
    for axis in range(len(group.shape) + 1):
        rows, cols = count(group.shape[:axis]), count(group.shape[axis:])
        source = _text(group, places, axis)
        if not source.splits or axis >= len(group.shape) - 1:
            break
    if target.gpu:
        wide = min(GROUP, 1 << max(0, cols - 1).bit_length())
        high = GROUP // wide
        grid = (-(-cols // wide) * wide, -(-rows // high) * high)
        return kernel(source, target, grid, (wide, high), col_block=1, cols=cols, row_block=1, rows=rows)
    held = _held(source.apart)
    if held < cols:
        down, row_block = target.blocks(rows, items=-(-rows // STRIP))
        across, col_block = target.blocks(cols, items=-(-cols // held))
    else:
        down, row_block = target.blocks(rows)
        across, col_block = target.blocks(cols, grain=GRAIN, items=target.items // down)
    return kernel(
        source, target, (across, down), (1, 1), col_block=col_block, cols=cols, row_block=row_block, rows=rows
    )


def _held(apart: int) -> int:
    """Of how many columns, so many elements apart, a first cache of 8 ways and 64 sets holds a line while the rows that
    lie in these lines pass: a transpose of 1024 x 1024 takes 2.0 ms by whole rows, 0.4 in strips of 8 columns."""
    if apart < GRAIN:
        return MOST
    return 8 * 64 // (math.gcd(apart // GRAIN, 64) if apart % GRAIN == 0 else 1)


def _text(group: Group, places: Places, axis: int) -> Source:
    """The kernel with the axes before `axis` as rows."""
    above, below = group.shape[:axis], group.shape[axis:]
    row, col = Var("row", count(above)), Var("col", count(below))
    index = (*unflatten(row, above), *unflatten(col, below))
    source = Source(group, places)
    source.lines = [*bounds(0, "col"), *bounds(1, "row")]
    source.walk("row", lambda: source.walk("col", lambda: source.store(group.outputs, index, ())))
    return source
