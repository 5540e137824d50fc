"""Metrics: (predictions, targets) to a number for each sample, which evaluation averages on the device.

A metric is any function (predictions (batch, ...), targets (batch, ...)) -> (batch,). Training shows its mean over the
samples of an epoch, before each batch's update; `Model.evaluate` its mean over all. Sample weights do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, cast, get_args

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.losses import are_labels
from clnet.tensor import Tensor

__all__ = ["accuracy", "mean_absolute_error", "mean_squared_error", "metric"]

Metric: TypeAlias = Callable[[Tensor, Tensor], Tensor]
MetricName = Literal["accuracy", "mean_squared_error", "mean_absolute_error"]


def accuracy(predictions: Tensor, targets: Tensor, *, threshold: float = 0.5) -> Tensor:
    """1 where the largest of the predictions (batch, ..., classes) is the label, or the largest target, else 0.

    One output, (batch,) or (batch, 1), is right where it is above the threshold and the target above 0.5, or neither.
    (`Model` takes the name "accuracy" with threshold 0 where the loss is `sigmoid_cross_entropy`.)
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


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of (predictions - targets) squared."""
    return _mean_by_sample(ops.square(_errors(predictions, targets, "mean_squared_error")))


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of |predictions - targets|."""
    return _mean_by_sample(ops.abs(_errors(predictions, targets, "mean_absolute_error")))


def metric(choice: MetricName | Metric) -> Metric:
    """The metric that a name stands for; a callable is itself."""
    if isinstance(choice, str) and choice in get_args(MetricName):
        return cast("Metric", globals()[choice])
    if callable(choice):
        return choice
    raise ArgumentError(
        f"metric: got {choice!r}, wants a function (predictions, targets) -> (batch,) or one of "
        + ", ".join(get_args(MetricName))
    )


def _errors(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    if predictions.shape != targets.shape:
        raise ShapeError(f"{who}: predictions have shape {predictions.shape}, targets {targets.shape}; want one shape")
    return predictions - ops.cast(targets, predictions.dtype)


def _mean_by_sample(values: Tensor) -> Tensor:
    return values if values.ndim == 1 else ops.mean(values, axis=tuple(range(1, values.ndim)))
