"""Reductions: kernels in which many elements become one, with what feeds them and what is made of the results.

A kernel makes several passes over the reduced axes where a result is needed to compute the elements of the next: a
softmax is a maximum, a sum of powers, and a division. Each pass computes again what it needs, which costs less than
memory. The order of summation depends on the shape and on the form of the kernel only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from clnet.graph import Node, Pointwise, Reduction, count
from clnet.index import Index, Var, unflatten
from clnet.lowering import Target
from clnet.plan.fusion import Group
from clnet.plan.source import Kernel, Places, Source, bounds, kernel

LANES = 16  # partial sums side by side, a register of AVX-512; one would wait for the adder: 0.87 against 0.29 ns
FEW = 4  # of columns that fill no block of LANES
# Else Intel's compiler makes vectors of the loop around the lanes, and sums in another order; that is slower, too: 0.45
# against 0.27 ns an element.
IN_ORDER = "#pragma clang loop vectorize(disable)"
# Else Intel's compiler unrolls the loop over the lanes first, and makes no vectors of it: 65,536 rows of 32 on one core
# 490 against 100 us.
AS_VECTORS = "#pragma clang loop unroll(disable)"
GROUP, WIDE = 128, 64  # work-items of a GPU to a row, and to a block of columns


def lower(group: Group, places: Places, target: Target) -> Kernel:
    """The kernel of a reduction: lanes side by side in the last axis, which is kept or reduced."""
    source = Source(group, places)
    return (_columns if group.by_column else _rows)(source, target)


def is_scalar(group: Group) -> bool:
    """Whether its rows are too short for lanes to share one."""
    if group.axes is None or group.by_column:
        return False
    return count([group.shape[axis] for axis in group.axes]) < 2 * LANES


@dataclass(frozen=True)
class Tally:
    """One reduction's accumulators in the text of a kernel."""

    node: Node
    op: Reduction
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    initials: tuple[str, ...]

    def declare(self, lanes: int) -> list[str]:
        """C lines: accumulators at their initial values."""
        if lanes == 1:
            return [f"{k} {n} = {i};" for k, n, i in zip(self.kinds, self.names, self.initials, strict=True)]
        lines = [f"{kind} {name}[{lanes}];" for kind, name in zip(self.kinds, self.names, strict=True)]
        resets = " ".join(f"{name}[lane] = {i};" for name, i in zip(self.names, self.initials, strict=True))
        return [*lines, f"for (int lane = 0; lane < {lanes}; ++lane) {{ {resets} }}"]

    def become(self, values: Sequence[str], lane: str) -> list[str]:
        """C lines: all accumulators take new values, computed from the old ones."""
        fresh = [f"{name}_next" for name in self.names]
        lines = [f"const {k} {f} = {v};" for k, f, v in zip(self.kinds, fresh, values, strict=True)]
        return [*lines, *(f"{name}{lane} = {f};" for name, f in zip(self.names, fresh, strict=True))]

    def at(self, lane: str) -> list[str]:
        """The accumulators of one lane."""
        return [name + lane for name in self.names]


@dataclass(frozen=True)
class Pass:
    """One walk over the reduced axes: what it reduces, and which outputs of full size it writes."""

    tallies: tuple[Tally, ...]
    outputs: tuple[Node, ...]


def walks(group: Group) -> list[Pass]:
    """The walks that a group takes, by how many results each node waits for."""
    depth: dict[int, int] = {}

    def wait(node: Node) -> int:
        """How many passes are over before a node is known (a reduction) or can be computed (another)."""
        if id(node) not in depth:
            below = max((wait(source) for source in node.inputs), default=0)
            inside = id(node) in group.members or (isinstance(node.op, Pointwise) and node.op.inline)
            depth[id(node)] = below + 1 if group.reduces(node) else below if inside else 0
        return depth[id(node)]

    reduced = [node for node in group.nodes if group.reduces(node)]
    written = [node for node in group.outputs if not _is_result(group, node)]
    number = max([wait(node) for node in reduced] + [wait(node) + 1 for node in written])
    tallies = [_tally(node, place) for place, node in enumerate(reduced)]
    return [
        Pass(
            tuple(tally for tally in tallies if wait(tally.node) == now + 1),
            tuple(node for node in written if wait(node) == now),
        )
        for now in range(number)
    ]


def _tally(node: Node, place: int) -> Tally:
    assert isinstance(node.op, Reduction)
    kinds, initials = zip(*node.op.accumulators(node.inputs[0].dtype), strict=True)
    names = tuple(f"a{place}_{number}" for number in range(len(kinds)))
    return Tally(node, node.op, names, kinds, initials)


