"""Runs: a reduction that would leave most of the device idle is cut, and the results of its parts are reduced again.

How is a function of the shape and of the kind of kernels alone, because it decides the order of summation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from clnet.graph import Node, Reduction, count

LANES = 16  # results that a core reduces side by side


def cut(order: Iterable[Node], gpu: bool) -> None:
    """Change every long reduction of a finished trace into two."""
    for node in order:
        op = node.op
        if not isinstance(op, Reduction) or not op.divisible:
            continue
        parts = _parts(node.inputs[0].shape, op, gpu)
        if parts > 1:
            some = replace(op, parts=parts)
            partial = Node(some, node.inputs, some.infer(*(source.spec for source in node.inputs)), node.device)
            node.op, node.inputs = replace(op, axes=(0,)), (partial,)


def _parts(shape: tuple[int, ...], op: Reduction, gpu: bool) -> int:
    """As many as keep the device busy, each long enough to be worth a launch."""
    reduced = count([shape[axis] for axis in op.axes])
    results = count([shape[axis] for axis in op.kept(shape)])
    side_by_side = LANES if (len(shape) - 1) not in op.axes else 1
    longest, wanted = (2048, 512) if gpu else (16384, 16)
    return min(side_by_side * reduced // longest, side_by_side * wanted // max(1, results))
