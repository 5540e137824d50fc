"""Objectives over nests of outputs, and labels checked on the host."""

import numpy as np
import pytest

from clnet.errors import DataError, ShapeError
from clnet.training.objective import check_labels, pairs


def test_outputs_meet_their_targets():
    assert pairs(1, 2) == [(None, 1, 2)]
    assert pairs((1, 2), [3, 4]) == [(0, 1, 3), (1, 2, 4)]
    assert pairs({"a": 1, "b": 2}, {"b": 4, "a": 3}) == [("a", 1, 3), ("b", 2, 4)]


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (1, (2, 3), "got 2 of them, the network has one output"),
        ((1, 2), 3, r"got int, the network's outputs are \[0, 1\]"),
        ((1, 2), (3,), r"got those of \[0\]"),
        ({"a": 1}, {"b": 1}, r"got those of \['b'\], the network's outputs are \['a'\]"),
    ],
)
def test_targets_that_do_not_fit(outputs, targets, message):
    with pytest.raises(ShapeError, match=message):
        pairs(outputs, targets)


def test_labels_are_checked_where_targets_are_labels():
    check_labels((1, 3), np.array([0, 2]), "fit")
    check_labels((1, 5, 3), np.full((4, 5), 2), "fit")
    check_labels((1, 3), np.full((4, 3), 9.0), "fit")  # values
    check_labels((1, 1), np.array([7, 8]), "fit")  # a column against a row: the loss will say so
    with pytest.raises(DataError, match=r"fit: y has label 3 \(sample 1\), the network's 3 outputs want 0 to 2"):
        check_labels((1, 3), np.array([0, 3]), "fit")
    with pytest.raises(DataError, match=r"fit: y\['kind'\] has label -1 \(sample 0\)"):
        check_labels({"kind": (1, 3)}, {"kind": np.array([-1, 3])}, "fit")
