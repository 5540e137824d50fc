"""split: every sample on one side, the same ones for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clnet.data import split
from clnet.errors import ArgumentError, ShapeError

X, Y = np.arange(20).reshape(10, 2), np.arange(10)


def test_pairs_stay_together_and_nothing_is_lost():
    (x, y), (x_held, y_held) = split(X, Y, fraction=0.3)
    assert (len(y), len(y_held)) == (7, 3)
    np.testing.assert_array_equal(np.vstack([x, x_held])[:, 0] // 2, np.concatenate([y, y_held]))
    assert sorted([*y, *y_held]) == list(range(10))


def test_the_seed_decides():
    held = [split(X, Y, count=5, seed=seed)[1][1].tolist() for seed in (1, 1, 2)]
    assert held[0] == held[1] != held[2]


def test_without_a_seed_the_last_ones_are_held_out_without_a_copy():
    (x, y), (x_held, y_held) = split(X, Y, count=3, seed=None)
    assert (y.tolist(), y_held.tolist()) == ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])
    assert x.base is x_held.base is X.base


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    fraction=st.floats(0, 0.5),
    seed=st.none() | st.integers(0, 9),
)
def test_strata_are_held_out_alike(sizes, fraction, seed):
    y = np.repeat(np.arange(len(sizes)) * 3 - 1, sizes)
    (_, rest), (_, held) = split(y, y, fraction=fraction, seed=seed, stratify=True)
    assert len(held) == round(fraction * len(y))
    assert sorted([*rest, *held]) == sorted(y)
    for label, size in zip(np.unique(y), sizes, strict=True):
        assert abs(np.sum(held == label) - size * len(held) / len(y)) < 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fraction": 0.1, "count": 1},
        *({"fraction": f} for f in (-0.1, 0.96, 1.0, float("nan"))),
        {"count": 10},
        {"count": -1},
    ],
)
def test_what_cannot_be_held_out_is_refused(options):
    with pytest.raises(ArgumentError, match="split: fraction="):
        split(X, Y, **options)


def test_arrays_must_fit():
    with pytest.raises(ShapeError, match="split: x has 10 samples, y has 9"):
        split(X, Y[:9], count=1)
    with pytest.raises(ShapeError, match=r"split: y is \(10, 2\); to stratify wants one label"):
        split(X, X, count=1, stratify=True)
