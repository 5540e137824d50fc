"""Maps: kernels in which each element is computed on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from clnet.graph import Node, count
from clnet.index import ZERO, Expr, Index, Var, flatten, stride, unflatten, variables
from clnet.lowering import Target
from clnet.plan.fusion import Group
from clnet.plan.source import MOST, Kernel, Places, Source, bounds, kernel

GRAIN = 16  # floats to a cache line: what two cores write should not meet in one
HIGH, WIDE = 32, 16  # rows and columns of a tile that is laid out on the stack
PITCH = HIGH + 1  # elements between its columns: at a power of two they would share a few lines of the first cache
IN_TILE = f"[col_step * {PITCH} + row_step]"
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
    if any(_are_apart(flatten(index, node.shape), "col") for node, index in source.loads):
        crossing = Crossing.of(group, places)
        if crossing is not None:
            return crossing.lower(target)
    down, row_block = target.blocks(rows)
    across, col_block = target.blocks(cols, grain=GRAIN, items=target.items // down)
    return kernel(
        source, target, (across, down), (1, 1), col_block=col_block, cols=cols, row_block=row_block, rows=rows
    )


class Crossing(Source):
    """A map that reads some array along `rows`, runs of axes, while it writes along `cols`.

    It goes by tiles, in which such an array is first laid out on the stack, along its own axis; else each element takes
    a line of the cache, of which all others may be gone when their turn comes.
    """

    def __init__(self, group: Group, places: Places, rows: range, cols: range) -> None:
        super().__init__(group, places)
        outer = [axis for axis in range(len(group.shape)) if axis not in (*rows, *cols)]
        self.axes: dict[str, Sequence[int]] = {"outer": outer, "row": rows, "col": cols}
        self.laid_out: dict[str, tuple[Node, Index]] | None = None  # name -> what the tile has of an array

    @classmethod
    def of(cls, group: Group, places: Places) -> Crossing | None:
        """None: no array is read along another axis."""
        last, axes = len(group.shape) - 1, [f"axis{axis}" for axis in range(len(group.shape))]
        source = Source(group, places)
        source.store(group.outputs, tuple(map(Var, axes, group.shape)), ())
        strides = [[stride(flatten(index, node.shape), axis) for axis in axes] for node, index in source.loads]
        along = [each.index(1) for each in strides if each[last] >= GRAIN and 1 in each]
        if not along:
            return None

        def run(stop: int, start: int) -> range:
            """The axes up to `stop` that are like one in all arrays."""
            first = stop
            while first > start and all(each[first - 1] == each[first] * group.shape[first] for each in strides):
                first -= 1
            return range(first, stop + 1)

        return cls(group, places, run(along[0], 0), run(last, along[0] + 1))

    def lower(self, target: Target) -> Kernel:
        """Rows and columns are shared by tiles."""
        shape = self.group.shape
        extents = {name: count([shape[axis] for axis in axes]) for name, axes in self.axes.items()}
        index: list[Expr] = [ZERO] * len(shape)
        for name, axes in self.axes.items():
            for axis, each in zip(axes, unflatten(Var(name, extents[name]), [shape[a] for a in axes]), strict=True):
                index[axis] = each

        def store(high: int = 0, wide: int = 0) -> None:
            inner = partial(self.store, self.group.outputs, tuple(index), ())
            self.walk("row", partial(self.walk, "col", inner, steps=wide), steps=high)

        def tile() -> None:
            self.lines += [
                f"const int row_begin = row_tile * {HIGH}, row_end = min(row_begin + {HIGH}, rows);",
                f"const int col_begin = col_tile * {WIDE}, col_end = min(col_begin + {WIDE}, cols);",
            ]
            is_whole = f"row_end - row_begin == {HIGH} && col_end - col_begin == {WIDE}"
            self.block(lambda: self._lay_out(partial(store, HIGH, WIDE)), f"if ({is_whole})")
            self.block(store, "else")

        self.lines = [*bounds(2, "outer"), *bounds(1, "row_tile"), *bounds(0, "col_tile")]
        self.walk("outer", lambda: self.walk("row_tile", lambda: self.walk("col_tile", tile)))
        outers, rows, cols = extents["outer"], extents["row"], extents["col"]
        row_tiles, col_tiles = -(-rows // HIGH), -(-cols // WIDE)
        deep, outer_block = target.blocks(outers)
        down, row_block = target.blocks(row_tiles, items=target.items // deep)
        across, col_block = target.blocks(col_tiles, items=target.items // (deep * down))
        sizes = {"rows": rows, "cols": cols, "outers": outers, "outer_block": outer_block}
        sizes |= {"row_tiles": row_tiles, "row_tile_block": row_block}
        sizes |= {"col_tiles": col_tiles, "col_tile_block": col_block}
        return kernel(self, target, (across, down, deep), (1, 1, 1), **sizes)

    def load(self, node: Node, index: Index) -> str:
        """Of a tile, where there is one."""
        place = flatten(index, node.shape)
        known = variables(place) <= set(self.axes)  # and nothing that is read from memory before
        if self.laid_out is None or not known or not _are_apart(place, "col") or stride(place, "row") != 1:
            return self.element(node, index)
        name = f"t{len(self.laid_out)}"
        self.laid_out[name] = (node, index)
        return name + IN_TILE

    def _lay_out(self, body: Callable[[], None]) -> None:
        """The body, and before it what it reads along rows. Of constant sizes: PoCL then makes vectors of it."""
        before, self.lines, self.laid_out = self.lines, [], {}
        body()
        after, laid_out, self.lines, self.laid_out = self.lines, self.laid_out, before, None
        for name, (node, index) in laid_out.items():
            self.lines.append(f"{self.c_type(node.dtype)} {name}[{WIDE * PITCH}] __attribute__((aligned(64)));")
            self.walk("col", partial(self._copy_column, name, node, index), steps=WIDE)
        self.lines += after

    def _copy_column(self, name: str, node: Node, index: Index) -> None:
        """And fetch the one of the next tile that lies there: nothing else would, it is in lines of its own."""
        element = self.element(node, index)
        further = self.size(min(MOST, WIDE * stride(flatten(index, node.shape), "col")), name)
        fetches = [f"__builtin_prefetch(&{element} + {further} + {start});" for start in range(0, HIGH, GRAIN)]
        self.lines.append(f"{{ const int row = row_begin; {' '.join(fetches)} }}")
        self.walk("row", lambda: self.lines.append(f"{name + IN_TILE} = {self.element(node, index)};"), steps=HIGH)


def _are_apart(place: Expr, name: str) -> bool:
    """Whether neighbours along `name` have a line of the cache each."""
    return stride(place, name) >= GRAIN


def _text(group: Group, places: Places, axis: int) -> Source:
    """The kernel with the axes before `axis` as rows."""
    above, below = group.shape[:axis], group.shape[axis:]
    row, col = Var("row", count(above)), Var("col", count(below))
    index = (*unflatten(row, above), *unflatten(col, below))
    source = Source(group, places)
    source.lines = [*bounds(0, "col"), *bounds(1, "row")]
    source.walk("row", lambda: source.walk("col", lambda: source.store(group.outputs, index, ())))
    return source
