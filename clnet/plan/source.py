"""Source: the text of one OpenCL kernel as it grows.

The text holds one statement an op, and sizes and numbers are arguments: one build serves every shape of the same
structure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnet import kernels
from clnet.errors import ShapeError
from clnet.graph import Constant, Node, Pointwise, count
from clnet.index import Index, Part, code, divided, flatten, is_split
from clnet.kernels import Launch
from clnet.lowering import Target
from clnet.plan.fusion import Group, is_inline
from clnet.tensor import C_TYPES, value_type

MOST = 2**31 - 1  # elements of an array
NAME = re.compile(r"\w+\Z")


@dataclass(frozen=True)
class Places:
    """Where nodes lie: `storage` names the memory of one; `forced`, by id, are those that must have some."""

    storage: Callable[[Node], Hashable]
    forced: set[int]


class Source:
    """The text of one kernel as it grows; what `Pointwise.emit` writes to."""

    def __init__(self, group: Group, places: Places) -> None:
        self.group, self.places = group, places
        self.written = {places.storage(node) for node in group.outputs}
        self.buffers: dict[Hashable, tuple[str, str]] = {}  # storage -> (name, C type)
        self.scalars: dict[tuple[str, str], tuple[str, Any]] = {}  # (C type, text) -> (name, value)
        self.sizes: dict[tuple[str, int], str] = {}  # (whose, extent) -> name
        self.libraries: list[str] = []
        self.kinds: set[str] = set()  # of its elements
        self.lines: list[str] = []
        self.loads: list[tuple[Node, Index]] = []
        self.scopes: list[dict[tuple[int, Index], str]] = [{}]
        self.walks: dict[str, dict[Part, str]] = {}  # loop variable -> counters of its parts
        self.counters = 0
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
        if isinstance(node.op, Pointwise) and (mine or is_inline(node, self.places.forced)):
            text = node.op.emit(node, index, self)
            if NAME.match(text) and not mine:  # seen elsewhere under another index: no copy
                return text
            if node.dtype == np.float16:  # as if it had been stored, so that fusing changes no bit
                text = f"(half)({text})"
        else:
            self.loads.append((node, index))
            text = self.load(node, index)
        return self.statement(node, index, text)

    def statement(self, node: Node, index: Index, text: str) -> str:
        """A variable that holds `text`."""
        name = f"v{self.names}"
        self.names += 1
        self.lines.append(f"const {self.c_type(node.dtype)} {name} = {text};")
        self.scopes[-1][id(node), index] = name
        return name

    def code(self, index: Index, shape: tuple[int, ...], whose: str = "") -> str:
        """The row-major position of an index in an array of this shape."""
        expr = flatten(index, shape)
        self.splits |= is_split(expr)
        return code(expr, lambda extent: self.size(extent, whose), self.part)

    def part(self, part: Part) -> str:
        """A part of a loop's variable: its counter, where the loop is a `walk`."""
        name = part.whole.name
        if name not in self.walks:
            return divided(part, name, lambda extent: self.size(extent, name))
        if part not in self.walks[name]:
            self.counters += 1  # several loops of one block may have some
            self.walks[name][part] = f"{name}_{self.counters}"
        return self.walks[name][part]

    def scalar(self, value: Any, dtype: np.dtype[Any]) -> str:
        """A number as an argument of the kernel; 0 and 1 as they are."""
        kind = self.c_type(dtype)
        number = np.float32(dtype.type(value)) if dtype == np.float16 else dtype.type(value)
        if number in (0, 1) and not np.signbit(np.float64(number)):
            return f"{int(number)}.0" + ("f" if kind == "float" else "") if dtype.kind == "f" else str(int(number))
        return self.scalars.setdefault((kind, repr(number)), (f"s{len(self.scalars)}", number))[0]

    def define(self, library: str) -> None:
        """Put a file of kernels_cl/, or a definition, before the kernel."""
        if library not in self.libraries:
            self.libraries.append(library)

    # What the loops ask for.

    def c_type(self, dtype: np.dtype[Any]) -> str:
        """The C type in which an element is computed."""
        self.kinds.add(C_TYPES[dtype])
        return value_type(dtype)

    def size(self, extent: int, whose: str = "") -> str:
        """The C name of an extent; that two arrays have one in common by chance does not make another text."""
        if extent in (0, 1, -1):
            return str(extent)
        return self.sizes.setdefault((whose, extent), f"d{len(self.sizes)}")

    def element(self, node: Node, index: Index) -> str:
        """The C expression of an element in memory."""
        name = self.buffer(node)
        return f"{name}[{self.code(index, node.shape, name)}]"

    def load(self, node: Node, index: Index) -> str:
        """The C expression that reads an element."""
        return self.element(node, index)

    def buffer(self, node: Node) -> str:
        """The C name of the memory that holds a node; kernels index it with int."""
        if count(node.shape) > MOST:
            raise ShapeError(f"{node.op.name}: a tensor of shape {node.shape} has more than {MOST} elements")
        key = self.places.storage(node)
        self.kinds.add(C_TYPES[node.dtype])
        return self.buffers.setdefault(key, (f"p{len(self.buffers)}", C_TYPES[node.dtype]))[0]

    def store(self, nodes: Iterable[Node], full: Index, kept: Index) -> None:
        """Compute the elements that belong to this pass, then write them: a kernel may update what it reads."""
        lines = []
        for node in nodes:
            index = self.group.place(node, full, kept)
            assert index is not None
            text = self.value(node, index)
            lines.append(f"{self.element(node, index)} = {text};")
        self.lines += lines

    def block(self, body: Callable[[], None], head: str = "") -> None:
        """`head { body }` with variables of its own."""
        self.lines.append(f"{head} {{")
        self.scopes.append({})
        body()
        self.scopes.pop()
        self.lines.append("}")

    def walk(self, name: str, body: Callable[[], None], pragma: str = "", steps: int = 0) -> None:
        """A loop over the range of `name`, which has so many `steps` where compilers are to know it.

        Parts of its variable are counted: a division takes as long as ten steps.
        """
        start, outer, counters = len(self.lines), self.walks, dict[Part, str]()
        self.walks = outer | {name: counters}
        self.lines += [pragma] if pragma else []

        def counted() -> None:
            self.lines += [f"const int {name} = {name}_begin + {name}_step;"] if steps else []
            body()
            for part, counter in counters.items():
                step = f"++{counter};" if part.leads else f"if (++{counter} == {size(part.extent)}) {counter} = 0;"
                rest = f"if (++{counter}_rest == {size(part.divisor)}) {{ {counter}_rest = 0; {step} }}"
                self.lines.append(rest if part.divisor > 1 else step)

        def size(extent: int) -> str:
            return self.size(extent, name)

        known = f"for (int {name}_step = 0; {name}_step < {steps}; ++{name}_step)"
        self.block(counted, known if steps else f"for (int {name} = {name}_begin; {name} < {name}_end; ++{name})")
        for part, counter in counters.items():
            declared = [f"int {counter} = {divided(part, f'{name}_begin', size)};"]
            if part.divisor > 1:
                declared.append(f"int {counter}_rest = {name}_begin % {size(part.divisor)};")
            self.lines[start:start] = declared
        self.walks = outer

    def parameters(self) -> tuple[list[str], list[str], list[Hashable]]:
        """(C declarations, names, arguments) of buffers, numbers and sizes, in this order."""
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
        for (_, extent), name in self.sizes.items():
            declarations.append(f"const int {name}")
            names.append(name)
            arguments.append(np.int32(extent))
        return declarations, names, arguments


