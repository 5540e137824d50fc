"""Epilogues: what a routine does with each element when it is finished."""

from __future__ import annotations

from clnet.graph import Routine, count
from clnet.index import Var, flatten, stride, unflatten
from clnet.lowering import Epilogue
from clnet.plan.fusion import Group
from clnet.plan.source import Places, Source, preamble
from clnet.tensor import value_type


def lower(group: Group, places: Places) -> Epilogue:
    """The function that takes an element of the group's routine to wherever the group's outputs go."""
    anchor = group.anchor
    assert anchor is not None
    assert isinstance(anchor.op, Routine)
    source = Source(group, places)
    row, column = anchor.op.runs(anchor)
    runs = {"(int)batch": group.shape[:row], "row": group.shape[row:column], "column": group.shape[column:]}
    index = tuple(expr for name, axes in runs.items() for expr in unflatten(Var(name, count(axes)), axes))
    where = group.place(anchor, index, ())
    assert where is not None
    source.scopes[0][id(anchor), where] = "value"
    source.store(group.outputs, index, ())
    declarations, names, arguments = source.parameters()
    body = "".join(f"    {line}\n" for line in source.lines)
    head = "static inline __attribute__((always_inline)) void epilogue("  # a call would keep loops from being vectors
    head += f"{value_type(anchor.dtype)} value, size_t batch, int row, int column"
    text = f"{preamble(source.libraries, source.kinds)}{head}, {', '.join(declarations)})\n{{\n{body}}}\n"
    plain = group.outputs == [anchor]
    fetches = "".join(f"__builtin_prefetch(&{each}); " for each in _by_rows(source))
    return Epilogue(text, ", ".join(declarations), ", ".join(names), tuple(arguments), plain, fetches)


def _by_rows(source: Source) -> list[str]:
    """What is read of arrays whose rows lie as those of the result do: neighbours in a row side by side."""
    found = []
    for node, index in source.loads:
        place = flatten(index, node.shape)
        if stride(place, "column") == 1 and stride(place, "row"):
            found.append(source.element(node, index))
    return found
