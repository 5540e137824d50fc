"""Epilogues: what a matrix product does with each element when it is finished."""

from __future__ import annotations

from clnet import gemm
from clnet.graph import count
from clnet.index import Var, unflatten
from clnet.plan.fusion import Group
from clnet.plan.source import Places, Source, preamble
from clnet.tensor import C_TYPES


def lower(group: Group, places: Places) -> gemm.Epilogue:
    """The function that takes an element of the group's product to wherever the group's outputs go."""
    anchor = group.anchor
    assert anchor is not None
    source = Source(group, places)
    *batches, m, n = group.shape
    index = (*unflatten(Var("(int)batch", count(batches)), batches), Var("row", m), Var("column", n))
    where = group.place(anchor, index, ())
    assert where is not None
    source.scopes[0][id(anchor), where] = "value"
    source.store(group.outputs, index, ())
    declarations, names, arguments = source.parameters()
    body = "".join(f"    {line}\n" for line in source.lines)
    head = f"static inline void epilogue({C_TYPES[anchor.dtype]} value, size_t batch, int row, int column"
    text = f"{preamble(source.libraries, source.double)}{head}, {', '.join(declarations)})\n{{\n{body}}}\n"
    plain = group.outputs == [anchor]
    return gemm.Epilogue(text, ", ".join(declarations), ", ".join(names), tuple(arguments), plain)
