"""Joining: on one core the launches of a plan become one kernel, which runs the plan as often as it is told.

A launch on the calling thread costs 1.3 us, as much as the small products of a small network; a call in a kernel costs
nothing. Texts that were written apart meet in one program, so the names that each defines are made its own.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from math import prod

import numpy as np

from clnet.kernels import Launch
from clnet.tensor import C_TYPES

NAME = "joined"
# What a kernel asks of its place in the grid, whose work-groups have one item each, is told to the function it becomes.
PLACES = """#define get_group_id(axis) group[axis]
#define get_global_id(axis) group[axis]
#define get_num_groups(axis) groups[axis]
#define get_global_size(axis) groups[axis]
#define EACH(x, y, z, call) do { \\
    const size_t groups[3] = {x, y, z}; \\
    size_t group[3]; \\
    for (group[2] = 0; group[2] < groups[2]; group[2]++) \\
        for (group[1] = 0; group[1] < groups[1]; group[1]++) \\
            for (group[0] = 0; group[0] < groups[0]; group[0]++) call; \\
} while (0)
"""
ATTRIBUTE = r"__attribute__\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)"
MACRO = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)
DEFINED = re.compile(
    r"^(?:typedef\b[^;{]*?|\}\s*)(\w+)\s*;"  # a type,
    r"|^(?!typedef\b)[A-Za-z_][\w \t*]*?\b(\w+)(?:\(|\s*\[|\s*=)",  # a function, or a constant
    re.MULTILINE,
)
KERNEL = re.compile(rf"__kernel\s+(?:{ATTRIBUTE}\s*)*void\s+(\w+)\(")


def join(launches: Sequence[Launch], most: int) -> list[Launch] | None:
    """Launches that together do what these do, in this order; the first argument of each says how often.

    most: bytes of arguments that a kernel may have. None where work-groups of several items keep it from being done.
    """
    if any(prod(launch.local_size or launch.global_size) != 1 for launch in launches):
        return None
    return [_joined(part) for part in _parts(launches, most - 4)]


def _parts(launches: Sequence[Launch], most: int) -> Iterator[list[Launch]]:
    """As few runs of launches as have no more bytes of arguments each."""
    part: list[Launch] = []
    room = most
    for launch in launches:
        wanted = 12 + sum(each.nbytes if isinstance(each, np.generic) else 8 for each in launch.arguments)
        if part and wanted > room:
            yield part
            part, room = [], most
        part.append(launch)
        room -= wanted
    if part:
        yield part


def _joined(launches: Sequence[Launch]) -> Launch:
    """One kernel for all: `times` times each of their kernels, now a function, for each of its work-groups."""
    suffixes: dict[str, str] = {}
    declared = ["const int times"]
    arguments: list[Hashable] = [np.int32(1)]
    buffers: dict[Hashable, str] = {}

    def scalar(value: np.generic) -> str:
        declared.append(f"const {C_TYPES[value.dtype]} s{len(declared)}")
        arguments.append(value)
        return f"s{len(declared) - 1}"

    def buffer(slot: Hashable) -> str:
        if slot not in buffers:
            buffers[slot] = f"b{len(declared)}"
            declared.append(f"__global void *{buffers[slot]}")
            arguments.append(slot)
        return buffers[slot]

    calls = []
    for launch in launches:
        suffix = suffixes.setdefault(launch.source, f"_{len(suffixes) + 1}")
        extents = (*launch.global_size, 1, 1)[:3]
        grid = [scalar(np.int32(extent)) if extent != 1 else "1" for extent in extents]
        names = [scalar(each) if isinstance(each, np.generic) else buffer(each) for each in launch.arguments]
        calls.append(f"        EACH({', '.join(grid)}, {launch.name}{suffix}(group, groups, {', '.join(names)}));\n")
    text = "".join(_as_functions(source, suffix) for source, suffix in suffixes.items())
    head = f"__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void {NAME}({', '.join(declared)})"
    body = f"{{\n    for (int time = 0; time < times; time++) {{\n{''.join(calls)}    }}\n}}\n"
    return Launch(f"{PLACES}{text}{head}\n{body}", NAME, tuple(arguments), (1,), (1,))


def _as_functions(source: str, suffix: str) -> str:
    """The text with functions for kernels, the names that it defines ending so, and its macros forgotten behind it."""
    function = r"static __attribute__((noinline)) void \1(const size_t *group, const size_t *groups, "
    found = DEFINED.findall(re.sub(ATTRIBUTE, "", source))
    names = {name for pair in found for name in pair if name} - (macros := set(MACRO.findall(source)))
    text = re.sub(r"\b[A-Za-z_]\w*\b", lambda word: word[0] + suffix * (word[0] in names), source)
    return KERNEL.sub(function, text) + "".join(f"#undef {macro}\n" for macro in sorted(macros))
