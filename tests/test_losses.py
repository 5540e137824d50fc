"""Losses: values against float64 NumPy, gradients against central differences of it, and what they refuse."""

import functools

import numpy as np
import pytest

import clnet
from clnet import losses
from clnet.errors import ArgumentError, ShapeError


def one_hot(labels, classes=5):
    return np.eye(classes)[labels]


def log_softmax(z):
    return z - z.max(-1, keepdims=True) - np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True))


def sigmoid_terms(z, t):
    return np.logaddexp(0, z) - t * z


def huber(p, t, delta):
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))


def smoothed(labels):
    return 0.9 * one_hot(labels) + 0.1 / 5


CLASS_WEIGHTS = [0.5, 1.0, 2.0, 1.0, 3.0]
# name -> (loss, what predictions are, what targets are, float64 NumPy: the loss of each sample or element)
CASES = {
    "mean_squared_error": (losses.mean_squared_error, "values", "values", lambda p, t: (p - t) ** 2),
    "mean_absolute_error": (losses.mean_absolute_error, "values", "values", lambda p, t: np.abs(p - t)),
    "huber": (losses.huber, "values", "values", lambda p, t: huber(p, t, 1.0)),
    "huber, delta 0.3": (
        *(functools.partial(losses.huber, delta=0.3), "values", "values"),
        lambda p, t: huber(p, t, 0.3),
    ),
    "quadratic": (losses.quadratic, "values", "values", lambda p, t: ((p - t) ** 2).sum(-1) / 2),
    "quadratic, labels": (losses.quadratic, "values", "labels", lambda p, t: ((p - one_hot(t)) ** 2).sum(-1) / 2),
    "binary_cross_entropy": (
        *(losses.binary_cross_entropy, "probabilities", "probabilities"),
        lambda p, t: -t * np.log(p) - (1 - t) * np.log(1 - p),
    ),
    "sigmoid_cross_entropy": (
        *(losses.sigmoid_cross_entropy, "values", "probabilities"),
        lambda z, t: sigmoid_terms(z, t).sum(-1),
    ),
    "sigmoid_cross_entropy, labels": (
        *(losses.sigmoid_cross_entropy, "values", "labels"),
        lambda z, t: sigmoid_terms(z, one_hot(t)).sum(-1),
    ),
    "softmax_cross_entropy": (
        *(losses.softmax_cross_entropy, "values", "labels"),
        lambda z, t: -(one_hot(t) * log_softmax(z)).sum(-1),
    ),
    "softmax_cross_entropy, probabilities": (
        *(losses.softmax_cross_entropy, "values", "probabilities"),
        lambda z, t: -(t * log_softmax(z)).sum(-1),
    ),
    "softmax_cross_entropy, smoothed": (
        *(functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1), "values", "labels"),
        lambda z, t: -(smoothed(t) * log_softmax(z)).sum(-1),
    ),
    "softmax_cross_entropy, class weights": (
        *(functools.partial(losses.softmax_cross_entropy, class_weights=CLASS_WEIGHTS), "values", "labels"),
        lambda z, t: -(np.asarray(CLASS_WEIGHTS) * one_hot(t) * log_softmax(z)).sum(-1),
    ),
}


def kl(p, t):
    p, t = np.clip(p, 1e-7, 1), np.clip(t, 1e-7, 1)
    return (t * np.log(t / p)).sum(-1)


def margin(p, t):
    return np.maximum(1 - np.where(t > 0, 1, -1) * p, 0)


def categorical(p, t):
    return np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0)


def cosine(p, t):
    return -(p * t).sum(-1) / np.sqrt(np.square(p).sum(-1) * np.square(t).sum(-1))


CASES |= {
    "kl_divergence": (losses.kl_divergence, "probabilities", "probabilities", kl),
    "kl_divergence, labels": (losses.kl_divergence, "probabilities", "labels", lambda p, t: kl(p, one_hot(t))),
    "hinge": (losses.hinge, "values", "values", margin),
    "squared_hinge": (losses.squared_hinge, "values", "values", lambda p, t: margin(p, t) ** 2),
    "categorical_hinge": (losses.categorical_hinge, "values", "labels", lambda p, t: categorical(p, one_hot(t))),
    "cosine_similarity": (losses.cosine_similarity, "values", "values", cosine),
}


