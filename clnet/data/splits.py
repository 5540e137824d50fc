"""A split: which samples are trained on, and which are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet.errors import ArgumentError, ShapeError

Array = NDArray[Any]
Pair = tuple[Array, Array]


def split(
    x: Array,
    y: Array,
    *,
    fraction: float | None = None,
    count: int | None = None,
    seed: int | None = 0,
    stratify: bool = False,
) -> tuple[Pair, Pair]:
    """((x_rest, y_rest), (x_held, y_held)): `count` samples, or the `fraction` of all, are held out.

    x (n, ...), y (n, ...). The samples are shuffled by `seed`; with None they keep their order and the last ones are
    held out, so that `split(d.x_train, d.y_train, count=10_000, seed=None)` is Nielsen's 50,000 and 10,000 of MNIST.
    `stratify` holds out the same share of each class, to within one sample; y is then one column of labels.
    """
    if len(x) != len(y):
        raise ShapeError(f"split: x has {len(x)} samples, y has {len(y)}")
    if stratify and y.size != len(y):
        raise ShapeError(f"split: y is {y.shape}; to stratify wants one label a sample")
    held = _held(len(x), fraction, count)
    if not stratify and seed is None:  # slices: views, no copy
        return (x[: len(x) - held], y[: len(y) - held]), (x[len(x) - held :], y[len(y) - held :])
    order = np.arange(len(x)) if seed is None else np.random.default_rng(seed).permutation(len(x))
    out = _last_of_each(y.reshape(len(y))[order], held) if stratify else np.arange(len(x)) >= len(x) - held
    return (x[order[~out]], y[order[~out]]), (x[order[out]], y[order[out]])


def _held(samples: int, fraction: float | None, count: int | None) -> int:
    wanted = count
    if fraction is not None:
        wanted = round(samples * fraction) if count is None and 0 <= fraction < 1 else None
    if wanted is not None and 0 <= wanted < max(samples, 1):
        return wanted
    raise ArgumentError(
        f"split: fraction={fraction}, count={count} of {samples} samples; wants one of the two,"
        " and something left to train on"
    )


def _last_of_each(labels: Array, held: int) -> NDArray[np.bool_]:
    """Marks the last samples of each class: its share of `held`, rounded so that the sum is right."""
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    counts, remainders = np.divmod(sizes * held, max(len(labels), 1))
    counts[np.argsort(-remainders, kind="stable")[: held - counts.sum()]] += 1  # the largest remainders round up
    ranks = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    marks = np.empty(len(labels), np.bool_)
    marks[np.argsort(classes, kind="stable")] = ranks >= np.repeat(sizes - counts, sizes)
    return marks
