"""Batches: every sample once an epoch, in an order that (seed, epoch) repeats."""

from itertools import chain

import numpy as np
import pytest

from clnet.data import Batches
from clnet.errors import ArgumentError, ShapeError

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


def labels(batches):
    return [y.tolist() for _, y in batches]


def test_in_order_they_are_views_of_the_arrays():
    batches = Batches(X, Y, batch_size=4, shuffle=False)
    assert len(batches) == 3
    assert labels(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(x, X) for x, _ in batches)


def test_shuffled_every_sample_comes_once_with_its_label():
    batches = Batches(X, Y, batch_size=3, seed=5)
    assert [len(y) for y in labels(batches)] == [3, 3, 3, 1]
    assert sorted(chain.from_iterable(labels(batches))) == list(range(10))
    assert all((x[:, 0] // 2 == y).all() for x, y in batches)


def test_each_walk_is_another_epoch_that_can_be_repeated():
    batches, again = Batches(X, Y, batch_size=4, seed=1), Batches(X, Y, batch_size=4, seed=1)
    walks = [labels(batches) for _ in range(3)]
    assert batches.epoch == 3
    assert walks[0] != walks[1] != walks[2]
    assert walks == [labels(again.at(epoch)) for epoch in range(3)]
    assert again.epoch == 0
    assert walks[0] != labels(Batches(X, Y, batch_size=4, seed=2))


def test_a_resumed_walk_goes_on_where_training_stopped():
    resumed = Batches(X, Y, seed=1)
    resumed.epoch = 2
    assert labels(resumed) == labels(Batches(X, Y, seed=1).at(2))


def test_several_inputs_and_outputs():
    batches = Batches({"a": X, "b": (Y, [X, Y])}, (Y, Y), batch_size=10, shuffle=False)
    ((x, y),) = batches
    assert isinstance(y, tuple)
    np.testing.assert_array_equal(x["b"][1][0], X)
    assert isinstance(x["b"][1], list)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_memory_map_is_read_a_batch_at_a_time(tmp_path, shuffle):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for x, y in Batches(mapped, Y, batch_size=4, shuffle=shuffle):
        np.testing.assert_array_equal(x, X[y])
        assert (np.diff(y) > 0).all()  # the file is read forwards


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:9], r"\[9, 10\] samples, want one length"),
        ((X, X[:3]), Y, r"\[3, 10\] samples"),
        (X[:0], Y[:0], r"x holds an array of shape \(0, 2\)"),
        ({"a": X, "b": 3}, Y, "x holds int"),
        (X, [1, 2], "y holds int"),
        (X, np.array(1), r"y holds an array of shape \(\)"),
        ((), {}, r"\[\] samples"),
    ],
)
def test_arrays_that_cannot_be_batched_are_refused(x, y, message):
    with pytest.raises((ArgumentError, ShapeError), match=f"Batches: .*{message}"):
        Batches(x, y)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"seed": -1}])
def test_sizes_and_seeds_are_checked(options):
    with pytest.raises(ArgumentError, match="want at least 1 and 0"):
        Batches(X, Y, **options)
