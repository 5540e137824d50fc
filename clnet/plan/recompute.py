"""Recomputing: arrays that the backward pass would read beside the one that they are made of are made of it again.

The forward pass of GELU leaves its result, an operand of the weights' gradient, and its slope; that of a normalization
its argument and its result. Of one array of them the rest is made where it is read, with the same bits: inside the
kernels that work on elements, and just before a routine that wants an operand in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clnet.graph import Again, Inline, Leaf, Node, Pointwise, Routine, View
from clnet.plan.fusion import is_inline, operand
from clnet.plan.inlining import arrays_of, users_of

LEAST = 1 << 18  # bytes to save: fewer are not worth the time
WORTH = 16  # multiply-adds of a routine for each element that is made again for it


def recompute(order: Sequence[Node], forced: set[int]) -> None:
    """Change the inputs of a finished trace's late readers where that saves memory."""
    users = users_of(order)
    before = _ancestors(order)
    for root, family in _families(order):
        reads: dict[int, list[tuple[Node, Node]]] = {}  # by the array that lies in memory for them
        for reader, source in _late(family, users, before):
            for array in _arrays(source, family, forced):
                reads.setdefault(id(array), []).append((reader, source))
        kept = reads.pop(id(root), None)
        again = {ident: last for ident, each in reads.items() if _are_worth_it(last := _last(each, before), users)}
        saved = sum(family[ident].nbytes for ident in again) - (root.nbytes if kept is None else 0)
        if saved >= LEAST:
            made = _Again(root, family)
            for reader, source in dict.fromkeys(read for each in again.values() for read in each):
                new = (made.operand if isinstance(reader.op, Routine) else made.element)(source)
                reader.inputs = tuple(new if each is source else each for each in reader.inputs)


def _ancestors(order: Sequence[Node]) -> dict[int, int]:
    """For each node what it depends on and itself, a bit for each place in the order."""
    found: dict[int, int] = {}
    for place, node in enumerate(order):
        found[id(node)] = 1 << place
        for source in node.inputs:
            found[id(node)] |= found[id(source)]
    return found


def _own(before: dict[int, int], node: Node) -> int:
    """The bit of a node."""
    return 1 << (before[id(node)].bit_length() - 1)


def _families(order: Sequence[Node]) -> Iterator[tuple[Node, dict[int, Node]]]:
    """(an array, what is made of it alone, each element of few, by ids and with the array itself)."""
    made_of: dict[int, list[Node]] = {}
    families: dict[int, dict[int, Node]] = {}
    for node in order:
        _, arrays = arrays_of(node, made_of)
        is_made = isinstance(node.op, Pointwise) and (len(arrays) == 1 or node.op.inline)
        made_of[id(node)] = arrays if is_made else [node]
        if len(made_of[id(node)]) == 1:
            (root,) = made_of[id(node)]
            families.setdefault(id(root), {id(root): root})[id(node)] = node
    for family in families.values():
        root = next(iter(family.values()))
        if not isinstance(root.op, Leaf):
            yield root, family


def _late(family: dict[int, Node], users: dict[int, list[Node]], before: dict[int, int]) -> Iterator[tuple[Node, Node]]:
    """(reader, what it reads of the family) for those that wait for the first routines that read of it."""
    routines = [user for ident in family for user in users.get(ident, ()) if isinstance(user.op, Routine)]
    places = {_own(before, node): node for node in routines}
    every = sum(places)
    first = sum(place for place, node in places.items() if before[id(node)] & every == place)

    def is_late(node: Node) -> bool:
        return bool(before[id(node)] & first & ~_own(before, node))

    for ident, source in family.items():
        if not is_late(source):
            yield from ((reader, source) for reader in users.get(ident, ()) if is_late(reader))


def _last(reads: Sequence[tuple[Node, Node]], before: dict[int, int]) -> list[tuple[Node, Node]]:
    """Those that no other waits for: they are why an array is kept so long."""
    waited_for = [before[id(reader)] & ~_own(before, reader) for reader, _ in reads]
    return [read for read in reads if not any(_own(before, read[0]) & each for each in waited_for)]


def _arrays(source: Node, family: dict[int, Node], forced: set[int]) -> list[Node]:
    """The arrays of the family that lie in memory for a reader of `source`."""
    if isinstance(source.op, View) or is_inline(source, forced):
        return [array for each in source.inputs if id(each) in family for array in _arrays(each, family, forced)]
    return [source]


def _are_worth_it(reads: Sequence[tuple[Node, Node]], users: dict[int, list[Node]]) -> bool:
    """Whether those that are routines work long enough, and no others compute what has been computed before."""
    return all(
        reader.op.multiply_adds(reader) >= WORTH * source.size
        if isinstance(reader.op, Routine)
        else all((user, source) in reads for user in users[id(source)])
        for reader, source in reads
    )


@dataclass
class _Again:
    """Makes nodes that make those of a family again, from its root; each once."""

    root: Node
    family: dict[int, Node]
    made: dict[int, Node] = field(default_factory=dict)

    def operand(self, node: Node) -> Node:
        """For a routine: it makes the array for itself."""
        if operand(node) is self.root:
            return node
        if isinstance(node.op, View):
            return _like(node, node.op, (self.operand(node.inputs[0]),))
        assert isinstance(node.op, Pointwise)
        return _like(node, Again(node.op), tuple(map(self.element, node.inputs)))

    def element(self, node: Node) -> Node:
        """For what works on elements."""
        if node is self.root or id(node) not in self.family:
            return node
        if id(node) not in self.made:
            assert isinstance(node.op, Pointwise)
            op = node.op if node.op.inline else Inline(node.op)
            self.made[id(node)] = _like(node, op, tuple(map(self.element, node.inputs)))
        return self.made[id(node)]


def _like(node: Node, op: Pointwise, inputs: tuple[Node, ...]) -> Node:
    return Node(op, inputs, node.spec, node.device)
