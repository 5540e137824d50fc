"""The forms of the product for CPUs: gemm_cpu.cl with the tile, the roles and the packing that suit a shape."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np

from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.gemm.problem import Problem, Registers, swapped
from clnet.kernels import Launch, define, read
from clnet.lowering import Ahead, Epilogue, Lowering

BLOCK = 256  # steps of k, and rows of C, that a work-group packs for: a panel of 3 AVX-512 vectors is 48 KB
SIDE_BY_SIDE = 4  # panels for which a group packs A once: one gives 69, four 90 GFLOP/s at 2048 cubed, A transposed
FAR = 128 << 10  # bytes of B and C from which they are fetched early; 16-48-48-48-48-3 is 2 % faster without
FEW, FURTHER = 16, 1 << 20  # steps of k that are over before a line is there, and the bytes from which it pays even so
NEAR = 24 << 10  # bytes of a panel of B that stay in the first cache from one tile to the next
LINE = 64  # bytes of a line of the cache
SHARE = 400 << 10  # bytes of B, and lines of A, that the second cache holds from one row of tiles to the next
ROWS, VECTORS = 10, 8  # the largest tile's sides: more rows than that, and their addresses leave the registers
NAME = re.compile(r"cpu-(\d+)x(\d+)(-packed)?(-swapped)?")


@dataclass(frozen=True)
class Form:
    """A tile of `rows` x `vectors` registers, whether operands are packed, and whether they change places."""

    rows: int
    vectors: int
    packed: bool
    swapped: bool

    @property
    def name(self) -> str:
        return f"cpu-{self.rows}x{self.vectors}{'-packed' * self.packed}{'-swapped' * self.swapped}"


@dataclass(frozen=True)
class Grid:
    """How a form covers a problem: tiles below and beside each other, and how many of each make a work-group."""

    form: Form
    width: int
    rows: int
    columns: int
    tiles: int
    panels: int
    pack_a: bool
    pack_b: bool

    @property
    def groups(self) -> tuple[int, int]:
        return ceil(self.rows / self.tiles), ceil(self.columns / self.panels)


def forms(device: Device, problem: Problem, units: int, *, plain: bool = True) -> list[Form]:
    """The forms worth trying, the likely best for so many cores first; `plain`: the epilogue only stores."""
    registers = Registers.of(device, problem)
    candidates = {form: cost(form, problem, registers, units, plain) for form in _candidates(problem, registers)}
    return sorted(candidates, key=candidates.__getitem__)


def _candidates(problem: Problem, registers: Registers) -> Iterator[Form]:
    for swap in (False, True):
        seen = swapped(problem) if swap else problem
        for vectors in range(1, min(VECTORS, ceil(seen.n / registers.width)) + 1):
            most = min(ROWS, (registers.count - 1 - vectors) // vectors)
            fewest = ceil(seen.m / max(1, most))
            for rows in {ceil(seen.m / fewest), ceil(seen.m / (fewest + 1))} if most else ():
                if not must_pack(seen, registers.width):
                    yield Form(rows, vectors, False, swap)
                yield Form(rows, vectors, True, swap)


def must_pack(problem: Problem, width: int) -> bool:
    """Whether B cannot be read where it lies: its rows run along k, or are shorter than a vector."""
    return problem.transpose_b or problem.n < width


def parse(name: str, problem: Problem, registers: Registers) -> Form | None:
    """The form of this name; None where it is not a name of these, ArgumentError where it cannot run the problem."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    form = Form(int(match[1]), int(match[2]), bool(match[3]), bool(match[4]))
    seen = swapped(problem) if form.swapped else problem
    width = registers.width
    if not 1 <= form.rows <= seen.m or not 1 <= form.vectors <= ceil(seen.n / width):
        raise ArgumentError(f"gemm: form {name!r} has a tile larger than {problem}")
    if must_pack(seen, width) and not form.packed:
        raise ArgumentError(f"gemm: form {name!r} does not pack, {problem} needs that")
    return form