def title(group: Group) -> str:
    """What a kernel is called: its kind and its ops, for profiles and error messages."""
    kind = "routine" if group.anchor is not None else "map" if group.axes is None else "reduce"
    ops = list(dict.fromkeys(node.op.name for node in group.nodes if node is not group.anchor))
    return "_".join([kind, *(ops if len(ops) <= 4 else [*ops[:3], f"and_{len(ops) - 3}_more"])])


@dataclass(frozen=True)
class Kernel:
    """A finished text that lacks only its name and its libraries, and how to launch it."""

    title: str
    text: str  # from the parameters to the last brace
    libraries: tuple[str, ...]
    kinds: frozenset[str]  # C types of its elements
    arguments: tuple[Hashable, ...]
    global_size: tuple[int, ...]
    local_size: tuple[int, ...]
    single: bool  # one work-item a work-group


def kernel(source: Source, target: Target, grid: tuple[int, ...], local: tuple[int, ...], **bounds: int) -> Kernel:
    """The kernel of a finished text; `bounds`: names and values of the sizes that its loops use."""
    declarations, _, arguments = source.parameters()
    declarations += [f"const int {name}" for name in bounds]
    arguments += [np.int32(value) for value in bounds.values()]
    text = f"({', '.join(declarations)})\n{{\n{_indented(source.lines)}}}\n"
    libraries = tuple(source.libraries)
    kinds = frozenset(source.kinds)
    return Kernel(title(source.group), text, libraries, kinds, tuple(arguments), grid, local, not target.gpu)


def program(wanted: Sequence[Kernel]) -> list[Launch]:
    """Launches of kernels that share one program: PoCL reads its headers once, 0.1 s; equal texts are one kernel."""
    names: dict[tuple[str, str], str] = {}
    for each in wanted:
        taken = sum(known == each.title for known, _ in names)
        names.setdefault((each.title, each.text), each.title + (f"_{taken + 1}" if taken else ""))
    single = "__attribute__((reqd_work_group_size(1, 1, 1))) " if any(each.single for each in wanted) else ""
    kinds = frozenset().union(*(each.kinds for each in wanted))
    source = preamble([library for each in wanted for library in each.libraries], kinds)
    source += "\n".join(f"__kernel {single}void {name}{text}" for (_, text), name in names.items())
    return [
        Launch(source, names[each.title, each.text], each.arguments, each.global_size, each.local_size)
        for each in wanted
    ]


def preamble(libraries: Iterable[str], kinds: Collection[str]) -> str:
    """Everything before the kernels: files of kernels_cl/, once for each type of element, and users' functions."""
    double = "double" in kinds
    text = kernels.DOUBLE * double + kernels.HALF * ("half" in kinds)
    for library in dict.fromkeys(libraries):
        if not library.endswith(".cl"):
            text += f"{library}\n"
        elif "#define T " not in kernels.read(library):
            text += kernels.read(library)
        else:
            text += _typed(library, "float") + (_typed(library, "double") if double else "")
    return text


def _typed(library: str, kind: str) -> str:
    """A file of functions of T, for one T."""
    return kernels.define(T=kind, DOUBLE=int(kind == "double")) + kernels.read(library) + "#undef T\n#undef DOUBLE\n"


def _indented(lines: Iterable[str]) -> str:
    """C lines, indented by their braces: someone may have to read them in a compiler's log."""
    text, depth = "", 1
    for line in lines:
        depth -= line.startswith("}")
        text += "    " * depth + line + "\n"
        depth += line.endswith("{")
    return text


def bounds(axis: int, name: str) -> list[str]:
    """C lines for the range of one loop of a work-item: its block of `name`s."""
    return [
        f"const int {name}_begin = (int)get_global_id({axis}) * {name}_block;",
        f"const int {name}_end = {name}_begin + {name}_block < {name}s ? {name}_begin + {name}_block : {name}s;",
    ]
