"""Stacking: a function of one network, traced once, becomes the same function of many networks at once.

Where a function reads a Variable that holds values of several networks (`Variable.stack`), every op on the way from
there to a result or an assignment is made for all of them, by its rule `Op.stacked`: a new first axis, one place a
network. What no network has of its own, such as the data, is computed once. A Variable that is assigned values of each
network holds them from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from clnet.errors import ArgumentError
from clnet.graph import Held, Leaf, Node, topological
from clnet.tensor import Tensor
from clnet.trace import Trace, tracing, widened
from clnet.variable import Variable


def stacked(going_on: Trace, outputs: Sequence[Node]) -> tuple[Trace, list[Node]]:
    """The trace and its outputs for all networks: results that differ have them as their first axis."""
    assigned = list(going_on.assignments.values())
    order = topological([*outputs, *(value for _, value in assigned)])
    counts = {node.op.networks for node in order} - {0}
    if not counts:
        return going_on, list(outputs)
    if len(counts) > 1:
        raise ArgumentError(f"compile: Variables of {' and of '.join(map(str, sorted(counts)))} networks meet")
    (networks,) = counts
    many = _differing(order, assigned, networks)
    made: dict[int, Node] = {}
    with tracing(going_on.device) as wide:
        for node in order:
            made[id(node)] = _made(wide, node, made, many, networks)
        for variable, value in assigned:
            assert isinstance(variable, Variable)
            new, is_shared = made[id(value)], id(value) not in many and variable.memory is not variable
            wide.assign(variable.memory, widened(new, networks) if is_shared else new)
    return wide, [made[id(node)] for node in outputs]


def _differing(order: Sequence[Node], assigned: Sequence[tuple[Tensor, Node]], networks: int) -> set[int]:
    """Ids of the nodes that have a value for each network; Variables that they are assigned to are stacked."""
    while True:
        many: set[int] = set()
        for node in order:
            if node.op.networks or any(id(source) in many for source in node.inputs):
                many.add(id(node))
        written = [variable for variable, value in assigned if id(value) in many and isinstance(variable, Variable)]
        grown = [variable for variable in written if variable.memory is variable]
        if not grown:
            return many
        for variable in grown:
            variable.stack(networks)


def _made(wide: Trace, node: Node, made: dict[int, Node], many: set[int], networks: int) -> Node:
    """The node in the trace of all networks."""
    if isinstance(node.op, Held) and isinstance(node.op.tensor, Variable):
        return wide.lift(node.op.tensor.memory)
    inputs = [made[id(source)] for source in node.inputs]
    if isinstance(node.op, Leaf) or id(node) not in many:
        return wide.node(node.op, *inputs)
    op, sources = node.op.stacked(inputs, [id(source) in many for source in node.inputs], networks)
    return wide.node(op, *sources)
