"""The matrix product: every transpose, batches, epilogues."""

from __future__ import annotations

from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import Case, Shapes, sigmoid


def rows() -> list[Case]:
    plain: list[Shapes] = [((3, 5), (5, 4)), ((1, 1), (1, 1)), ((65, 33), (33, 70)), ((4, 0), (0, 3)), ((0, 3), (3, 2))]
    stacked: list[Shapes] = [
        ((2, 3, 5), (2, 5, 4)),
        ((2, 3, 5), (5, 4)),
        ((3, 5), (4, 5, 2)),
        ((2, 1, 3, 4), (5, 4, 2)),
    ]

    flat: list[Shapes] = [((5,), (5, 4)), ((3, 5), (5,)), ((5,), (5,))]

    def inner(a: tuple[int, ...], *_: Any) -> int:
        return max(a) if a else 1

    return [
        Case("matmul", ops.matmul, np.matmul, [*plain, *stacked, *flat], length=inner),
        Case(
            "matmul_tn",
            lambda a, b: ops.matmul(a, b, transpose_a=True),
            lambda a, b: np.swapaxes(a, -1, -2) @ b,
            [((5, 3), (5, 4)), ((33, 65), (33, 70)), ((2, 5, 3), (2, 5, 4)), ((2, 5, 3), (5, 4))],
            length=inner,
        ),
        Case(
            "matmul_nt",
            lambda a, b: ops.matmul(a, b, transpose_b=True),
            lambda a, b: a @ np.swapaxes(b, -1, -2),
            [((3, 5), (4, 5)), ((65, 33), (70, 33)), ((2, 3, 5), (4, 5))],
            length=inner,
        ),
        Case(
            "matmul_tt",
            lambda a, b: ops.matmul(a, b, transpose_a=True, transpose_b=True),
            lambda a, b: a.T @ b.T,
            [((5, 3), (4, 5)), ((33, 65), (70, 33))],
            length=inner,
        ),
        Case(
            "dense",  # bias, activation and a residual in the epilogue
            lambda x, w, b, r: ops.sigmoid(x @ w + b) + r,
            lambda x, w, b, r: sigmoid(x @ w + b) + r,
            [((7, 19), (19, 11), (11,), (7, 11)), ((33, 65), (65, 50), (50,), (33, 50))],
            length=inner,
        ),
    ]
