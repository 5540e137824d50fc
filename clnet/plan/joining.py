"""Joining: on a CPU the launches of a plan become one kernel, which runs the plan as often as it is told.

A launch on the calling thread costs 1.3 us, as much as the small products of a small network, and one on all cores 7,
where the other cores sleep between launches and come 24 us late. A call in a kernel costs nothing. Texts that were
written apart meet in one program, so the names that each defines are made its own.

On several cores each has a work-group of the kernel, and they share the parts of each launch: joining.cl.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from math import prod

import numpy as np

from clnet.kernels import Launch, define, read
from clnet.tensor import C_TYPES

NAME = "joined"
# The second keeps Intel's compiler from trying vectors of work-items: 71 s for a step of two convolutions, with it 11.
HINTS = "__attribute__((reqd_work_group_size(1, 1, 1))) __attribute__((vec_type_hint(float16)))"
PART = 2.0  # microseconds of work below which no part is cut, and
PARTS = 4  # the most of a launch for each core
# What a kernel asks of its place in the grid, whose work-groups have one item each, is told to the function it becomes.
PLACES = """#define get_group_id(axis) group[axis]
#define get_global_id(axis) group[axis]
#define get_num_groups(axis) groups[axis]
#define get_global_size(axis) groups[axis]
"""
LINE = 32  # elements between counters: cache lines of their own, and those that processors fetch along
ATTRIBUTE = r"__attribute__\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)"
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)
DEFINED = re.compile(
    r"^(?:typedef\b[^;{]*?|\}\s*)(\w+)\s*;"  # a type,
    r"|^(?!typedef\b)[A-Za-z_][\w \t*]*?\b(\w+)(?:\(|\s*\[|\s*=)",  # a function, or a constant
    re.MULTILINE,
)
KERNEL = re.compile(rf"__kernel\s+(?:{ATTRIBUTE}\s*)*void\s+(\w+)\(")


def join(launches: Sequence[Launch], most: int, workers: int = 1, work: Sequence[float] = ()) -> list[Launch] | None:
    """Launches that together do what these do, in this order; the first argument of each says how often.

    most: bytes of arguments that a kernel may have. workers: cores that share `work`, the microseconds that one would
    take for each launch. None where work-groups of several items keep it from being done.
    """
    if any(prod(launch.local_size or launch.global_size) != 1 for launch in launches):
        return None
    parts = [_parts(each, workers) for each in work] or [1] * len(launches)
    return [_joined(some, workers) for some in _runs(list(zip(launches, parts, strict=True)), most)]


def _parts(work: float, workers: int) -> int:
    """How many parts a launch of so many microseconds is cut into: one, or the same number for each core."""
    return 1 if work < PART else workers * max(1, min(PARTS, int(work / workers / PART)))


def _runs(launches: Sequence[tuple[Launch, int]], most: int) -> Iterator[list[tuple[Launch, int]]]:
    """As few runs of launches as have no more bytes of arguments each: a number, two tables, and the buffers."""
    run: list[tuple[Launch, int]] = []
    buffers: set[Hashable] = set()
    for launch, parts in launches:
        own = {each for each in launch.arguments if not isinstance(each, np.generic)}
        if run and 20 + 8 * len(buffers | own) > most:
            yield run
            run, buffers = [], set()
        run.append((launch, parts))
        buffers |= own
    if run:
        yield run


def _joined(launches: Sequence[tuple[Launch, int]], workers: int) -> Launch:
    """One kernel for all: `times` times each of their kernels, now a function, for each of its work-groups."""
    suffixes: dict[str, str] = {}
    table: list[bytes] = []
    buffers: dict[Hashable, str] = {}

    def scalar(value: np.generic) -> str:
        table.append(value.tobytes().ljust(8, b"\0"))
        return f"*(__global const {C_TYPES[value.dtype]} *)(table + {len(table) - 1})"

    def argument(value: Hashable) -> str:
        return scalar(value) if isinstance(value, np.generic) else buffers.setdefault(value, f"b{len(buffers)}")

    calls = []
    for launch, parts in launches:
        suffix = suffixes.setdefault(launch.source, f"_{len(suffixes) + 1}")
        extents = (*launch.global_size, 1, 1)[:3]
        grid = [scalar(np.int32(extent)) if extent != 1 else "1" for extent in extents]
        names = map(argument, launch.arguments)
        call = f"{launch.name}{suffix}(group, groups, {', '.join(names)})"
        calls.append(f"        EACH({scalar(np.int32(parts))}, {', '.join(grid)}, {call});\n")
    text = "".join(_as_functions(source, suffix) for source, suffix in suffixes.items())
    macros = define(WORKERS=workers, LINE=LINE) + read("joining.cl")
    declared = ["const int times", "__global const ulong *table"]
    declared += [f"__global void *{name}" for name in buffers.values()]
    arguments: list[Hashable] = [np.int32(1), b"".join(table) or bytes(8), *buffers]
    body = f"    for (int time = 0; time < times; time++) {{\n{''.join(calls)}    }}\n"
    if workers > 1:
        declared.append("volatile __global uint *drawn")
        arguments.append(bytes(4 * LINE * (workers + 2)))
        body = f"    const int me = get_group_id(0);\n    uint own = 0;\n{body}    LEAVE();\n"
    head = f"__kernel {HINTS} void {NAME}({', '.join(declared)})"
    return Launch(f"{PLACES}{text}{macros}{head} {{\n{body}}}\n", NAME, tuple(arguments), (workers,), (1,))


def _as_functions(source: str, suffix: str) -> str:
    """The text with functions for kernels, the names that it defines ending so, and its macros forgotten behind it."""
    function = r"static __attribute__((noinline)) void \1(const size_t *group, const size_t *groups, "
    found = DEFINED.findall(re.sub(ATTRIBUTE, "", source))
    names = {name for pair in found for name in pair if name} - (macros := set(MACRO.findall(source)))
    text = re.sub(r"\b[A-Za-z_]\w*\b", lambda word: word[0] + suffix * (word[0] in names), source)
    return KERNEL.sub(function, text) + "".join(f"#undef {macro}\n" for macro in sorted(macros))
