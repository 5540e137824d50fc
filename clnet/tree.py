"""Nests of tuples, lists and dicts: their leaves in a fixed order, and a hashable picture of the rest."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any


def flatten(nest: Any, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], Hashable]:
    """(leaves, structure): dicts by key order of insertion, everything that is no leaf and no nest as it is."""
    leaves: list[Any] = []
    return leaves, _structure(nest, is_leaf, leaves)


def _structure(nest: Any, is_leaf: Callable[[Any], bool], leaves: list[Any]) -> Hashable:
    if is_leaf(nest):
        leaves.append(nest)
        return LEAF
    if isinstance(nest, dict):
        return (type(nest), tuple((key, _structure(value, is_leaf, leaves)) for key, value in nest.items()))
    if isinstance(nest, (tuple, list)):
        return (type(nest), tuple(_structure(value, is_leaf, leaves) for value in nest))
    if isinstance(nest, slice):  # hashable from Python 3.12 on
        return (slice, (nest.start, nest.stop, nest.step))
    return (type(nest), nest)


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    """The nest again, with other leaves."""
    if structure is LEAF:
        return next(leaves)
    kind, inside = structure
    if issubclass(kind, dict):
        return {key: unflatten(value, leaves) for key, value in inside}
    if issubclass(kind, (tuple, list)):
        values = [unflatten(value, leaves) for value in inside]
        return kind(*values) if hasattr(kind, "_fields") else kind(values)
    return slice(*inside) if kind is slice else inside


class _Leaf:
    """Where a leaf was."""

    def __repr__(self) -> str:
        return "*"


LEAF = _Leaf()
