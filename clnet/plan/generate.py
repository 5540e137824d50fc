"""Source: a group of nodes as the text of one OpenCL kernel, or as the epilogue of a matrix product.

The text holds one statement an op, and sizes and numbers are arguments: one build serves every shape of the same
structure. Kernels loop: over all elements where one work-item is a core, over one element where it is a GPU's lane.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clnet import gemm, kernels
from clnet.graph import Constant, Node, Pointwise, Reduction, count
from clnet.index import Index, Var, code, flatten, is_split, unflatten
from clnet.kernels import Launch
from clnet.plan.fusion import Group, is_inline
from clnet.tensor import C_TYPES

NAME = re.compile(r"\w+\Z")
LANES = 16  # partial sums a row on a CPU: two AVX-512 registers' worth of float pairs hide the latency of the adder
GPU_ROW, GPU_GROUP = 128, 256  # work-items to a reduced row, and to a block of a map


@dataclass(frozen=True)
class Target:
    """How the device runs a kernel: `gpu` lanes or cores, and how many work-items to spread a launch over."""

    gpu: bool
    items: int


class Source:
    """The text of one kernel as it grows; what `Pointwise.emit` writes to."""

    def __init__(self, group: Group, storage: Callable[[Node], Hashable], forced: set[int]) -> None:
        self.group, self.storage, self.forced = group, storage, forced
        self.written = {storage(node) for node in group.outputs}
        self.buffers: dict[Hashable, tuple[str, str]] = {}  # storage -> (name, C type)
        self.scalars: dict[tuple[str, str], tuple[str, Any]] = {}  # (C type, text) -> (name, value)
        self.sizes: dict[int, str] = {}
        self.libraries: list[str] = []
        self.double = False
        self.lines: list[str] = []
        self.scopes: list[dict[tuple[int, Index], str]] = [{}]
        self.names = 0
        self.splits = False

    # What ops ask for.

    def value(self, node: Node, index: Index) -> str:
        """The C variable with this element: known already, loaded, or computed here."""
        for scope in reversed(self.scopes):
            if (id(node), index) in scope:
                return scope[id(node), index]
        if isinstance(node.op, Constant):
            return self.scalar(node.op.value, node.dtype)
        mine = id(node) in self.group.members
        if isinstance(node.op, Pointwise) and (mine or is_inline(node, self.forced)):
            text = node.op.emit(node, index, self)
            if NAME.match(text) and not mine:  # seen elsewhere under another index: no copy
                return text
        else:
            text = f"{self.buffer(node)}[{self.code(index, node.shape)}]"
        return self.statement(node, index, text)

    def statement(self, node: Node, index: Index, text: str) -> str:
        """A variable that holds `text`."""
        name = f"v{self.names}"
        self.names += 1
        self.lines.append(f"const {self.c_type(node.dtype)} {name} = {text};")
        self.scopes[-1][id(node), index] = name
        return name

    def code(self, index: Index, shape: tuple[int, ...]) -> str:
        """The row-major position of an index."""
        expr = flatten(index, shape)
        self.splits |= is_split(expr)
        return code(expr, self.size)

    def scalar(self, value: Any, dtype: np.dtype[Any]) -> str:
        """A number as an argument of the kernel; 0 and 1 as they are."""
        kind = self.c_type(dtype)
        number = dtype.type(value)
        if number in (0, 1) and not np.signbit(np.float64(number)):
            return f"{int(number)}.0" + ("f" if kind == "float" else "") if dtype.kind == "f" else str(int(number))
        return self.scalars.setdefault((kind, repr(number)), (f"s{len(self.scalars)}", number))[0]

    def define(self, library: str) -> None:
        """Put a file of kernels_cl/, or a definition, before the kernel."""
        if library not in self.libraries:
            self.libraries.append(library)

    # What the loops ask for.

    def c_type(self, dtype: np.dtype[Any]) -> str:
        """The C type of an element."""
        self.double |= dtype == np.float64
        return C_TYPES[dtype]

    def size(self, extent: int) -> str:
        """The C name of an extent."""
        return str(extent) if extent in (0, 1, -1) else self.sizes.setdefault(extent, f"d{len(self.sizes)}")

    def buffer(self, node: Node) -> str:
        """The C name of the memory that holds a node."""
        key = self.storage(node)
        return self.buffers.setdefault(key, (f"p{len(self.buffers)}", self.c_type(node.dtype)))[0]

    def store(self, nodes: Iterable[Node], full: Index, kept: Index) -> None:
        """Compute the elements that belong to this pass, then write them: a kernel may update what it reads."""
        lines = []
        for node in nodes:
            index = self.group.place(node, full, kept)
            assert index is not None
            text = self.value(node, index)
            lines.append(f"{self.buffer(node)}[{self.code(index, node.shape)}] = {text};")
        self.lines += lines

    def block(self, body: Callable[[], None], head: str = "") -> None:
        """`head { body }` with variables of its own."""
        self.lines.append(f"{head} {{")
        self.scopes.append({})
        body()
        self.scopes.pop()
        self.lines.append("}")

    def preamble(self) -> str:
        """Everything before the kernel."""
        text = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" if self.double else ""
        files = [name for name in self.libraries if name.endswith(".cl")]
        if files:
            files = ["math.cl", *(name for name in files if name != "math.cl")]
        for kind in ("float", "double") if self.double else ("float",):
            text += "".join(
                kernels.define(T=kind, DOUBLE=int(kind == "double")) + kernels.read(name) + "#undef T\n#undef DOUBLE\n"
                for name in files
            )
        return text + "".join(f"{name}\n" for name in self.libraries if not name.endswith(".cl"))

    def parameters(self) -> tuple[list[str], list[str], list[Hashable]]:
        """(C declarations, names, arguments) of buffers, numbers and sizes."""
        declarations, names, arguments = [], [], []
        for key, (name, kind) in self.buffers.items():
            const = "" if key in self.written else "const "
            declarations.append(f"__global {const}{kind} *restrict {name}")
            names.append(name)
            arguments.append(key)
        for (kind, _), (name, value) in self.scalars.items():
            declarations.append(f"const {kind} {name}")
            names.append(name)
            arguments.append(value.astype(np.uint8) if value.dtype == np.bool_ else value)
        for extent, name in self.sizes.items():
            declarations.append(f"const int {name}")
            names.append(name)
            arguments.append(np.int32(extent))
        return declarations, names, arguments


def title(group: Group) -> str:
    """What a kernel is called: its kind and its ops, for profiles and error messages."""
    kind = "product" if group.anchor is not None else "map" if group.axes is None else "reduce"
    ops = list(dict.fromkeys(node.op.name for node in group.nodes if node is not group.anchor))
    return "_".join([kind, *(ops if len(ops) <= 4 else [*ops[:3], f"and_{len(ops) - 3}_more"])])


def kernel(group: Group, storage: Callable[[Node], Hashable], forced: set[int], target: Target) -> Launch:
    """The launch of a map or a reduction."""
    if group.axes is None:
        return _map(group, storage, forced, target)
    return (_reduce_columns if group.by_column else _reduce_rows)(group, storage, forced, target)


def epilogue(group: Group, storage: Callable[[Node], Hashable], forced: set[int]) -> gemm.Epilogue:
    """What becomes of each element of the group's matrix product."""
    anchor = group.anchor
    assert anchor is not None
    source = Source(group, storage, forced)
    *batches, m, n = group.shape
    index = (*unflatten(Var("(int)batch", count(batches)), batches), Var("row", m), Var("column", n))
    source.scopes[0][id(anchor), index] = "value"
    source.store(group.outputs, index, ())
    declarations, names, arguments = source.parameters()
    c_type = C_TYPES[anchor.dtype]
    head = f"static inline void epilogue({c_type} value, size_t batch, int row, int column, {', '.join(declarations)})"
    text = source.preamble() + head + " {\n  " + "\n  ".join(source.lines) + "\n}\n"
    plain = group.outputs == [anchor]
    return gemm.Epilogue(text, ", ".join(declarations), ", ".join(names), tuple(arguments), plain)


