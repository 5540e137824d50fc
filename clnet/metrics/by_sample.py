"""Metrics of one number a sample, whose mean is shown."""

from __future__ import annotations

from clnet import ops
from clnet.errors import ShapeError
from clnet.losses import are_labels
from clnet.tensor import Tensor


def accuracy(predictions: Tensor, targets: Tensor, *, threshold: float = 0.5) -> Tensor:
    """1 where the largest of the predictions (batch, ..., classes) is the label, or the largest target, else 0.

    One output, (batch,) or (batch, 1), is right where it is above the threshold and the target above 0.5, or neither.
    (`Model` takes names such as "accuracy" with threshold 0 where the loss is `sigmoid_cross_entropy`.)
    """
    if are_labels(predictions.shape, targets.shape, targets.dtype):
        right = ops.equal(ops.argmax(predictions, axis=-1), ops.cast(targets, "int32"))
    elif predictions.shape != targets.shape:
        raise ShapeError(
            f"accuracy: predictions have shape {predictions.shape}, targets {targets.shape} of {targets.dtype}; want "
            f"one shape, or integer labels of shape {predictions.shape[:-1]}"
        )
    elif predictions.ndim > 1 and predictions.shape[-1] > 1:
        right = ops.equal(ops.argmax(predictions, axis=-1), ops.argmax(targets, axis=-1))
    else:
        right = ops.equal(predictions > threshold, ops.cast(targets, predictions.dtype) > 0.5)
    return _mean_by_sample(ops.cast(right, predictions.dtype))


def top_k_accuracy(predictions: Tensor, targets: Tensor, *, k: int = 5) -> Tensor:
    """1 where fewer than k classes have a larger prediction than the label (batch, ...) or largest target, else 0."""
    if predictions.ndim < 2 or k < 1:
        raise ShapeError(f"top_k_accuracy: predictions have shape {predictions.shape}, k is {k}; wants classes, k >= 1")
    if not are_labels(predictions.shape, targets.shape, targets.dtype):
        errors(predictions, targets, "top_k_accuracy")
        targets = ops.argmax(targets, axis=-1)
    chosen = ops.one_hot(targets, predictions.shape[-1], dtype=predictions.dtype)
    score = ops.sum(ops.where(chosen > 0, predictions, 0.0), axis=-1, keepdims=True)
    larger = ops.sum(ops.where(predictions <= score, 0.0, 1.0), axis=-1)  # NaN is larger than any
    return _mean_by_sample(ops.cast(larger < k, predictions.dtype))


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of (predictions - targets) squared."""
    return _mean_by_sample(ops.square(errors(predictions, targets, "mean_squared_error")))


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of |predictions - targets|."""
    return _mean_by_sample(ops.abs(errors(predictions, targets, "mean_absolute_error")))


def errors(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    """Predictions - targets, if they have one shape."""
    if predictions.shape != targets.shape:
        raise ShapeError(f"{who}: predictions have shape {predictions.shape}, targets {targets.shape}; want one shape")
    return predictions - ops.cast(targets, predictions.dtype)


def _mean_by_sample(values: Tensor) -> Tensor:
    return values if values.ndim == 1 else ops.mean(values, axis=tuple(range(1, values.ndim)))
