"""Metrics: one number a sample, and numbers of many samples from what batches merge, against float64 NumPy."""

import numpy as np
import pytest

import clnet
from clnet import Model, metrics, nn, ops
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


def test_top_k(device):
    labels = np.int32([2, 1, 0])
    for k, wanted in ((1, [0, 0, 0]), (2, [1, 0, 0]), (3, [1, 1, 1])):
        assert values(device, metrics.top_k_accuracy, SCORES, labels, k=k).tolist() == wanted
    assert values(device, metrics.top_k_accuracy, SCORES, np.eye(3, dtype=np.float32)[labels], k=2).tolist() == [
        1,
        0,
        0,
    ]
    with pytest.raises(ShapeError, match="k is 0"):
        values(device, metrics.top_k_accuracy, SCORES, labels, k=0)


def judged(device, metric, predictions, targets, batch_size=16):
    """What `evaluate` says of a network that passes on what it gets."""
    model = Model(nn.Activation("linear"), "mean_squared_error", metrics=[metric], device=device)
    model._steps._objective = type(model._steps.objective)(lambda p, t: ops.sum(p) * 0, [metric])
    found = model.evaluate(predictions, targets, batch_size=batch_size)
    (name,) = found.keys() - {"loss"}
    return found[name]


def classes(predictions, targets):
    counts = np.zeros((predictions.shape[1],) * 2, np.int64)
    np.add.at(counts, (targets, predictions.argmax(1)), 1)
    right = np.diag(counts).astype(float)
    return counts, right, counts.sum(0), counts.sum(1)


def test_metrics_of_classes(device):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 70).astype(np.int32)
    predictions = (np.eye(5)[targets] + rng.normal(0, 0.7, (70, 5))).astype(np.float32)
    counts, right, predicted, there = classes(predictions, targets)
    found = there + predicted > 0
    np.testing.assert_array_equal(judged(device, "confusion_matrix", predictions, targets), counts)
    precision = np.divide(right, predicted, out=np.zeros(5), where=predicted > 0)[found].mean()
    recall = np.divide(right, there, out=np.zeros(5), where=there > 0)[found].mean()
    f1 = np.divide(2 * right, predicted + there, out=np.zeros(5), where=found)[found].mean()
    assert judged(device, "precision", predictions, targets) == pytest.approx(precision)
    assert judged(device, "recall", predictions, targets) == pytest.approx(recall)
    assert judged(device, "f1", predictions, targets) == pytest.approx(f1)
    for metric in (metrics.Precision("micro"), metrics.Recall("micro"), metrics.F1("micro")):
        assert judged(device, metric, predictions, targets) == pytest.approx(right.sum() / 70)
    one_hot = np.eye(5, dtype=np.float32)[targets]
    assert judged(device, metrics.F1("macro"), predictions, one_hot) == pytest.approx(f1)


def test_metrics_of_two_classes(device):
    p, t = np.float32([[0.9], [0.8], [0.3], [0.4], [0.6]]), np.float32([[1], [0], [0], [1], [1]])
    assert judged(device, "precision", p, t, 2) == pytest.approx(2 / 3)
    assert judged(device, metrics.Recall(threshold=0.85), p, t, 2) == pytest.approx(1 / 3)
    assert judged(device, metrics.F1("macro"), p, t, 2) == pytest.approx((2 / 3 + 0.5) / 2)
    np.testing.assert_array_equal(judged(device, "confusion_matrix", p, t, 2), [[1, 1], [1, 2]])
    model = Model(nn.Activation("linear"), "sigmoid_cross_entropy", metrics=["recall"], device=device)
    assert model.evaluate(p - 0.5, t)["recall"] == pytest.approx(2 / 3)  # above 0 before the sigmoid


def test_r2_of_targets_far_from_zero(device):
    rng = np.random.default_rng(0)
    targets = rng.normal(2000, [3, 10], (333, 2)).astype(np.float32)
    predictions = targets + rng.normal(0, 2, (333, 2)).astype(np.float32)
    t, p = targets.astype(float), predictions.astype(float)
    wanted = (1 - np.square(p - t).sum(0) / np.square(t - t.mean(0)).sum(0)).mean()
    assert judged(device, "r2", predictions, targets) == pytest.approx(wanted, rel=1e-5)


def test_perplexity(device):
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(37, 6, 5)).astype(np.float32), rng.integers(0, 5, (37, 6)).astype(np.int32)
    logs = z - np.log(np.exp(z).sum(-1, keepdims=True))
    wanted = np.exp(-np.take_along_axis(logs, t[..., None], -1).mean())
    assert judged(device, "perplexity", z, t) == pytest.approx(wanted, rel=1e-5)


class Largest(metrics.Metric):
    """A user's own: merged otherwise than by adding."""

    def statistics(self, predictions, targets):
        return {"top": ops.max(predictions)}

    def merge(self, old, new):
        return {"top": ops.maximum(old["top"], new["top"])}

    def result(self, found, samples):
        return float(found["top"])


def test_metrics_in_training(device, tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    y = (np.arange(50) % 3).astype(np.int32)
    wanted = ["accuracy", "f1", "confusion_matrix", metrics.Recall("micro"), Largest()]
    model = Model(nn.Dense(3), "softmax_cross_entropy", metrics=wanted, device=device)
    history = model.fit(x, y, epochs=2, batch_size=16, validation_data=(x, y), verbose=0).history
    scalars = ["loss", "accuracy", "f1", "recall_micro", "largest"]
    assert list(history) == scalars + [f"val_{name}" for name in scalars]
    assert history["recall_micro"] == pytest.approx(history["accuracy"])
    found = model.evaluate(x, y)
    assert found["largest"] == pytest.approx(model.predict(x).max())
    assert found["confusion_matrix"].sum() == 50
    assert np.diag(found["confusion_matrix"]).sum() / 50 == pytest.approx(found["accuracy"])
    model.metrics = ["f1", metrics.Recall("micro")]
    model.save(tmp_path / "net")
    assert Model.load(tmp_path / "net", device=device).metrics == ("f1", metrics.Recall("micro"))


def test_two_metrics_of_one_name(device):
    model = Model(nn.Dense(3), "quadratic", metrics=["f1", metrics.F1(threshold=0.2)], device=device)
    with pytest.raises(ArgumentError, match="two are called 'f1'"):
        model.evaluate(SCORES, SCORES)
    with pytest.raises(ArgumentError, match="average is 'weighted'"):
        metrics.F1("weighted")
    with pytest.raises(ShapeError, match=r"f1: predictions have shape \(3, 3\), targets \(3,\) of float32"):
        judged(device, "f1", SCORES, np.zeros(3, np.float32))
