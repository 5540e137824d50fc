"""Expansion: five copies of a data set, four of them shifted."""

import numpy as np
import pytest

from clnet import data
from clnet.errors import ArgumentError, ShapeError


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 2)])
def test_originals_first_then_shifted_down_up_right_and_left(shape):
    x = np.arange(1, 1 + np.prod(shape), dtype=np.uint8).reshape(shape)
    large, labels = data.expand(x, np.array([7, 8]))
    assert large.dtype == np.uint8
    assert labels.tolist() == [7, 8] * 5
    np.testing.assert_array_equal(large[:2], x)
    for copy, (down, right) in enumerate([(1, 0), (-1, 0), (0, 1), (0, -1)], 1):
        moved = np.roll(x, (down, right), (1, 2))
        moved[:, {1: 0, -1: -1}[down] if down else slice(0)] = 0
        moved[:, :, {1: 0, -1: -1}[right] if right else slice(0)] = 0
        np.testing.assert_array_equal(large[2 * copy : 2 * copy + 2], moved)


def test_bad_input():
    with pytest.raises(ShapeError, match=r"expand: x is \(3, 4\)"):
        data.expand(np.zeros((3, 4)), np.zeros(3))
    with pytest.raises(ArgumentError, match="expand: pixels=4, wants 1 to 3"):
        data.expand(np.zeros((3, 4, 5)), np.zeros(3), pixels=4)