def _is_result(group: Group, node: Node) -> bool:
    """Whether a node of the group has one element a result, not one an element."""
    return group.reduces(node) or count(node.shape) != count(group.shape)


def _index(group: Group, kept: Index, reduced: Index) -> Index:
    """The index of an element from those of its result (runs first) and of its place in the reduced axes."""
    assert group.axes is not None
    places = dict(zip(group.kept, kept[1:] if group.parts > 1 else kept, strict=True))
    places |= dict(zip(group.axes, reduced, strict=True))
    return tuple(places[axis] for axis in range(len(group.shape)))


def _range(source: Source, name: str, extent: int, rows: int) -> list[str]:
    """C lines for the run of the reduced axes that row `row` of `rows` takes: all of them, or one of the parts."""
    size, parts = source.size(extent, "reduced"), source.group.parts
    if parts == 1:
        return [f"const int {name}_begin = 0, {name}_end = {size};"]
    run = source.size(-(-extent // parts), "run")
    part = "row" if rows == parts else f"row / {source.size(rows // parts, 'rows')}"
    return [
        f"const int {name}_begin = {part} * {run} < {size} ? {part} * {run} : {size};",
        f"const int {name}_end = {name}_begin + {run} < {size} ? {name}_begin + {run} : {size};",
    ]


def _join(source: Source, walk: Pass, full: Index, position: str, lane: str) -> None:
    """One element joins the accumulators; outputs of full size are written on the way."""
    for tally in walk.tallies:
        (fed,) = tally.node.inputs
        where = source.group.place(fed, full, ())
        assert where is not None
        source.lines += tally.become(tally.op.update(tally.at(lane), source.value(fed, where), position), lane)
    source.store(walk.outputs, full, ())


def _know(source: Source, tally: Tally, kept: Index, lane: str) -> None:
    """From here on, the result of a reduction is what its accumulators hold."""
    where = source.group.place(tally.node, (), kept)
    assert where is not None
    source.scopes[-1][id(tally.node), where] = f"({tally.op.result(tally.at(lane))})"


def _store_results(source: Source, kept: Index) -> None:
    source.store([node for node in source.group.outputs if _is_result(source.group, node)], (), kept)


def _rows(source: Source, target: Target) -> Kernel:
    """Results whose elements lie side by side: lanes share a row, and are merged as a tree."""
    group = source.group
    assert group.axes is not None
    reduced = [group.shape[axis] for axis in group.axes]
    rows, cols = count(group.kept_shape), count(reduced)
    kept = unflatten(Var("row", rows), group.kept_shape)
    full = _index(group, kept, unflatten(Var("col", cols), reduced))
    lanes = 1 if is_scalar(group) else LANES

    def row() -> None:
        source.lines += _range(source, "col", cols, rows)
        for walk in walks(group):
            _walk_in_group(source, walk, full) if target.gpu else _walk_on_core(source, walk, full, lanes)
            for tally in walk.tallies:
                _know(source, tally, kept, "[0]" if lanes > 1 and not target.gpu else "")
        if target.gpu:
            source.block(lambda: _store_results(source, kept), "if (get_local_id(0) == 0)")
        else:
            _store_results(source, kept)

    if target.gpu:
        for walk in walks(group):
            for tally in walk.tallies:
                source.lines += [
                    f"__local {k} shared_{n}[{GROUP}];" for k, n in zip(tally.kinds, tally.names, strict=True)
                ]
        source.lines.append("const int row = (int)get_group_id(0);")
        source.block(row)
        return kernel(source, target, (rows * GROUP,), (GROUP,))
    source.lines += bounds(0, "row")
    source.walk("row", row)
    items, block = target.blocks(rows)
    return kernel(source, target, (items,), (1,), row_block=block, rows=rows)


def _walk_on_core(source: Source, walk: Pass, full: Index, lanes: int) -> None:
    """Along a row in blocks of `lanes`, then the rest; compilers make vectors of the lanes."""
    for tally in walk.tallies:
        source.lines += tally.declare(lanes)
    if lanes == 1:
        source.walk("col", partial(_join, source, walk, full, "col", ""))
        return

    def lane() -> None:
        source.lines.append("const int col = start + lane;")
        _join(source, walk, full, "col", "[lane]")

    def blocks() -> None:
        source.lines += ["int start = col_begin;", IN_ORDER, f"for (; start + {lanes} <= col_end; start += {lanes})"]
        source.lines.append(AS_VECTORS)
        source.block(lane, f"for (int lane = 0; lane < {lanes}; ++lane)")
        source.block(lane, "for (int lane = 0; start + lane < col_end; ++lane)")

    source.block(blocks)
    for tally in walk.tallies:
        source.lines.append(f"for (int width = {lanes // 2}; width > 0; width /= 2)")
        source.lines.append("for (int lane = 0; lane < width; ++lane) {")
        source.lines += tally.become(tally.op.merge(tally.at("[lane]"), tally.at("[lane + width]")), "[lane]")
        source.lines.append("}")


def _walk_in_group(source: Source, walk: Pass, full: Index) -> None:
    """Along a row by a work-group: each work-item takes every GROUP-th element, a tree in local memory merges them."""
    for tally in walk.tallies:
        source.lines += tally.declare(1)
    head = f"for (int col = col_begin + (int)get_local_id(0); col < col_end; col += {GROUP})"
    source.block(partial(_join, source, walk, full, "col", ""), head)
    for tally in walk.tallies:
        mine = [f"shared_{name}[get_local_id(0)]" for name in tally.names]
        others = [f"shared_{name}[get_local_id(0) + width]" for name in tally.names]
        source.lines += [f"{shared} = {name};" for shared, name in zip(mine, tally.names, strict=True)]
        source.lines += [
            f"for (int width = {GROUP // 2}; width > 0; width /= 2) {{",
            "barrier(CLK_LOCAL_MEM_FENCE);",
            "if ((int)get_local_id(0) < width) {",
            *tally.become(tally.op.merge(tally.at(""), others), ""),
            *(f"{shared} = {name};" for shared, name in zip(mine, tally.names, strict=True)),
            "}",
            "}",
            "barrier(CLK_LOCAL_MEM_FENCE);",
            *(f"{name} = shared_{name}[0];" for name in tally.names),
            "barrier(CLK_LOCAL_MEM_FENCE);",
        ]


def _columns(source: Source, target: Target) -> Kernel:
    """Results that lie side by side: each lane is a result, and walks down its column in order."""
    group = source.group
    assert group.axes is not None
    reduced = [group.shape[axis] for axis in group.axes]
    *outer, cols = group.kept_shape
    rows, depth = count(outer), count(reduced)
    kept = (*unflatten(Var("row", rows), outer), *unflatten(Var("col", cols), [cols]))
    full = _index(group, kept, unflatten(Var("down", depth), reduced))
    widest = 1 if target.gpu else LANES * (2 if cols % (2 * LANES) == 0 else 1)
    lane = "" if target.gpu else "[lane]"

    def across(lanes: int, condition: str, body: Callable[[], None]) -> None:
        """`body` for each column of a block."""

        def column() -> None:
            source.lines.append("const int col = start + lane;")
            body()

        if target.gpu:
            body()
        elif condition:
            source.block(column, f"for (int lane = 0; {condition}; ++lane)")
        else:  # registers of lanes, side by side: 65,536 rows of 32 in 151 us on PoCL 3.0, with one register in 385
            beside = min(lanes, LANES)
            source.lines += ["#pragma unroll", f"for (int part = 0; part < {lanes}; part += {beside})"]
            source.lines.append(AS_VECTORS)
            source.block(column, f"for (int lane = part; lane < part + {beside}; ++lane)")

    def block(lanes: int, condition: str) -> None:
        source.lines += _range(source, "down", depth, rows)
        for walk in walks(group):
            for tally in walk.tallies:
                source.lines += tally.declare(lanes)
            join = partial(_join, source, walk, full, "down", lane)
            source.walk("down", partial(across, lanes, condition, join), "" if target.gpu else IN_ORDER)
            for tally in walk.tallies:
                _know(source, tally, kept, lane)
        across(lanes, condition, lambda: _store_results(source, kept))

    def blocks() -> None:
        if target.gpu:
            source.walk("col", partial(block, 1, ""))
            return
        source.lines.append("int start = col_begin;")
        left = cols
        for lanes in (widest, FEW):
            if left >= lanes:
                source.block(partial(block, lanes, ""), f"for (; start + {lanes} <= col_end; start += {lanes})")
                left %= lanes
        if left:
            source.block(partial(block, FEW, "start + lane < col_end"), "if (start < col_end)")

    source.lines += [*bounds(0, "col"), *bounds(1, "row")]
    source.walk("row", blocks)
    if target.gpu:
        grid = (-(-cols // WIDE) * WIDE, rows)
        return kernel(source, target, grid, (WIDE, 1), col_block=1, cols=cols, row_block=1, rows=rows)
    down, row_block = target.blocks(rows)
    cols_across, col_block = target.blocks(cols, grain=widest, items=target.items // down)
    return kernel(
        source, target, (cols_across, down), (1, 1), col_block=col_block, cols=cols, row_block=row_block, rows=rows
    )
