"""Summary: a network as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clnet.nn.layer import Layer
from clnet.variable import Variable

Row = tuple[str, str, str, str]


def table(net: Layer) -> str:
    """A line for each layer that has variables or no layers below it: path, name, output shape, parameters, bytes.

    Parameters are the elements of trainable variables; bytes count all variables.
    """
    members = list(net.walk())
    layers = [(path, layer) for path, layer, _ in members if isinstance(layer, Layer) and _is_shown(layer)]
    rows: list[Row] = [("layer", "output shape", "parameters", "bytes")]
    for path, layer in layers:
        own = [member for _, member in layer.members() if isinstance(member, Variable)]
        rows.append((f"{path} {layer!r}".strip(), _shape(layer.output_shape), *_sizes(own)))
    rows.append(("total", "", *_sizes(each for _, each, _ in members if isinstance(each, Variable))))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _is_shown(layer: Layer) -> bool:
    below = [member for _, member in layer.members()]
    return not below or any(isinstance(member, Variable) for member in below)


def _shape(shape: Any) -> str:
    """(batch, 10) for the shape of any batch."""
    if isinstance(shape, tuple) and shape and all(isinstance(extent, int) for extent in shape):
        return f"({', '.join(['batch', *map(str, shape[1:])])})"
    if isinstance(shape, dict):
        return ", ".join(f"{name} {_shape(each)}" for name, each in shape.items())
    if isinstance(shape, (tuple, list)):
        return ", ".join(_shape(each) for each in shape)
    return "not built"


def _sizes(variables: Iterable[Variable]) -> tuple[str, str]:
    known = list(variables)
    parameters = sum(variable.size for variable in known if variable.trainable)
    return f"{parameters:,}", f"{sum(variable.nbytes for variable in known):,}"
