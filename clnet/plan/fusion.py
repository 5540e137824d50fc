"""Fusion: which nodes share a kernel.

A group is one kernel: a map (each element on its own), a reduction with what feeds it and what is made of it, or a
routine with its epilogue. A node joins the group of one of its inputs where it needs exactly the element that
the group has at hand; else it starts a group. Joining changes no bit, because a kernel holds one statement an op.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clnet.graph import Again, Leaf, Node, Pointwise, Reduction, Routine, View, count
from clnet.index import Index, Var, reshape

# A reduction takes in neighbours only where it still leaves work for every core, or there is little to share.
SMALL, LANES = 1 << 14, 16
LITTLE = 1 << 10  # elements that take less time than their launch


@dataclass(eq=False)
class Group:
    """One kernel to be: `shape` is what it loops over, `axes` what it reduces, `anchor` its routine."""

    shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)
    axes: tuple[int, ...] | None = None
    parts: int = 1
    anchor: Node | None = None
    sources: set[int] = field(default_factory=set)  # ids of the nodes read from memory
    after: set[Group] = field(default_factory=set)  # groups that have to run before it
    outputs: list[Node] = field(default_factory=list)  # the nodes that it writes
    members: set[int] = field(default_factory=set)  # ids of `nodes`
    operands: list[Group] = field(default_factory=list)  # maps that make some for its routine, just before it runs

    def add(self, node: Node) -> None:
        """Take in a node."""
        self.nodes.append(node)
        self.members.add(id(node))

    def reduces(self, node: Node) -> bool:
        """Whether a node is the result of a reduction of this group."""
        return isinstance(node.op, Reduction) and id(node) in self.members

    @property
    def kept(self) -> tuple[int, ...]:
        """Axes that are not reduced."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in (self.axes or ()))

    @property
    def kept_shape(self) -> tuple[int, ...]:
        """Shape of the reduced nodes, with the axis of runs first where there are several."""
        shape = tuple(self.shape[axis] for axis in self.kept)
        return (self.parts, *shape) if self.parts > 1 else shape

    @property
    def by_column(self) -> bool:
        """Whether neighbouring results are reduced side by side: where the last axis is kept."""
        return self.axes is not None and (len(self.shape) - 1) not in self.axes

    def place(self, node: Node, full: Index, kept: Index) -> Index | None:
        """The index of the element of `node` that belongs to the pass at `full`, or to its result at `kept`."""
        if count(node.shape) == count(self.shape) and not self.reduces(node):
            return reshape(full, self.shape, node.shape)
        if self.axes is not None and count(node.shape) == count(self.kept_shape):
            return reshape(kept, self.kept_shape, node.shape)
        return None

    def at(self, node: Node) -> Index | None:
        """`place` at variables named for the axes: equal indices are the same element."""
        full = tuple(Var(f"i{axis}", extent) for axis, extent in enumerate(self.shape))
        kept = tuple(full[axis] for axis in self.kept)
        return self.place(node, full, (Var("part", self.parts), *kept) if self.parts > 1 else kept)

    @property
    def takes(self) -> bool:
        """Whether nodes can join it: not if its routine writes the result itself."""
        return self.anchor is None or (isinstance(self.anchor.op, Routine) and self.anchor.op.fuses)

    def leaves_work(self) -> bool:
        """Whether a kernel that loops over `shape` and reduces `axes` can use several cores, or need not."""
        kept = count(self.kept_shape) // (LANES if self.by_column else 1)
        return kept >= 8 or count(self.shape) <= SMALL

    def runs_after(self, other: Group) -> bool:
        """Whether it needs, at any distance, what `other` writes."""
        stack, seen = [self], {self}
        while stack:
            for before in stack.pop().after:
                if before is other:
                    return True
                if before not in seen:
                    seen.add(before)
                    stack.append(before)
        return False


