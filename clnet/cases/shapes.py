"""Ops that move elements: reshape, transpose, slices, gathers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import ONE, Array, Case, Shapes, captured

_ROWS, _COLUMNS = np.array([[[0], [-1], [3], [0]]]), np.array([[[2, 0, 0, 1, 5]]])  # some of them outside


def _sampled(x: Array, rows: Array, columns: Array) -> Array:
    batch = np.arange(len(x)).reshape(-1, 1, 1)
    inside = (rows >= 0) & (rows < x.shape[1]) & (columns >= 0) & (columns < x.shape[2])
    found = x[batch, np.clip(rows, 0, x.shape[1] - 1), np.clip(columns, 0, x.shape[2] - 1)]
    return np.where(inside[..., None], found, 0)


def _between(x: Array, rows: Array, columns: Array) -> Array:
    """Every pixel, by how near it is along each axis."""
    nearness = [
        np.maximum(0, 1 - np.abs(place[..., None] - np.arange(extent)))
        for place, extent in zip((rows, columns), x.shape[1:3], strict=True)
    ]
    found: Array = np.einsum("bijr,bijs,brsc->bijc", *nearness, x)
    return found


def rows() -> list[Case]:
    cube: list[Shapes] = [((2, 3, 4),), ((5, 33, 7),)]
    moved: list[tuple[str, Callable[..., Any], Callable[..., Array], list[Shapes]]] = [
        ("reshape", lambda x: ops.reshape(x, (x.shape[1], -1)), lambda x: x.reshape(x.shape[1], -1), cube),
        ("transpose", ops.transpose, np.transpose, [*ONE, *cube, ((33, 50),)]),
        ("transpose_021", lambda x: ops.transpose(x, (0, 2, 1)), lambda x: x.transpose(0, 2, 1), [((2, 34, 37),)]),
        ("transpose_120", lambda x: ops.transpose(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), cube),
        (
            "broadcast_to",
            lambda x: ops.broadcast_to(x, (4, 3, 5)),
            lambda x: np.broadcast_to(x, (4, 3, 5)),
            [((3, 1),), ((5,),)],
        ),
        ("expand_dims", lambda x: ops.expand_dims(x, 1), lambda x: np.expand_dims(x, 1), cube),
        ("squeeze", ops.squeeze, np.squeeze, [((1, 3, 1),)]),
        (
            "concatenate",
            lambda a, b: ops.concatenate([a, b * 2, a], axis=-1),
            lambda a, b: np.concatenate([a, b * 2, a], -1),
            [((2, 3), (2, 5)), ((7, 1), (7, 130)), ((2, 0), (2, 3))],
        ),
        ("split", lambda x: ops.split(x, [1, 2, x.shape[1] - 3], axis=1)[1], lambda x: x[:, 1:3], cube),
        ("slice", lambda x: ops.slice(x, (1, 0, 2), (1, 3, 2)), lambda x: x[1:2, :3, 2:4], cube),
        ("getitem", lambda x: x[-1, None, ::2, 1:], lambda x: x[-1, None, ::2, 1:], cube),
        ("getitem_reversed", lambda x: x[::-1, ..., ::-2], lambda x: x[::-1, ..., ::-2], cube),
        (
            "pad",
            lambda x: ops.pad(x, [(1, 2), (0, 0), (3, 0)], value=7),
            lambda x: np.pad(x, [(1, 2), (0, 0), (3, 0)], constant_values=7),
            cube,
        ),
        ("gather", lambda x: ops.gather(x, _indices(x, [1, 0, 1])), lambda x: x[[1, 0, 1]], cube),
        (
            "gather_last",
            lambda x: ops.gather(x, _indices(x, [[3, 0], [1, 1]]), axis=-1),
            lambda x: x[:, :, [[3, 0], [1, 1]]],
            cube,
        ),
        (
            "gather_outside",  # counts as the first and the last row, in the gradient too
            lambda x: ops.gather(x, _indices(x, [[-3, 0, 1], [999, 999, 1]])),
            lambda x: x[[[0, 0, 1], [len(x) - 1, len(x) - 1, 1]]],
            [*cube, ((300, 65),)],
        ),
        (
            "gather_mean",  # whose gradient is one row for all that were gathered
            lambda x: ops.mean(ops.gather(x, _indices(x, [[1, 0, 1], [0, 0, 1]])), axis=1),
            lambda x: x[[[1, 0, 1], [0, 0, 1]]].mean(axis=1),
            cube,
        ),
        ("dynamic_slice", lambda x: ops.dynamic_slice(x, _indices(x, 1), x.shape[0] - 1), lambda x: x[1:], cube),
    ]
    pictures: list[Shapes] = [((2, 4, 5, 3),), ((1, 1, 1, 1),), ((3, 33, 17, 2),)]
    looked: list[Shapes] = [((2, 4, 5, 3), (2, 3, 4), (2, 1, 4)), ((3, 9, 7, 2), (3, 6, 1), (1, 1, 5))]
    labels: list[Shapes] = [((3, 5),), ((40,),)]
    return [
        *(Case(name, function, reference, shapes) for name, function, reference, shapes in moved),
        Case(
            "sample",
            lambda x: ops.sample(x, _indices(x, _ROWS), _indices(x, _COLUMNS)),
            lambda x: _sampled(x, _ROWS, _COLUMNS),
            pictures,
        ),
        Case("sample_between", ops.sample, _between, looked),
        Case(
            "one_hot",
            lambda x: ops.one_hot(ops.cast(x, "int32"), 4) * 3,
            lambda x: np.eye(4)[x.astype(int)] * 3,
            labels,
            low=0,
            high=3.9,
            gradient=False,
        ),
        Case("stop_gradient", lambda x: ops.stop_gradient(x) * 2, lambda x: x * 2, ONE, gradient=False),
    ]


def _indices(like: Any, values: Any) -> Any:
    return captured(like, np.asarray(values, np.int32))