def cost(form: Form, problem: Problem, registers: Registers, units: int, plain: bool = True) -> float:
    """Cycles of a core, roughly: what matters is the order that it puts forms in.

    Fitted to timings on Zen 4; a cycle is one multiply-add of a vector, or one load.
    """
    seen = swapped(problem) if form.swapped else problem
    grid = cover(form, seen, registers, units)
    rows, vectors, k, width = form.rows, form.vectors, seen.k, registers.width
    step = float(max(rows * vectors, rows + vectors))
    if min(k, BLOCK if grid.pack_b else k) * vectors * width * registers.size > NEAR:  # B comes from the second cache
        step = max(step, 2.8 * vectors)
    step += 0.25 * (rows + vectors)
    if grid.columns > 1:  # A comes once for each panel
        step += 0.15 * rows
    if not grid.pack_b:  # B comes again for each row of tiles, slowly where its own rows are pages apart
        pages = seen.n * registers.size / 4096
        again = 1.2 if pages >= 1 and k > BLOCK else min(0.5, 0.15 + pages / 3)
        step += vectors * again * (1 - 1 / grid.rows)
    apart = seen.m * registers.size
    if seen.transpose_a and not grid.pack_a and k >= BLOCK and apart >= 2048:
        step += 0.6 * rows  # A's columns too
        if k > _held(apart) or k * (vectors * width * registers.size + LINE) > SHARE:
            step += 20  # each step's line of A comes from memory: 512 x 128, 2048 steps, 3.6 ms, packed 2.0
    by_columns = form.swapped and not plain and apart > LINE  # what the epilogue reads lies in rows of C
    finish = rows * vectors * (40 * width if by_columns else 2.5 * width if form.swapped else 4)
    begin = 60 if grid.pack_b else 550 if seen.transpose_a else 310
    work = grid.rows * grid.columns * (begin + k * step + finish)
    down, across = grid.groups
    if grid.pack_b:
        each = 8 if seen.transpose_b else 1.5 if seen.n >= width else width
        work += down * k * ceil(seen.n / width) * each
    if grid.pack_a:
        work += across * k * ceil(seen.m / width) * 5
    group = work / (down * across) + 100
    alone = group * down * across * seen.batch
    return max(group, min(alone, alone / units + group))  # who comes last finds less to do, the smaller the groups


def _held(apart: int) -> int:
    """How many lines, so many bytes apart, a core's second cache holds: 1 MB in 2,048 sets of 8."""
    return 8 * 2048 // (gcd(apart // LINE, 2048) if apart % LINE == 0 else 1)


def cover(form: Form, seen: Problem, registers: Registers, units: int) -> Grid:
    """How a form covers the problem, its operands swapped already, with about the same work for all units."""
    rows, columns = ceil(seen.m / form.rows), ceil(seen.n / (form.vectors * registers.width))
    pack_a = form.packed and seen.transpose_a
    tiles, panels = 1, 1
    if form.packed:
        most = max(1, BLOCK // form.rows) if pack_a or seen.k > BLOCK else rows
        panels = min(SIDE_BY_SIDE, columns) if pack_a else 1
        other = ceil(columns / panels) * seen.batch

        def waste(groups: int) -> float:
            """Time, where B is packed once for each of `groups`: units that wait, one that begins late, packing."""
            per_group = ceil(rows / groups)
            total = ceil(rows / per_group) * other
            late = 0.5 if units > 1 else 0
            return (ceil(total / units) + late) / total * (1 + 3 / (per_group * form.rows))

        fewest = ceil(rows / most)
        even = (ceil(share * units / other) for share in (1, 2, 3, 4))
        tiles = ceil(rows / min([fewest, *(max(fewest, min(rows, groups)) for groups in even)], key=waste))
    return Grid(form, registers.width, rows, columns, tiles, panels, pack_a, form.packed)


def lower(
    problem: Problem, a: Hashable, b: Hashable, epilogue: Epilogue, form: Form, registers: Registers, units: int
) -> Lowering:
    """One launch; `units`: cores that will share it."""
    seen = swapped(problem) if form.swapped else problem
    grid = cover(form, seen, registers, units)
    first, second = (b, a) if form.swapped else (a, b)
    a_stride, b_stride = seen.m * seen.k * seen.a_batched, seen.k * seen.n * seen.b_batched
    i, u = np.int32, np.uint64
    sizes = (i(seen.m), i(seen.n), i(seen.k), u(a_stride), u(b_stride))
    source = (
        epilogue.source + parameters(seen, grid, registers, epilogue) + read("gemm_registers.cl") + read("gemm_cpu.cl")
    )
    launch = Launch(source, "gemm", (first, second, *sizes, *epilogue.arguments), (*grid.groups, seen.batch), (1, 1, 1))
    return Lowering((launch,))


def parameters(seen: Problem, grid: Grid, registers: Registers, epilogue: Epilogue) -> str:
    """What is fixed when the kernel is built: never the sizes, so that one program serves all shapes of a kind."""
    return define(
        **registers.parameters,
        **seen.stored,
        MR=grid.form.rows,
        NV=grid.form.vectors,
        TRANSPOSE_A=int(seen.transpose_a),
        TRANSPOSE_B=int(seen.transpose_b),
        PACK_A=int(grid.pack_a),
        PACK_B=int(grid.pack_b),
        KC=BLOCK,
        TILES=max(1, BLOCK // grid.form.rows) if grid.form.packed else 1,
        PANELS=SIDE_BY_SIDE if grid.pack_a else 1,
        PLAIN=int(epilogue.plain),
        SWAPPED=int(grid.form.swapped),
        **_ahead(epilogue.ahead),
        FETCH=int((seen.k + seen.m) * seen.n * registers.size >= (FAR if seen.k >= FEW else FURTHER)),
        **epilogue.macros,
    )


def _ahead(rows: Ahead | None) -> dict[str, int]:
    return {} if rows is None else {"AHEAD_ROWS": rows.rows, "AHEAD_LINES": ceil(rows.nbytes / LINE)}