class Demands:
    """The elements that a pointwise node reads, seen through the nodes that are computed where they are used."""

    def __init__(self, forced: set[int]) -> None:
        self.forced = forced
        self.found: list[tuple[Node, Index]] = []

    def of(self, group: Group, node: Node) -> list[tuple[Node, Index]]:
        """(node, index) pairs of what a pass of the group reads to compute its element of `node`."""
        self.found = []
        fed = node.inputs[0] if isinstance(node.op, Reduction) else node
        index = group.at(fed)
        if index is not None and fed is node and isinstance(node.op, Pointwise):
            node.op.emit(node, index, self)
        elif index is not None:
            self.value(fed, index)
        return self.found

    def value(self, node: Node, index: Index) -> str:
        """Follow inline nodes, note all others."""
        if is_inline(node, self.forced):
            assert isinstance(node.op, Pointwise)
            return node.op.emit(node, index, self)
        if (node, index) not in self.found:
            self.found.append((node, index))
        return f"x{id(node)}"

    def code(self, index: Index, shape: tuple[int, ...]) -> str:
        """Unused: a demand has no text."""
        return "0"

    def scalar(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Unused: a demand has no text."""
        return "0"

    def define(self, library: str) -> None:
        """Unused: a demand has no text."""


def is_inline(node: Node, forced: set[int]) -> bool:
    """Whether a node is computed where it is used instead of being stored."""
    return isinstance(node.op, Pointwise) and node.op.inline and id(node) not in forced


def base(node: Node) -> Node:
    """The node whose memory a view shares."""
    while isinstance(node.op, View):
        node = node.inputs[0]
    return node


def operand(node: Node) -> Node:
    """The node from whose first byte on the elements of a routine's operand lie."""
    found = node
    while isinstance(found.op, View) or (isinstance(found.op, Pointwise) and found.op.leads(found)):
        found = found.inputs[0]
    return found if isinstance(found.op, Leaf | Routine) else base(node)


def stored_nodes(order: Sequence[Node], wanted: Sequence[Node]) -> set[int]:
    """Ids of the nodes that must lie in memory: those `wanted`, and the operands of routines but for their own."""
    operands = [operand(source) for node in order if isinstance(node.op, Routine) for source in node.inputs]
    return {id(base(node)) for node in wanted} | {id(node) for node in operands if not isinstance(node.op, Again)}


def fuse(order: Sequence[Node], forced: set[int]) -> list[Group]:
    """The groups that compute the `forced` nodes. `order`: every node needed, inputs before users."""
    home: dict[int, Group] = {}
    groups: list[Group] = []
    demands = Demands(forced)
    for node in order:
        if isinstance(node.op, Leaf | View) or is_inline(node, forced):
            continue
        group = _place(node, groups, home, demands)
        if group not in groups:
            groups.append(group)
        group.add(node)
        home[id(node)] = group
        for source in _reads(node, demands):
            group.sources.add(id(source))
            before = home.get(id(source))
            if before is not None and before is not group:
                group.after.add(before)
    groups = _sink(groups, demands)
    _find_outputs(order, forced, groups)
    return groups


def _sink(groups: list[Group], demands: Demands) -> list[Group]:
    """Let maps become part of other groups.

    One that serves a single group, of that: a momentum, of the product that awaits it. Scalars, of a sum to a scalar.
    """
    kept = list(groups)
    for group in groups:
        if group.axes is not None or group.anchor is not None:
            continue
        users = [other for other in kept if other is not group and group.members & other.sources]
        if len(users) == 1 and _takes_in(users[0], group, demands):
            _merge(kept, group, users[0])
        elif count(group.shape) == 1:
            sums = [other for other in kept if other.axes is not None and count(other.kept_shape) == 1]
            apart = [other for other in sums if not other.runs_after(group) and not group.runs_after(other)]
            if apart:
                _merge(kept, group, apart[-1])
    return kept


def _merge(groups: list[Group], group: Group, into: Group) -> None:
    """Move all nodes of a group to another."""
    into.nodes[:0] = group.nodes
    into.members |= group.members
    into.sources |= group.sources
    into.after = (into.after | group.after) - {group}
    groups.remove(group)
    for other in groups:
        if group in other.after:
            other.after = (other.after - {group}) | {into}


def _takes_in(user: Group, group: Group, demands: Demands) -> bool:
    """Whether every element of `group` that `user` computes with is one that it has at hand."""
    operands = {id(operand(source)) for source in user.anchor.inputs} if user.anchor is not None else set()
    if (
        not user.takes
        or operands & group.members
        or not user.leaves_work()
        or any(user.at(node) is None for node in group.nodes)
    ):
        return False
    return all(
        where == user.at(source)
        for node in [*group.nodes, *user.nodes]
        if node is not user.anchor
        for source, where in demands.of(user, node)
        if id(source) in group.members
    )


def _reads(node: Node, demands: Demands) -> list[Node]:
    """The stored nodes that a node reads, wherever they lie."""
    if isinstance(node.op, Routine):
        operands = map(operand, node.inputs)
        read = [_reads(each, demands) if isinstance(each.op, Again) else [each] for each in operands]
        return list(dict.fromkeys(source for sources in read for source in sources))
    fed = node.inputs[0] if isinstance(node.op, Reduction) else node
    return list(dict.fromkeys(source for source, _ in demands.of(Group(fed.shape), node)))


def _place(node: Node, groups: list[Group], home: dict[int, Group], demands: Demands) -> Group:
    """The group that a node joins, or a new one."""
    op = node.op
    if isinstance(op, Routine):
        own = dict.fromkeys(map(operand, node.inputs))
        return Group(node.shape, anchor=node, operands=[_maker(each) for each in own if isinstance(each.op, Again)])
    sources = _reads(node, demands)
    near = _candidates(sources, groups, home)
    if isinstance(op, Reduction):
        shape = node.inputs[0].shape
        beside = [group for group in groups if group.axes is not None and _is_beside(group, sources)]
        for group in [*near, *beside]:
            if _can_reduce(group, node) and _fits(group, node, home, demands):
                group.axes, group.parts = op.axes, op.parts
                return group
        return Group(shape, axes=op.axes, parts=op.parts)
    for group in near:
        if _fits(group, node, home, demands):
            return group
    if count(node.shape) > LITTLE or any(id(source) in home for source in sources):
        for group in groups:
            is_map = group.axes is None and group.anchor is None
            if (
                is_map
                and group.shape == node.shape
                and _is_beside(group, sources)
                and _fits(group, node, home, demands)
            ):
                return group
    return Group(node.shape)  # a little of what is only read, the decay of a bias's moment, may sink into its sum


def _maker(node: Node) -> Group:
    """The map that makes an operand."""
    group = Group(node.shape, outputs=[node])
    group.add(node)
    return group


def _is_beside(group: Group, sources: Sequence[Node]) -> bool:
    """Whether a group should take in a node that reads `sources`: the same memory, or so little that it is a launch.

    A number that both read is not: maps that have one in common may still sink into the products that await them.
    """
    return count(group.shape) <= LITTLE or any(id(source) in group.sources for source in sources if source.shape)


def _candidates(sources: Sequence[Node], groups: list[Group], home: dict[int, Group]) -> list[Group]:
    """Groups that compute an input, the latest first; but maps last, because they can still sink into the others."""
    near = {id(home[id(source)]) for source in sources if id(source) in home}
    found = [group for group in reversed(groups) if id(group) in near]
    return sorted(found, key=lambda group: group.axes is None and group.anchor is None)


def _can_reduce(group: Group, node: Node) -> bool:
    """Whether a group can reduce what it computes as this reduction asks."""
    op = node.op
    assert isinstance(op, Reduction)
    if group.anchor is not None or group.shape != node.inputs[0].shape:
        return False
    if group.axes is not None:
        return (group.axes, group.parts) == (op.axes, op.parts) and group.leaves_work()
    return Group(group.shape, axes=op.axes, parts=op.parts).leaves_work()


def _fits(group: Group, node: Node, home: dict[int, Group], demands: Demands) -> bool:
    """Whether `group` has at hand each element of its own that `node` needs, and what else it needs comes earlier."""
    fed = node.inputs[0] if isinstance(node.op, Reduction) else node
    if (
        not group.takes
        or group.at(fed) is None
        or (group.axes and count(fed.shape) == count(group.shape) and not group.leaves_work())
    ):
        return False
    found = demands.of(group, node)
    if any(group.at(source) != where for source, where in found if home.get(id(source)) is group):
        return False
    others = {home[id(source)] for source, _ in found if id(source) in home} - {group}
    return not any(other.runs_after(group) for other in others)


def _find_outputs(order: Sequence[Node], forced: set[int], groups: list[Group]) -> None:
    """Note which nodes of each group are read by others, or have to be in memory."""
    for group in groups:
        read = {source for other in groups if other is not group for source in other.sources & group.members}
        group.outputs = [node for node in order if id(node) in group.members & (read | forced)]
