"""Ops that make one element of many, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import AXES, Array, Case, Shapes, softmax


def _logsumexp(x: Array, axis: Any = None) -> Array:
    top = x.max(axis=axis, keepdims=True)
    result: Array = np.squeeze(np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top, axis=axis)
    return result


def _reduced(axis: int | None) -> Callable[[tuple[int, ...]], int]:
    """The elements that one result of a reduction takes in."""
    return lambda shape: math.prod(shape) if axis is None else shape[axis] if shape else 1


def rows() -> list[Case]:
    found = []
    kinds: list[tuple[Any, Callable[..., Array], bool]] = [
        (ops.sum, np.sum, True),
        (ops.mean, np.mean, True),
        (ops.max, np.max, True),
        (ops.min, np.min, True),
        (ops.prod, np.prod, True),
        (ops.argmax, np.argmax, False),
        (ops.logsumexp, _logsumexp, True),
    ]
    for op, reference, smooth in kinds:
        for axis in (None, 0, -1):
            found.append(
                Case(
                    f"{op.__name__}_{'all' if axis is None else axis}",
                    lambda x, op=op, axis=axis: op(x, axis=axis),
                    lambda x, reference=reference, axis=axis: reference(x, axis=axis),
                    AXES,
                    low=0.9 if op is ops.prod else -2.0,
                    high=1.1 if op is ops.prod else 2.0,
                    gradient=smooth,
                    length=_reduced(axis),
                )
            )
    middle: list[Shapes] = [((2, 3, 4),), ((5, 40, 33),), ((3, 40, 64),)]  # the last: two registers of columns
    found += [
        Case("sum_middle", lambda x: ops.sum(x, axis=1), lambda x: x.sum(axis=1), middle, length=_reduced(1)),
        Case(
            "sum_around",
            lambda x: ops.sum(x, axis=(0, 2), keepdims=True),
            lambda x: x.sum(axis=(0, 2), keepdims=True),
            middle,
            length=_reduced(None),
        ),
        Case("sum_long", ops.sum, np.sum, [((70000,),), ((3, 40000),)], length=_reduced(None)),
        Case("sum_tall", lambda x: ops.sum(x, axis=0), lambda x: x.sum(axis=0), [((9000, 3),)], length=_reduced(0)),
        Case("softmax", ops.softmax, softmax, AXES),
        Case("softmax_0", lambda x: ops.softmax(x, axis=0), lambda x: softmax(x, 0), AXES),
        Case("log_softmax", ops.log_softmax, lambda x: np.log(softmax(x)), AXES),
        Case(
            "normalized",  # several passes over a column, and what is made of their results
            lambda x: (x - ops.mean(x, axis=0)) * ops.rsqrt(ops.mean(ops.square(x - ops.mean(x, axis=0)), axis=0) + 1),
            lambda x: (x - x.mean(0)) / np.sqrt(np.square(x - x.mean(0)).mean(0) + 1),
            [*AXES, ((50, 96),)],
            length=_reduced(0),
        ),
    ]
    return found
