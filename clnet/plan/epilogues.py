"""Epilogues: what a routine does with each element when it is finished."""

from __future__ import annotations

from collections.abc import Sequence

from clnet.graph import Node, Routine, count
from clnet.index import Index, Var, flatten, stride, unflatten, variables
from clnet.lowering import Ahead, Epilogue
from clnet.plan.ahead import begin_row, is_far
from clnet.plan.fusion import Group
from clnet.plan.source import Places, Source, preamble
from clnet.tensor import value_type

BATCH = "(int)batch"


class _Source(Source):
    """The text of an epilogue, to which kernels hand the numbers that it reads from memory."""

    def __init__(self, group: Group, places: Places) -> None:
        super().__init__(group, places)
        self.numbers: dict[str, str] = {}  # names of buffers that hold one number -> its C type

    def element(self, node: Node, index: Index) -> str:
        """The C expression of an element in memory, or of a number that the kernel has loaded."""
        if count(node.shape) > 1 or self.places.storage(node) in self.written:
            return super().element(node, index)
        name = self.buffer(node)
        self.numbers[name] = value_type(node.dtype)
        return name


class _Rows(_Source):
    """The text of the function that tells where the rows begin that a map reads of far memory; beside an epilogue."""

    def __init__(self, group: Group, beside: _Source) -> None:
        super().__init__(group, beside.places)
        self.buffers, self.scalars, self.sizes = beside.buffers, beside.scalars, beside.sizes
        self.libraries, self.kinds, self.numbers = beside.libraries, beside.kinds, beside.numbers
        self.address, self.nbytes = "", 0
        begin_row(self, group)

    def load(self, node: Node, index: Index) -> str:
        """What lies far is not read: its address is what is asked for."""
        if not is_far(node, index):
            return super().load(node, index)
        self.address = f"&{self.element(node, index)}"
        self.nbytes = count(self.group.shape[1:]) * node.dtype.itemsize
        return "0"


def lower(group: Group, places: Places, rows: Group | None = None) -> Epilogue:
    """The function that takes an element of the group's routine to wherever the group's outputs go.

    `rows`: a map whose next rows the routine is to fetch.
    """
    anchor = group.anchor
    assert anchor is not None
    assert isinstance(anchor.op, Routine)
    source = _Source(group, places)
    row, column = anchor.op.runs(anchor)
    runs = {BATCH: group.shape[:row], "row": group.shape[row:column], "column": group.shape[column:]}
    index = tuple(expr for name, axes in runs.items() for expr in unflatten(Var(name, count(axes)), axes))
    where = group.place(anchor, index, ())
    assert where is not None
    source.scopes[0][id(anchor), where] = "value"
    source.store(group.outputs, index, ())
    far = None if rows is None else _Rows(rows, source)
    declared, names, arguments = source.parameters()
    numbers = source.numbers
    parameters = ", ".join(
        f"const {numbers[name]} {name}" if name in numbers else text for name, text in zip(names, declared, strict=True)
    )
    loaded = ", ".join(f"{name}[0]" if name in numbers else name for name in names)
    element = f"{value_type(anchor.dtype)} value, size_t batch, int row, int column"
    text = preamble(source.libraries, source.kinds)
    text += _function("void epilogue", f"{element}, {parameters}", source.lines)
    if far is not None:
        lines = [*far.lines, f"return (__global const char *){far.address};"]
        text += _function("__global const char *row_ahead", f"int row, {parameters}", lines)
    return Epilogue(
        source=text,
        parameters=parameters,
        names=", ".join(names),
        arguments=tuple(arguments),
        plain=group.outputs == [anchor],
        fetches="".join(f"__builtin_prefetch(&{each}); " for each in _by_rows(source)),
        declared=", ".join(declared),
        loaded=loaded,
        ahead=None if far is None else Ahead(far.group.shape[0], far.nbytes),
    )


def _function(head: str, parameters: str, lines: Sequence[str]) -> str:
    """In line: a call would keep loops from being vectors."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"static inline __attribute__((always_inline)) {head}({parameters})\n{{\n{body}}}\n"


def _by_rows(source: Source) -> list[str]:
    """What is read of arrays whose rows lie as those of the result do: neighbours in a row side by side."""
    found = []
    for node, index in source.loads:
        place = flatten(index, node.shape)
        known = variables(place) <= {BATCH, "row", "column"}  # and nothing that is read from memory before
        if known and stride(place, "column") == 1 and stride(place, "row"):
            found.append(source.element(node, index))
    return found
