"""Schedule: in which order groups run, and which assigned values take their Variable's memory.

A Variable is read at the value that it had on entry. So an update is in place only after the last reader: the weight's
after the gradient that goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clnet.graph import Copy, Held, Node, count
from clnet.plan.fusion import Demands, Group, base
from clnet.tensor import Tensor


@dataclass
class Schedule:
    """Groups in order; `inplace`: the Variable whose memory a node takes, by the node's id."""

    groups: list[Group]
    inplace: dict[int, Tensor] = field(default_factory=dict)


def schedule(
    groups: Sequence[Group], order: Sequence[Node], assignments: Sequence[tuple[Tensor, Node]], forced: set[int]
) -> Schedule:
    """An order in which each group runs after those that it reads, and each update after the readers of the old value.

    `order`: the nodes of the graph. Where an update cannot wait for a reader, its value is copied at the end.
    """
    leaves: dict[int, set[int]] = {}  # the leaves of each Variable, by ids
    for node in order:
        if isinstance(node.op, Held):
            leaves.setdefault(id(node.op.tensor), set()).add(id(node))
    found = Schedule(list(groups))
    for variable, value in assignments:
        _commit(found, variable, base(value), leaves.get(id(variable), set()), forced)
    found.groups = _sorted([group for group in found.groups if any(count(node.shape) for node in group.outputs)])
    return found


def _commit(found: Schedule, variable: Tensor, value: Node, leaves: set[int], forced: set[int]) -> None:
    """Give a value its Variable's memory, directly or by a copy after every reader."""
    group = next(group for group in found.groups if id(value) in group.members)
    readers = {other for other in found.groups if other is not group and leaves & other.sources}
    if not any(reader.runs_after(group) for reader in readers) and _reads_what_it_writes(group, leaves, forced):
        group.after |= readers
        found.inplace[id(value)] = variable
        return
    copy = Node(Copy(), (value,), value.spec, value.device)
    late = Group(copy.shape, sources={id(value)}, after={group, *readers}, outputs=[copy])
    late.add(copy)
    if value not in group.outputs:
        group.outputs.append(value)
    found.groups.append(late)
    found.inplace[id(copy)] = variable


def _reads_what_it_writes(group: Group, leaves: set[int], forced: set[int]) -> bool:
    """Whether a kernel reads of a Variable only the element that the same pass is about to write."""
    if not leaves & group.sources:
        return True
    if group.anchor is not None and any(id(base(source)) in leaves for source in group.anchor.inputs):
        return False
    demands = Demands(forced)
    for node in group.nodes:
        if node is group.anchor:
            continue
        for leaf, where in demands.of(group, node):
            again = group.axes is not None and count(leaf.shape) == count(group.shape)  # a later pass would read it
            if id(leaf) in leaves and (again or where != group.at(leaf)):
                return False
    return True


def _sorted(groups: Sequence[Group]) -> list[Group]:
    """The groups, each after those that it waits for, and otherwise as they came."""
    place = {group: number for number, group in enumerate(groups)}
    order: list[Group] = []
    done: set[Group] = set()
    for start in groups:
        stack = [start]
        while stack:
            waiting = [other for other in stack[-1].after if other in place and other not in done]
            if waiting:
                stack.append(min(waiting, key=place.__getitem__))
                continue
            group = stack.pop()
            if group not in done:
                done.add(group)
                order.append(group)
    return order
