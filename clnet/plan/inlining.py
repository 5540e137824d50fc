"""Inlining: an element that one reduction alone reads is computed there, from what its own inputs hold.

Else the product of a gradient and an activation would be stored by the epilogue that knows the gradient, and read back
by the sum: a step of three products of 65,536 rows of 32 and two batch normalizations took 31.5 ms, so it takes 22.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from clnet.graph import Inline, Node, Pointwise, Reduction, count
from clnet.plan.fusion import Group


def inline(order: Sequence[Node], forced: set[int]) -> None:
    """Change the pointwise ops of a finished trace that only a reduction reads, and those that only these read."""
    users: dict[int, list[Node]] = {}
    for node in order:
        for source in node.inputs:
            users.setdefault(id(source), []).append(node)
    inside: set[int] = set()
    for node in reversed(order):
        if isinstance(node.op, Reduction):
            if Group(node.inputs[0].shape, axes=node.op.axes, parts=node.op.parts).leaves_work():
                inside.add(id(node))
        elif isinstance(node.op, Pointwise) and id(node) not in forced:
            (first, *others) = users.get(id(node), [node])
            is_once = isinstance(first.op, Reduction) or count(first.shape) == count(node.shape) or _reads_once(first)
            if not others and is_once and id(first) in inside:
                inside.add(id(node))
                if not node.op.inline:
                    node.op = Inline(node.op)


def _reads_once(node: Node) -> bool:
    return isinstance(node.op, Pointwise) and node.op.reads_once
