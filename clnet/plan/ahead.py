"""Ahead: the rows of the data that the next run takes are fetched while this one computes.

A step of training takes its samples from all over the data, and waits for memory that is idle for the rest of the step:
ten rows of 784 from 62 MB take 4 us of 19, from the second cache 1.3. Once the position in the data has moved on, the
map that takes the rows would take those of the next run. So a product that runs after that fetches them, a few lines
before each of its tiles: as many as a core can wait for at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clnet.graph import Node, Routine, count
from clnet.index import Index, Var, flatten, is_split, stride, unflatten
from clnet.plan.fusion import Group
from clnet.plan.source import Places, Source

FAR = 16 << 20  # bytes of an array that no cache is expected to hold
START = "(0)"  # the variable that walks along a row, where it begins: in C, and unlike index.ZERO


def find(groups: Sequence[Group], places: Places, work: Callable[[Group], float]) -> dict[Group, Group]:
    """{product: map}: the product with the most `work` of those that run when the next rows of the map are known.

    The map is the one that reads the most of far memory. Nothing where there is none, or no product after it.
    """
    known = [(group, after) for group in groups if (after := _known_after(group, groups, places)) is not None]
    if not known:
        return {}
    rows, after = max(known, key=lambda each: count(each[0].shape))
    later = [group for group in groups[after + 1 :] if group.anchor is not None and _fetches(group.anchor)]
    return {max(later, key=work): rows} if later else {}


def begin_row(source: Source, group: Group) -> None:
    """Write what a map does for the first element of its row `row`: along its first axis."""
    full = (Var("row", group.shape[0]), *unflatten(Var(START, count(group.shape[1:])), group.shape[1:]))
    for node in group.outputs:
        index = group.place(node, full, ())
        assert index is not None
        source.value(node, index)


def is_far(node: Node, index: Index) -> bool:
    """Whether an element that is read for the first one of a row begins a row of an array in far memory."""
    place = flatten(index, node.shape)
    return node.nbytes >= FAR and stride(place, START) == 1 and not is_split(place)


def _fetches(anchor: Node) -> bool:
    return isinstance(anchor.op, Routine) and anchor.op.fetches


def _known_after(group: Group, groups: Sequence[Group], places: Places) -> int | None:
    """The number of the group after which this map would read the next run's rows; None for what reads no such rows.

    All that it reads are then inputs and Variables, some of which move on in each run.
    """
    if group.axes is not None or group.anchor is not None or not group.shape:
        return None
    source = Source(group, places)
    begin_row(source, group)
    read = set(source.buffers)
    if any(isinstance(slot, tuple) and slot[0] != "input" for slot in read):
        return None
    if not any(is_far(node, index) for node, index in source.loads):
        return None
    moved = [
        number for number, other in enumerate(groups) if any(places.storage(node) in read for node in other.outputs)
    ]
    return max(moved, default=None)
