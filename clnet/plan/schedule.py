"""Schedule: in which order groups run, and which assigned values take their Variable's memory.

A Variable is read at the value that it had on entry. So an update is in place only after the last reader: the weight's
after the gradient that goes through it. Intermediates take the memory of others in the same way.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from clnet.graph import Copy, Held, Leaf, Node, count
from clnet.plan.fusion import Demands, Group, base, operand
from clnet.plan.reductions import walks
from clnet.tensor import Tensor

ROOM = 8  # how many times a copy's bytes it has to make room for


@dataclass
class Schedule:
    """Groups in order; `inplace`: the Variable, or the node that nobody needs any more, whose memory a node takes."""

    groups: list[Group]
    inplace: dict[int, Tensor | Node] = field(default_factory=dict)  # by the node's id


def schedule(
    groups: Sequence[Group],
    order: Sequence[Node],
    assignments: Sequence[tuple[Tensor, Node]],
    forced: set[int],
    returned: Collection[int],
) -> Schedule:
    """An order in which each group runs after those that it reads, and each update after the readers of the old value.

    `order`: the nodes of the graph; `returned`: ids of those that it returns. Where an update cannot wait for a reader,
    its value is copied at the end.
    """
    leaves: dict[int, set[int]] = {}  # the leaves of each Variable, by ids
    for node in order:
        if isinstance(node.op, Held):
            leaves.setdefault(id(node.op.tensor), set()).add(id(node))
    found = Schedule(list(groups))
    rooms = _Rooms(groups, {id(node): node for node in order}, {*returned}, forced)
    for variable, value in assignments:
        _commit(found, variable, base(value), leaves.get(id(variable), set()), rooms)
    held = {*returned, *found.inplace}
    groups = _sorted([group for group in found.groups if any(count(node.shape) for node in group.outputs)])
    found.groups = _early(groups, held)
    found.inplace |= _overwritten(found.groups, held, forced)
    return found


def _overwritten(groups: Sequence[Group], held: set[int], forced: set[int]) -> dict[int, Tensor | Node]:
    """For each node whose group is the last to read another of its size, element by element: that other one."""
    last = {ident: group for group in groups for ident in group.sources}
    made = [node for group in groups for node in group.outputs if id(node) not in held]
    dying: dict[Group, list[Node]] = {}
    for node in made:
        if id(node) in last:
            dying.setdefault(last[id(node)], []).append(node)
    found: dict[int, Tensor | Node] = {}
    for group, olds in dying.items():
        for node in group.outputs:
            same = (old for old in olds if (old.size, old.dtype) == (node.size, node.dtype) and id(node) not in held)
            old = next((old for old in same if _reads_what_it_writes(group, node, {id(old)}, forced)), None)
            if old is not None:
                found[id(node)] = old
                olds.remove(old)
    return found


@dataclass
class _Rooms:
    """Where what a routine reads makes room for the result of another."""

    groups: Sequence[Group]
    nodes: Mapping[int, Node]
    held: set[int]
    forced: set[int]

    def are_made(self, group: Group, reader: Group, least: int) -> bool:
        """Whether `reader` may write over an array of so many bytes that both read, if `group` runs before it."""
        if group.anchor is None or reader.anchor is None or group.runs_after(reader):
            return False
        shared = [self.nodes[ident] for ident in group.sources & reader.sources - self.held]
        return any(
            old.nbytes >= least
            and not isinstance(old.op, Leaf)
            and (old.size, old.dtype) == (new.size, new.dtype)
            and _reads_what_it_writes(reader, new, {id(old)}, self.forced)
            and not any(id(old) in other.sources and other.runs_after(reader) for other in self.groups)
            for old in shared
            for new in reader.outputs
            if id(new) not in self.held
        )


def _commit(found: Schedule, variable: Tensor, value: Node, leaves: set[int], rooms: _Rooms) -> None:
    """Give a value its Variable's memory, directly or by a copy after every reader.

    By a copy also where that is little beside an array that a reader can then write over: the gradient of a hidden
    layer takes the place of its activations, if the gradient of the weights that follow has read them before.
    """
    group = next(group for group in found.groups if id(value) in group.members)
    readers = {other for other in found.groups if other is not group and leaves & other.sources}
    for reader in readers:
        if rooms.are_made(group, reader, ROOM * value.nbytes):
            reader.after.add(group)
    is_last = not any(reader.runs_after(group) for reader in readers)
    if is_last and _reads_what_it_writes(group, value, leaves, rooms.forced):
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


def _reads_what_it_writes(group: Group, value: Node, leaves: set[int], forced: set[int]) -> bool:
    """Whether a kernel reads of what `value` overwrites only the element that the same pass is about to write."""
    if not leaves & group.sources:
        return True
    is_last = group.axes is None or value in walks(group)[-1].outputs
    if group.anchor is not None and any(id(operand(source)) in leaves for source in group.anchor.inputs):
        return False
    demands = Demands(forced)
    for node in group.nodes:
        if node is group.anchor:
            continue
        for leaf, where in demands.of(group, node):
            again = not is_last and count(leaf.shape) == count(group.shape)  # a later pass would read it
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


def _early(order: Sequence[Group], held: set[int]) -> list[Group]:
    """The order, but what lets go of as many bytes as it takes runs as soon as it can, what frees most first.

    So an update follows the last reader of the weights. For what another waits for, counts what that then frees: to
    decay the moments of two biases takes a little, and lets their sums let go of what they read. `held`: ids of the
    nodes that take no memory of the plan's, or keep it to the end.
    """
    sizes = {id(node): node.nbytes for group in order for node in group.outputs if id(node) not in held}
    takes = {group: sum(sizes.get(id(node), 0) for node in group.outputs) for group in order}
    reads = {group: [ident for ident in group.sources if ident in sizes] for group in order}
    readers = Counter(ident for group in order for ident in reads[group])
    waits = {group: len(group.after & takes.keys()) for group in order}
    users: dict[Group, list[Group]] = {}
    for group in order:
        for other in group.after:
            users.setdefault(other, []).append(group)
    place = {group: number for number, group in enumerate(order)}
    ready = [group for group in order if not waits[group]]
    found: list[Group] = []

    def frees(group: Group) -> int:
        return sum(sizes[ident] for ident in reads[group] if readers[ident] == 1) - takes[group]

    def gains(group: Group) -> int:
        then = [frees(user) for user in users.get(group, ()) if waits[user] == 1]
        return frees(group) + max(0, 0, *then)

    while ready:
        group = next((best for value in (frees, gains) if value(best := max(ready, key=value)) >= 0), ready[0])
        ready.remove(group)
        found.append(group)
        readers.subtract(reads[group])
        for user in users.get(group, ()):
            waits[user] -= 1
            if not waits[user]:
                insort(ready, user, key=place.__getitem__)
    return found