def _finish(
    source: Source, target: Target, grid: tuple[int, ...], local: tuple[int, ...], extra: dict[str, int]
) -> Launch:
    """The launch of a finished text; `extra`: names and values of the loop bounds."""
    declarations, _, arguments = source.parameters()
    declarations += [f"const int {name}" for name in extra]
    arguments += [np.int32(value) for value in extra.values()]
    single = "" if target.gpu else "__attribute__((reqd_work_group_size(1, 1, 1)))\n"
    name = title(source.group)
    body = "\n".join(source.lines)
    text = f"{source.preamble()}__kernel {single}void {name}({', '.join(declarations)}) {{\n{body}\n}}\n"
    return Launch(text, name, tuple(arguments), grid, local)


def _spread(extent: int, items: int, grain: int) -> tuple[int, int]:
    """(work-items, elements each) that cover `extent` in multiples of `grain`."""
    block = max(1, -(-extent // max(1, items)))
    block = -(-block // grain) * grain
    return -(-extent // block), block


def _bounds(axis: int, name: str) -> list[str]:
    """C lines for the range of one loop of a work-item."""
    return [
        f"const int {name}_begin = (int)get_global_id({axis}) * {name}_block;",
        f"const int {name}_end = {name}_begin + {name}_block < {name}s ? {name}_begin + {name}_block : {name}s;",
    ]


def _map(group: Group, storage: Callable[[Node], Hashable], forced: set[int], target: Target) -> Launch:
    """Rows by columns, each element on its own; columns are as many trailing axes as need no division."""
    for axis in range(len(group.shape) + 1):
        rows, cols = count(group.shape[:axis]), count(group.shape[axis:])
        row, col = Var("row", rows), Var("col", cols)
        index = (*unflatten(row, group.shape[:axis]), *unflatten(col, group.shape[axis:]))
        source = Source(group, storage, forced)
        source.lines = [*_bounds(0, "col"), *_bounds(1, "row")]
        source.lines.append("for (int row = row_begin; row < row_end; ++row)")
        source.block(lambda source=source, index=index: source.store(group.outputs, index, ()), _loop("col"))  # type: ignore[misc]
        if not source.splits or axis >= len(group.shape) - 1:
            break
    if target.gpu:
        wide = 1
        while wide < min(cols, GPU_GROUP):
            wide *= 2
        local = (wide, GPU_GROUP // wide)
        grid = (-(-cols // local[0]) * local[0], -(-rows // local[1]) * local[1])
        bounds = {"col_block": 1, "cols": cols, "row_block": 1, "rows": rows}
        return _finish(source, target, grid, local, bounds)
    down, row_block = _spread(rows, target.items, 1)
    across, col_block = _spread(cols, target.items // down, LANES)
    bounds = {"col_block": col_block, "cols": cols, "row_block": row_block, "rows": rows}
    return _finish(source, target, (across, down), (1, 1), bounds)


def _loop(name: str) -> str:
    return f"for (int {name} = {name}_begin; {name} < {name}_end; ++{name})"


def _stages(group: Group) -> list[tuple[list[Node], list[Node]]]:
    """(reductions, full-size outputs) of each pass over the reduced axes."""
    depth: dict[int, int] = {}

    def depth_of(node: Node) -> int:
        """How many passes have to be over before a node can be computed at its own level."""
        if id(node) not in depth:
            below = max((depth_of(source) for source in node.inputs), default=0)
            within = id(node) in group.members or (isinstance(node.op, Pointwise) and node.op.inline)
            depth[id(node)] = below + 1 if group.reduces(node) else below if within else 0
        return depth[id(node)]

    reductions = [node for node in group.nodes if isinstance(node.op, Reduction)]
    full = [node for node in group.outputs if _is_full(group, node)]
    last = max([depth_of(node) for node in reductions] + [depth_of(node) + 1 for node in full])
    return [
        (
            [node for node in reductions if depth_of(node) == stage + 1],
            [node for node in full if depth_of(node) == stage],
        )
        for stage in range(last)
    ]


def _is_full(group: Group, node: Node) -> bool:
    return not group.reduces(node) and count(node.shape) == count(group.shape)


def _kept_outputs(group: Group) -> list[Node]:
    return [node for node in group.outputs if not _is_full(group, node)]


def _indices(group: Group, kept: Index, reduced: Index) -> Index:
    """The full index from the one of the kept axes (runs first) and the one of the reduced axes."""
    assert group.axes is not None
    places = dict(zip(group.kept, kept[1:] if group.parts > 1 else kept, strict=True))
    places |= dict(zip(group.axes, reduced, strict=True))
    return tuple(places[axis] for axis in range(len(group.shape)))


def _range(source: Source, group: Group, name: str, extent: int) -> None:
    """C lines for the part of the reduced axes that one result reduces."""
    if group.parts == 1:
        source.lines += [f"const int {name}_begin = 0;", f"const int {name}_end = {source.size(extent)};"]
        return
    run = source.size(-(-extent // group.parts))
    kept = count(group.kept_shape) // group.parts
    runs_over = count(group.kept_shape[1:-1]) if group.by_column else kept
    part = "row" if runs_over == 1 else f"row / {source.size(runs_over)}"
    size = source.size(extent)
    source.lines += [
        f"const int {name}_begin = ({part}) * {run} < {size} ? ({part}) * {run} : {size};",
        f"const int {name}_end = {name}_begin + {run} < {size} ? {name}_begin + {run} : {size};",
    ]


def _accumulate(
    source: Source, reductions: Sequence[Node], outputs: Sequence[Node], full: Index, position: str, lane: str
) -> None:
    """One element joins the accumulators of every reduction of a pass; full-size outputs are written on the way."""
    group = source.group
    for node in reductions:
        assert isinstance(node.op, Reduction)
        fed = node.inputs[0]
        where = group.place(fed, full, ())
        assert where is not None
        state = [f"{name}{lane}" for name in _names(node, source)]
        after = node.op.update(state, source.value(fed, where), position)
        fresh = [f"t{source.names + step}" for step in range(len(after))]
        source.names += len(after)
        kinds = [kind for kind, _ in node.op.accumulators(fed_dtype(node))]
        source.lines += [f"const {k} {t} = {text};" for k, t, text in zip(kinds, fresh, after, strict=True)]
        source.lines += [f"{old} = {t};" for old, t in zip(state, fresh, strict=True)]
    source.store(outputs, full, ())


def _names(node: Node, source: Source) -> list[str]:
    """C names of a reduction's accumulators."""
    assert isinstance(node.op, Reduction)
    number = [member for member in source.group.nodes if isinstance(member.op, Reduction)].index(node)
    return [f"a{number}_{step}" for step in range(len(node.op.accumulators(fed_dtype(node))))]


def fed_dtype(node: Node) -> np.dtype[Any]:
    """The dtype of what a reduction reduces."""
    return node.inputs[0].dtype


def _reduce_rows(group: Group, storage: Callable[[Node], Hashable], forced: set[int], target: Target) -> Launch:
    """Results whose elements lie side by side: lanes run along the row, and are merged as a tree."""
    assert group.axes is not None
    shape = [group.shape[axis] for axis in group.axes]
    rows, cols = count(group.kept_shape), count(shape)
    kept = unflatten(Var("row", rows), group.kept_shape)
    full = _indices(group, kept, unflatten(Var("col", cols), shape))
    source = Source(group, storage, forced)
    lanes = GPU_ROW if target.gpu else 1 if cols < 2 * LANES else LANES

    def row_body() -> None:
        _range(source, group, "col", cols)
        for reductions, outputs in _stages(group):
            (_row_pass_gpu if target.gpu else _row_pass_cpu)(source, reductions, outputs, full, kept, lanes)
        if target.gpu:
            source.block(lambda: source.store(_kept_outputs(group), (), kept), "if (get_local_id(0) == 0)")
        else:
            source.store(_kept_outputs(group), (), kept)

    if target.gpu:
        source.lines += _scratch(source, lanes)
        source.block(row_body, "const int row = (int)get_group_id(0);")
        return _finish(source, target, (rows * lanes,), (lanes,), {})
    source.lines += _bounds(0, "row")
    source.block(row_body, _loop("row"))
    items, block = _spread(rows, target.items, 1)
    return _finish(source, target, (items,), (1,), {"row_block": block, "rows": rows})


def _declare(source: Source, reductions: Sequence[Node], lanes: int) -> None:
    """The accumulators of a pass, at their initial values."""
    for node in reductions:
        assert isinstance(node.op, Reduction)
        for name, (kind, initial) in zip(_names(node, source), node.op.accumulators(fed_dtype(node)), strict=True):
            if lanes == 1:
                source.lines.append(f"{kind} {name} = {initial};")
            else:
                source.lines.append(f"{kind} {name}[{lanes}];")
                source.lines.append(f"for (int lane = 0; lane < {lanes}; ++lane) {name}[lane] = {initial};")


def _merge(source: Source, node: Node, left: str, right: str) -> None:
    """`left` lanes take in `right` lanes."""
    assert isinstance(node.op, Reduction)
    names = _names(node, source)
    kinds = [kind for kind, _ in node.op.accumulators(fed_dtype(node))]
    merged = node.op.merge([name + left for name in names], [name + right for name in names])
    source.lines.append("{")
    source.lines += [f"const {k} m{step} = {text};" for step, (k, text) in enumerate(zip(kinds, merged, strict=True))]
    source.lines += [f"{name}{left} = m{step};" for step, name in enumerate(names)]
    source.lines.append("}")


def _result(source: Source, node: Node, kept: Index, lane: str) -> None:
    """The result of a reduction becomes known at its kept index."""
    assert isinstance(node.op, Reduction)
    where = source.group.place(node, (), kept)
    assert where is not None
    source.statement(node, where, node.op.result([name + lane for name in _names(node, source)]))


def _row_pass_cpu(
    source: Source, reductions: Sequence[Node], outputs: Sequence[Node], full: Index, kept: Index, lanes: int
) -> None:
    """One pass along a row on a core: blocks of `lanes` elements, then the rest."""
    _declare(source, reductions, lanes)
    if lanes == 1:
        source.block(lambda: _accumulate(source, reductions, outputs, full, "col", ""), _loop("col"))
    else:
        source.lines.append("{ int start = col_begin;")
        source.lines.append(f"for (; start + {lanes} <= col_end; start += {lanes})")
        for condition in (f"lane < {lanes}", "start + lane < col_end"):

            def body() -> None:
                source.lines.append("const int col = start + lane;")
                _accumulate(source, reductions, outputs, full, "col", "[lane]")

            source.block(body, f"for (int lane = 0; {condition}; ++lane)")
        source.lines.append("}")
        for node in reductions:
            source.lines.append(f"for (int width = {lanes // 2}; width > 0; width /= 2)")
            source.lines.append("for (int lane = 0; lane < width; ++lane)")
            _merge(source, node, "[lane]", "[lane + width]")
    for node in reductions:
        _result(source, node, kept, "" if lanes == 1 else "[0]")


def _scratch(source: Source, lanes: int) -> list[str]:
    """Local memory for the trees of a work-group."""
    lines = []
    for node in source.group.nodes:
        if isinstance(node.op, Reduction):
            kinds = node.op.accumulators(fed_dtype(node))
            for name, (kind, _) in zip(_names(node, source), kinds, strict=True):
                lines.append(f"__local {kind} shared_{name}[{lanes}];")
    return lines


def _row_pass_gpu(
    source: Source, reductions: Sequence[Node], outputs: Sequence[Node], full: Index, kept: Index, lanes: int
) -> None:
    """One pass along a row in a work-group: strided lanes, a tree in local memory, the result in every work-item."""
    _declare(source, reductions, 1)
    head = f"for (int col = col_begin + (int)get_local_id(0); col < col_end; col += {lanes})"
    source.block(lambda: _accumulate(source, reductions, outputs, full, "col", ""), head)
    for node in reductions:
        names = _names(node, source)
        source.lines += [f"shared_{name}[get_local_id(0)] = {name};" for name in names]
        source.lines.append(f"for (int width = {lanes // 2}; width > 0; width /= 2) {{")
        source.lines.append("barrier(CLK_LOCAL_MEM_FENCE);")
        source.lines.append("if ((int)get_local_id(0) < width) {")
        kinds = [kind for kind, _ in node.op.accumulators(fed_dtype(node))] if isinstance(node.op, Reduction) else []
        source.lines += [
            f"const {kind} other_{name} = shared_{name}[get_local_id(0) + width];"
            for kind, name in zip(kinds, names, strict=True)
        ]
        assert isinstance(node.op, Reduction)
        merged = node.op.merge(names, [f"other_{name}" for name in names])
        source.lines += [
            f"const {k} m{step} = {text};" for step, (k, text) in enumerate(zip(kinds, merged, strict=True))
        ]
        source.lines += [
            f"{name} = m{step}; shared_{name}[get_local_id(0)] = m{step};" for step, name in enumerate(names)
        ]
        source.lines += ["}", "}", "barrier(CLK_LOCAL_MEM_FENCE);"]
        source.lines += [f"{name} = shared_{name}[0];" for name in names]
        source.lines.append("barrier(CLK_LOCAL_MEM_FENCE);")
        _result(source, node, kept, "")


def _reduce_columns(group: Group, storage: Callable[[Node], Hashable], forced: set[int], target: Target) -> Launch:
    """Results that lie side by side: each lane is a result, and walks down its column in order."""
    assert group.axes is not None
    reduced = [group.shape[axis] for axis in group.axes]
    *outer, cols = group.kept_shape
    rows, depth = count(outer), count(reduced)
    kept = (*unflatten(Var("row", rows), outer), *unflatten(Var("col", cols), [cols]))
    full = _indices(group, kept, unflatten(Var("down", depth), reduced))
    source = Source(group, storage, forced)
    lanes = 1 if target.gpu else LANES

    def columns(condition: str, body: Callable[[], None]) -> None:
        """`body` for each column of the block."""

        def inner() -> None:
            if lanes > 1:
                source.lines.append("const int col = start + lane;")
            body()

        source.block(inner, f"for (int lane = 0; {condition}; ++lane)" if lanes > 1 else "")

    def block_body(condition: str) -> None:
        _range(source, group, "down", depth)
        lane = "[lane]" if lanes > 1 else ""
        for reductions, outputs in _stages(group):
            _declare(source, reductions, lanes)
            join = partial(_accumulate, source, reductions, outputs, full, "down", lane)
            source.block(partial(columns, condition, join), _loop("down"))
            for node in reductions:
                where = group.place(node, (), kept)
                assert where is not None
                assert isinstance(node.op, Reduction)
                source.scopes[-1][id(node), where] = node.op.result([name + lane for name in _names(node, source)])
        columns(condition, lambda: source.store(_kept_outputs(group), (), kept))

    source.lines += [*_bounds(0, "col"), *_bounds(1, "row")]
    source.lines.append(_loop("row"))
    if target.gpu:
        source.block(lambda: block_body(""), _loop("col"))
        wide = 64
        grid = (-(-cols // wide) * wide, rows)
        return _finish(source, target, grid, (wide, 1), {"col_block": 1, "cols": cols, "row_block": 1, "rows": rows})
    source.lines.append(f"for (int start = col_begin; start < col_end; start += {lanes})")
    source.block(lambda: block_body(f"lane < {lanes}"), f"if (start + {lanes} <= col_end)")
    source.block(lambda: block_body("start + lane < col_end"), "else")
    down, row_block = _spread(rows, target.items, 1)
    across, col_block = _spread(cols, target.items // down, lanes)
    bounds = {"col_block": col_block, "cols": cols, "row_block": row_block, "rows": rows}
    return _finish(source, target, (across, down), (1, 1), bounds)