def draw(kind, rng, batch=7):
    if kind == "labels":
        return rng.integers(0, 5, batch).astype(np.int32)
    values = rng.normal(size=(batch, 5)) if kind == "values" else rng.uniform(0.05, 0.95, size=(batch, 5))
    return values.astype(np.float32)


def differences(function, x, step=1e-6):
    """d function / d x by central differences in float64."""
    x = x.astype(np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (function(above) - function(below)) / (2 * step)
    return gradient


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(device, name, weighted):
    loss, prediction_kind, target_kind, reference = CASES[name]
    rng = np.random.default_rng(2)
    predictions, targets = draw(prediction_kind, rng), draw(target_kind, rng)
    weights = rng.uniform(0.2, 2, 7).astype(np.float32) if weighted else None

    def mean(p):
        terms = reference(p, targets)
        factors = 1.0 if weights is None else weights.astype(np.float64).reshape(-1, *[1] * (terms.ndim - 1))
        return (terms * factors).mean()

    x, y, w = (None if each is None else clnet.tensor(each, device=device) for each in (predictions, targets, weights))
    value, gradient = clnet.value_and_grad(lambda p: loss(p, y, weights=w))(x)
    assert float(value) == pytest.approx(mean(predictions.astype(np.float64)), rel=2e-5)
    np.testing.assert_allclose(gradient.numpy(), differences(mean, predictions), rtol=1e-3, atol=2e-5)


def test_saturated_sigmoids_keep_their_gradient(device):
    z = clnet.tensor(np.float32([[40.0, -40.0]]), device=device)
    wrong = clnet.tensor(np.float32([[0.0, 1.0]]), device=device)
    value, gradient = clnet.value_and_grad(lambda z: losses.sigmoid_cross_entropy(z, wrong))(z)
    assert float(value) == pytest.approx(80)
    np.testing.assert_allclose(gradient.numpy(), [[1, -1]], rtol=1e-6)


def test_saturated_probabilities_stay_finite(device):
    p = clnet.tensor(np.float32([[1.0], [0.0]]), device=device)
    wrong = clnet.tensor(np.float32([[0.0], [1.0]]), device=device)
    assert float(losses.binary_cross_entropy(p, wrong)) == pytest.approx(-np.log(1e-7), rel=0.02)


def test_predictions_of_one_axis_and_of_three(device):
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=6).astype(np.float32), rng.integers(0, 2, 6).astype(np.float32)
    got = float(losses.sigmoid_cross_entropy(clnet.tensor(p, device=device), clnet.tensor(t, device=device)))
    assert got == pytest.approx(sigmoid_terms(p, t).mean(), rel=1e-5)
    z, labels = rng.normal(size=(3, 4, 5)).astype(np.float32), rng.integers(0, 5, (3, 4)).astype(np.int32)
    got = float(losses.softmax_cross_entropy(clnet.tensor(z, device=device), clnet.tensor(labels, device=device)))
    assert got == pytest.approx(-(one_hot(labels) * log_softmax(z)).sum(-1).mean(), rel=1e-5)


@pytest.mark.parametrize("name", [*losses.LossName.__args__])
def test_columns_are_never_broadcast(device, name):
    column = clnet.tensor(np.full((4, 1), 0.5, np.float32), device=device)
    row = clnet.tensor(np.full(4, 0.5, np.float32), device=device)
    with pytest.raises(ShapeError, match=rf"{name}: predictions have shape \(4, 1\), targets \(4,\)"):
        losses.loss(name)(column, row)
    with pytest.raises(ShapeError, match=rf"{name}: predictions have shape \(4,\), targets \(4, 1\)"):
        losses.loss(name)(row, column)


def test_refusals(device):
    z = clnet.tensor(np.zeros((4, 3), np.float32), device=device)
    labels = clnet.tensor(np.zeros(4, np.int32), device=device)
    with pytest.raises(ShapeError, match=r"class_weights has shape \(2,\), wants \(3,\)"):
        losses.softmax_cross_entropy(z, labels, class_weights=[1, 2])
    with pytest.raises(ShapeError, match="weights have shape"):
        losses.softmax_cross_entropy(z, labels, weights=clnet.tensor(np.zeros(3, np.float32), device=device))
    with pytest.raises(ArgumentError, match=r"got 'crossentropy', wants a function .* softmax_cross_entropy"):
        losses.loss("crossentropy")
