"""Dataset: arrays that fit each other, or a DataError."""

import dataclasses

import numpy as np
import pytest

from clnet.data import Dataset
from clnet.errors import DataError


@pytest.fixture
def data():
    x, y = np.zeros((4, 2, 3), np.float32), np.array([0, 1, 1, 0], np.int32)
    return Dataset("toy", x, y, x[:2], y[:2], ("no", "yes"), "classification")


def test_what_a_network_asks(data):
    assert data.input_shape == (2, 3)
    assert data.outputs == 2
    assert [array.shape for array in (*data.train, *data.test)] == [(4, 2, 3), (4,), (2, 2, 3), (2,)]
    assert repr(data) == "Dataset('toy', classification, 4 + 2 samples of (2, 3), 2 classes)"


def test_regression_has_an_output_a_value(data):
    values = dataclasses.replace(
        data, y_train=np.zeros((4, 3)), y_test=np.zeros((2, 3)), classes=None, task="regression"
    )
    assert values.outputs == 3
    assert "3 outputs" in repr(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.zeros(3, np.int32)}, "x_train has 4 samples, y_train has 3"),
        ({"x_test": np.zeros((1, 2, 3))}, "x_test has 1 samples, y_test has 2"),
        ({"y_test": np.array([0, 2])}, "y_test has labels 0 to 2, wants 0 to 1"),
        ({"y_train": np.array([0, -1, 0, 0])}, "y_train has labels -1 to 0, wants 0 to 1"),
        ({"x_test": np.zeros((2, 3, 2))}, r"a sample is \(2, 3\) -> \(\) in training, \(3, 2\) -> \(\) in test"),
        ({"x_train": np.zeros((0, 2, 3)), "y_train": np.zeros(0)}, "nothing to train on"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(data, change, message):
    with pytest.raises(DataError, match=f"toy: .*{message}"):
        dataclasses.replace(data, **change)
