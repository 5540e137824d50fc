"""Metrics: one number a sample."""

import numpy as np
import pytest

import clnet
from clnet import metrics
from clnet.errors import ArgumentError, ShapeError

SCORES = np.float32([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]])


def values(device, metric, predictions, targets, **options):
    return metric(clnet.tensor(predictions, device=device), clnet.tensor(targets, device=device), **options).numpy()


def test_accuracy_of_classes(device):
    labels = np.int32([1, 2, 2])
    assert values(device, metrics.accuracy, SCORES, labels).tolist() == [1, 0, 1]
    assert values(device, metrics.accuracy, SCORES, labels.astype(np.uint8)).tolist() == [1, 0, 1]
    assert values(device, metrics.accuracy, SCORES, np.eye(3, dtype=np.float32)[labels]).tolist() == [1, 0, 1]
    steps = np.int32([[1, 2], [1, 1]])
    assert values(device, metrics.accuracy, np.stack([SCORES[:2]] * 2), steps).tolist() == [0.5, 0.5]


def test_accuracy_of_one_output(device):
    p, t = np.float32([[0.2], [0.7], [0.6]]), np.int32([[0], [1], [0]])
    assert values(device, metrics.accuracy, p, t).tolist() == [1, 1, 0]
    assert values(device, metrics.accuracy, p[:, 0], t[:, 0]).tolist() == [1, 1, 0]
    assert values(device, metrics.accuracy, p, t, threshold=0.65).tolist() == [1, 1, 1]


def test_errors_of_values(device):
    p, t = np.float32([[1, 2], [3, 5]]), np.float32([[1, 4], [0, 0]])
    assert values(device, metrics.mean_squared_error, p, t).tolist() == [2, 17]
    assert values(device, metrics.mean_absolute_error, p, t).tolist() == [1, 4]


def test_refusals(device):
    with pytest.raises(ShapeError, match=r"accuracy: predictions have shape \(3, 3\), targets \(3,\) of float32"):
        values(device, metrics.accuracy, SCORES, np.zeros(3, np.float32))
    with pytest.raises(ShapeError, match="mean_squared_error"):
        values(device, metrics.mean_squared_error, SCORES, np.zeros(3, np.float32))
    with pytest.raises(ArgumentError, match="got 'acc'"):
        metrics.metric("acc")
