"""Epilogues: what a routine does with each element when it is finished."""

from __future__ import annotations

from clnet.graph import Node, Routine, count
from clnet.index import Index, Var, flatten, stride, unflatten, variables
from clnet.lowering import Epilogue
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


def lower(group: Group, places: Places) -> Epilogue:
    """The function that takes an element of the group's routine to wherever the group's outputs go."""
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
    declared, names, arguments = source.parameters()
    numbers = source.numbers
    parameters = ", ".join(
        f"const {numbers[name]} {name}" if name in numbers else text for name, text in zip(names, declared, strict=True)
    )
    loaded = ", ".join(f"{name}[0]" if name in numbers else name for name in names)
    body = "".join(f"    {line}\n" for line in source.lines)
    head = "static inline __attribute__((always_inline)) void epilogue("  # a call would keep loops from being vectors
    head += f"{value_type(anchor.dtype)} value, size_t batch, int row, int column"
    return Epilogue(
        source=f"{preamble(source.libraries, source.kinds)}{head}, {parameters})\n{{\n{body}}}\n",
        parameters=parameters,
        names=", ".join(names),
        arguments=tuple(arguments),
        plain=group.outputs == [anchor],
        fetches="".join(f"__builtin_prefetch(&{each}); " for each in _by_rows(source)),
        declared=", ".join(declared),
        loaded=loaded,
    )


def _by_rows(source: Source) -> list[str]:
    """What is read of arrays whose rows lie as those of the result do: neighbours in a row side by side."""
    found = []
    for node, index in source.loads:
        place = flatten(index, node.shape)
        known = variables(place) <= {BATCH, "row", "column"}  # and nothing that is read from memory before
        if known and stride(place, "column") == 1 and stride(place, "row"):
            found.append(source.element(node, index))
    return found
