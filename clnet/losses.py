"""Losses: (predictions, targets) to a number that training makes small, the mean over samples.

Every loss takes predictions and targets of a batch, (batch, ...), and `weights`, None or (batch,) as Keras's
`sample_weight`: the loss is sum(weights * losses) / batch. A `Model` takes a loss by name, as one of these functions,
as any function of the user's of the same form, or configured: `functools.partial(losses.huber, delta=2.0)`.

    predictions are           labels or targets                   loss
    values                    values                              mean_squared_error, mean_absolute_error, huber
    sigmoid outputs in (0, 1) 0, 1 or probabilities               binary_cross_entropy (the mean over outputs)
    before the sigmoid        labels, 0, 1 or probabilities       sigmoid_cross_entropy (the sum over outputs)
    before the softmax        labels or probabilities             softmax_cross_entropy
    any activation            labels or values                    quadratic (half the sum over outputs)
    probabilities             labels or probabilities             kl_divergence
    values                    -1 and 1, or 0 and 1                hinge, squared_hinge
    values                    labels or one-hot rows              categorical_hinge
    values                    values                              cosine_similarity (its negative)

Labels are integers (batch,) that index the last axis of the predictions. Nielsen's cross-entropy (Neural Networks and
Deep Learning, equation 63) is `sigmoid_cross_entropy` on a last layer without activation: it computes sigmoid and
logarithm together, exact where a saturated sigmoid has no gradient left. Shapes must agree; (n,) against (n, 1) is a
`ShapeError`, never a broadcast. A `Model` adds what its layers' regularizers say (`Layer.penalty`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "categorical_hinge",
    "cosine_similarity",
    "hinge",
    "huber",
    "kl_divergence",
    "loss",
    "mean_absolute_error",
    "mean_squared_error",
    "quadratic",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_hinge",
]

Loss: TypeAlias = Callable[..., Tensor]
LossName = Literal[
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "quadratic",
    "binary_cross_entropy",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "kl_divergence",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "cosine_similarity",
]
EPSILON = 1e-7  # Keras's: probabilities are kept this far from 0 and 1


def mean_squared_error(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean of (predictions - targets) squared."""
    targets = _values(predictions, targets, "mean_squared_error")
    return _mean(ops.square(predictions - targets), weights)


