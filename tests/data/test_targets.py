"""Targets: labels numbered in sorted order, values as float32 columns."""

import numpy as np
import pytest

from clnet.data import targets
from clnet.errors import DataError


@pytest.mark.parametrize(
    ("values", "labels", "classes"),
    [
        (np.array([2, 0, 1]), [2, 0, 1], ("0", "1", "2")),
        (np.array([-1, 1, -1]), [0, 1, 0], ("-1", "1")),
        (np.array([[7], [3]]), [1, 0], ("3", "7")),
        (np.array([0.0, 1.0, 0.5]), [0, 2, 1], ("0", "0.5", "1")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array(["b", "a"]), [1, 0], ("a", "b")),
        (np.array([b"b", b"a"]), [1, 0], ("a", "b")),
    ],
)
def test_classes(values, labels, classes):
    y, names = targets.encode(values, "classification")
    assert (y.dtype, y.tolist(), names) == (np.int32, labels, classes)


def test_values():
    y, names = targets.encode(np.arange(3), "regression")
    assert (y.dtype, y.tolist(), names) == (np.float32, [[0], [1], [2]], None)
    assert targets.encode(np.zeros((3, 2)), "regression")[0].shape == (3, 2)
    assert targets.encode(np.zeros((0,)), "regression")[0].shape == (0, 1)


def test_what_does_not_fit_the_task_is_refused():
    with pytest.raises(DataError, match="regression wants numbers"):
        targets.encode(np.array(["a"]), "regression")
    with pytest.raises(DataError, match=r"one label a sample, got float64 of shape \(3, 2\)"):
        targets.encode(np.zeros((3, 2)), "classification")


def test_an_array_says_its_task_by_dtype():
    assert targets.of_array(np.arange(3)) == "classification"
    assert targets.of_array(np.array([["a"]])) == "classification"
    assert targets.of_array(np.zeros((3, 2), int)) == "regression"
    assert targets.of_array(np.zeros(3)) == "regression"


def test_numbers_say_their_task_by_repeating():
    assert targets.of_numbers(np.array([0.0, 1.0, 0.0, 1.0])) == "classification"
    assert targets.of_numbers(np.array([0.0, 1.0, 2.0])) == "regression"
    assert targets.of_numbers(np.array([0.5, 0.5, 0.5])) == "regression"
    assert targets.of_numbers(np.arange(400.0) % 101) == "regression"
