"""Attention: other keys and its own, causal and masked."""

from __future__ import annotations

from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import Array, Case, Shapes, captured, softmax


def rows() -> list[Case]:
    cross: list[Shapes] = [((2, 3, 2, 5), (2, 7, 2, 5), (2, 7, 2, 5)), ((1, 1, 1, 1),) * 3]
    long: list[Shapes] = [((2, 40, 3, 17), (2, 90, 3, 17), (2, 90, 3, 17)), ((0, 3, 2, 4),) * 3]
    own: list[Shapes] = [((2, 5, 3, 2, 4),), ((2, 70, 3, 2, 33),)]
    return [
        Case("attention", ops.attention, _reference, [*cross, *long], length=_length),
        Case(
            "attention_causal_masked",
            lambda q, k, v: ops.attention(q, k, v, causal=True, mask=captured(q, _seen(q, k)), scale=0.5),
            lambda q, k, v: _reference(q, k, v, seen=_causal(q, k) & _seen(q, k)[:, None], scale=0.5),
            [cross[0], long[0]],
            length=_length,
        ),
        Case(
            "self_attention",
            lambda x: ops.self_attention(x, causal=True),
            lambda x: _reference(*np.moveaxis(x, 2, 0), seen=_causal(x, x)),
            own,
            length=_length,
        ),
        Case(
            "self_attention_masked",
            lambda x: ops.self_attention(x, mask=captured(x, _pairs(x))),
            lambda x: _reference(*np.moveaxis(x, 2, 0), seen=_pairs(x)),
            own,
            length=_length,
        ),
    ]


def _length(*shapes: tuple[int, ...]) -> int:
    return 4 * shapes[-1][1] * shapes[0][-1]


def _reference(q: Array, k: Array, v: Array, *, seen: Any = True, scale: float | None = None) -> Array:
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    seen = np.broadcast_to(seen, (len(q), q.shape[1], k.shape[1]))[:, None]
    weights = softmax(np.where(seen, scores, -1e30)) * seen
    result: Array = np.einsum("bhqk,bkhd->bqhd", weights, v)
    return result


def _causal(q: Array, k: Array) -> Array:
    return np.tri(q.shape[1], k.shape[1], k.shape[1] - q.shape[1], dtype=bool)


def _seen(q: Array, k: Array) -> Array:
    """(batch, keys): the first row lacks its last key, the second its first."""
    seen = np.ones((q.shape[0], k.shape[1]), bool)
    seen[0, -1], seen[-1, 0] = False, q.shape[0] == 1
    return seen


def _pairs(x: Array) -> Array:
    """(batch, queries, keys): a pattern, and a query that sees nothing."""
    steps = x.shape[1]
    seen = (np.arange(steps)[:, None] + np.arange(steps)) % 3 != 0
    seen[1] = False
    return np.broadcast_to(seen, (x.shape[0], steps, steps)).copy()