def mean_absolute_error(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean of |predictions - targets|."""
    targets = _values(predictions, targets, "mean_absolute_error")
    return _mean(ops.abs(predictions - targets), weights)


def huber(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None, delta: float = 1.0) -> Tensor:
    """Mean of e squared / 2 where |e| <= delta, else delta (|e| - delta / 2), e the error (Huber 1964)."""
    error = ops.abs(predictions - _values(predictions, targets, "huber"))
    near = ops.minimum(error, delta)
    return _mean(near * (error - 0.5 * near), weights)


def quadratic(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Sum over outputs of (predictions - targets) squared / 2, mean over samples (Nielsen, equation 6)."""
    targets = _one_hot(predictions, targets, "quadratic")
    return _total(0.5 * ops.square(predictions - targets), weights, _rows(predictions))


def binary_cross_entropy(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean of -t log(p) - (1 - t) log(1 - p) over all outputs, p in (0, 1): the outputs of a sigmoid, as in Keras."""
    targets = _values(predictions, targets, "binary_cross_entropy")
    p = ops.clip(predictions, EPSILON, 1 - EPSILON)
    return _mean(-(targets * ops.log(p) + (1 - targets) * ops.log(1 - p)), weights)


def sigmoid_cross_entropy(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Sum over outputs of -t log(s(z)) - (1 - t) log(1 - s(z)), mean over samples; z = predictions, s the sigmoid.

    Computed as softplus(z) - t z, whose gradient s(z) - t never vanishes on a wrong answer.
    """
    targets = _one_hot(predictions, targets, "sigmoid_cross_entropy")
    return _total(ops.softplus(predictions) - targets * predictions, weights, _rows(predictions))


def softmax_cross_entropy(
    predictions: Tensor,
    targets: Tensor,
    *,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
) -> Tensor:
    """-sum over classes of t log(softmax(z)), mean over samples; z = predictions (batch, ..., classes).

    label_smoothing: t becomes (1 - s) t + s / classes (Szegedy et al. 2016). class_weights: a factor for each class's
    term, as Keras's `class_weight`: the mean still divides by the number of samples.
    """
    classes = predictions.shape[-1] if predictions.ndim else 0
    is_one = class_weights is None and are_labels(predictions.shape, targets.shape, targets.dtype)
    targets = _one_hot(predictions, targets, "softmax_cross_entropy")
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / classes
    if class_weights is not None:
        factors = np.asarray(class_weights, predictions.dtype)
        if factors.shape != (classes,):
            raise ShapeError(f"softmax_cross_entropy: class_weights has shape {factors.shape}, wants ({classes},)")
        targets = targets * factors
    # Not targets * log_softmax(predictions): its gradient sums the targets, in a launch that labels do not need.
    shifted = predictions - ops.stop_gradient(ops.max(predictions, axis=-1, keepdims=True))
    logarithm = ops.log(ops.sum(ops.exp(shifted), axis=-1))
    rows = (1 if is_one else ops.sum(targets, axis=-1)) * logarithm - ops.sum(targets * shifted, axis=-1)
    return _mean(rows, weights)


def kl_divergence(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Sum over classes of t log(t / p), mean over samples: both are distributions, kept in [1e-7, 1], as in Keras."""
    t = ops.clip(_one_hot(predictions, targets, "kl_divergence"), EPSILON, 1.0)
    p = ops.clip(predictions, EPSILON, 1.0)
    return _total(t * ops.log(t / p), weights, _rows(predictions))


def hinge(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean of max(1 - t y, 0), t of -1 and 1; targets at or below 0 are -1, so that 0 and 1 will do."""
    return _mean(_margin(predictions, targets, "hinge"), weights)


def squared_hinge(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean of max(1 - t y, 0) squared, t of -1 and 1; targets at or below 0 are -1, so that 0 and 1 will do."""
    return _mean(ops.square(_margin(predictions, targets, "squared_hinge")), weights)


def categorical_hinge(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """max(1 + the largest of the other classes' y - that of the label, 0), mean over samples; as in Keras."""
    t = _one_hot(predictions, targets, "categorical_hinge")
    label = ops.sum(t * predictions, axis=-1)
    others = ops.max((1 - t) * predictions, axis=-1)
    return _mean(ops.relu(others - label + 1), weights)


def cosine_similarity(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """-t.y / (|t| |y|) along the last axis, mean over samples: -1 for one direction, 0 for right angles."""
    targets = _values(predictions, targets, "cosine_similarity")
    lengths = ops.sum(ops.square(targets), axis=-1) * ops.sum(ops.square(predictions), axis=-1)
    product = ops.sum(targets * predictions, axis=-1)
    return _mean(-product * ops.rsqrt(ops.maximum(lengths, EPSILON**2)), weights)


def loss(choice: LossName | Loss) -> Loss:
    """The loss that a name stands for; a callable is itself."""
    if isinstance(choice, str) and choice in get_args(LossName):
        return cast("Loss", globals()[choice])
    if callable(choice):
        return choice
    raise ArgumentError(
        f"loss: got {choice!r}, wants a function (predictions, targets, *, weights=None) or one of "
        + ", ".join(get_args(LossName))
    )


def are_labels(predictions: tuple[int, ...], targets: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether targets of this shape are labels that index the last axis of predictions."""
    return dtype.kind in "iu" and len(predictions) > 1 and targets == predictions[:-1]


def _values(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    """The targets in the predictions' dtype, if they have the predictions' shape."""
    if targets.shape != predictions.shape:
        raise ShapeError(f"{who}: predictions have shape {predictions.shape}, targets {targets.shape}; want one shape")
    return ops.cast(targets, predictions.dtype)


def _margin(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    """max(1 - t y, 0), t of -1 and 1."""
    sign = ops.where(_values(predictions, targets, who) > 0, 1.0, -1.0)
    return ops.relu(1 - ops.cast(sign, predictions.dtype) * predictions)


def _one_hot(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    """The targets as values: labels become rows of zeros with a one."""
    if are_labels(predictions.shape, targets.shape, targets.dtype):
        return ops.one_hot(targets, predictions.shape[-1], dtype=predictions.dtype)
    if targets.shape != predictions.shape:
        raise ShapeError(
            f"{who}: predictions have shape {predictions.shape}, targets {targets.shape} of {targets.dtype}; want "
            f"that shape, or integer labels of shape {predictions.shape[:-1]}"
        )
    return ops.cast(targets, predictions.dtype)


def _rows(predictions: Tensor) -> int:
    """How many rows of outputs there are; predictions of shape (batch,) have one output."""
    return math.prod(predictions.shape[:-1] if predictions.ndim > 1 else predictions.shape)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted sum over the number of values."""
    return _total(values, weights, values.size)


def _total(values: Tensor, weights: Tensor | None, count: int) -> Tensor:
    """sum(weights * values) / count, in one reduction; weights (batch,), or all leading axes of values."""
    if weights is None:
        return ops.sum(values) * (1 / count)
    if weights.shape != values.shape[: weights.ndim]:
        raise ShapeError(f"loss: weights have shape {weights.shape}, the losses {values.shape}; want one a sample")
    factors = ops.reshape(weights, weights.shape + (1,) * (values.ndim - weights.ndim))
    return ops.sum(ops.cast(factors, values.dtype) * values) * (1 / count)
