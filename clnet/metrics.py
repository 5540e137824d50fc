"""Metrics: what evaluation says of many samples, added up on the device.

A metric is a function (predictions (batch, ...), targets (batch, ...)) -> (batch,), whose mean is shown, or a `Metric`:
statistics that batches merge on the device, and a formula of them. Training shows it over the samples of an epoch,
before each batch's update; `Model.evaluate` over all. Sample weights do not count.

    model = clnet.Model(net, "softmax_cross_entropy", metrics=["accuracy", "f1", metrics.Recall("micro")])

Labels are integers (batch, ...) that index the last axis of the predictions; targets of the predictions' shape are
one-hot or probabilities. One output, (batch,) or (batch, 1), makes two classes: 1 is what lies above the threshold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from clnet import losses, ops
from clnet.errors import ArgumentError, ShapeError
from clnet.losses import are_labels
from clnet.tensor import Tensor

__all__ = [
    "F1",
    "R2",
    "ConfusionMatrix",
    "Mean",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "accuracy",
    "mean_absolute_error",
    "mean_squared_error",
    "metric",
    "top_k_accuracy",
]

Average = Literal["auto", "binary", "macro", "micro"]
BySample: TypeAlias = Callable[..., Tensor]
MetricName = Literal[
    "accuracy",
    "top_k_accuracy",
    "precision",
    "recall",
    "f1",
    "confusion_matrix",
    "r2",
    "perplexity",
    "mean_squared_error",
    "mean_absolute_error",
]
Statistics: TypeAlias = Mapping[str, Tensor]


class Metric:
    """A number over many samples; `scalar`: False for an array, which only `evaluate` computes."""

    scalar: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What results are filed under: the class's name in lower case."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        """Traced: what a batch says, tensors whose shapes do not depend on the number of samples."""
        raise NotImplementedError

    def merge(self, old: Statistics, new: Statistics) -> Statistics:
        """Traced: what two lots of samples say together; those of no samples are zeros."""
        return {name: old[name] + value for name, value in new.items()}

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> Any:
        """The metric, from the statistics of so many samples, on the host."""
        raise NotImplementedError


@dataclass(frozen=True)
class Mean(Metric):
    """The mean over samples of a function (predictions, targets) -> (batch,)."""

    function: BySample

    @property
    def name(self) -> str:
        function = self.function.func if isinstance(self.function, partial) else self.function
        return getattr(function, "__name__", type(function).__name__)

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        values = self.function(predictions, targets)
        if values.shape != predictions.shape[:1]:
            raise ShapeError(f"metric {self.name}: gave shape {values.shape}, wants {predictions.shape[:1]}")
        return {"total": ops.sum(ops.cast(values, "float32"))}

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> float:
        return float(found["total"]) / max(1, samples)


@dataclass(frozen=True)
class ByClass(Metric):
    """A formula of how often each class was right, predicted, and there, averaged over classes.

    average: "binary" is that of class 1, "macro" the mean over the classes that were there or predicted, "micro" of
    all counts together; "auto" is binary where there are two classes, else macro. 0 / 0 is 0, as in scikit-learn.
    """

    average: Average = "auto"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.average not in get_args(Average):
            raise ArgumentError(f"{type(self).__name__}: average is {self.average!r}, wants one of {get_args(Average)}")

    @property
    def name(self) -> str:
        return super().name if self.average == "auto" else f"{super().name}_{self.average}"

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        predicted, there = _classes(predictions, targets, self.threshold, self.name)
        counts = {"right": predicted * there, "predicted": predicted, "there": there}
        return {name: ops.cast(ops.sum(each, axis=0), "int32") for name, each in counts.items()}

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> float:
        counts = {name: value.astype(np.float64) for name, value in found.items()}
        average = self.average if self.average != "auto" else "binary" if counts["there"].size == 2 else "macro"
        if average == "micro":
            counts = {name: value.sum(keepdims=True) for name, value in counts.items()}
        top, bottom = self.formula(**counts)
        by_class = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
        if average == "binary":
            return float(by_class[1])
        return float(by_class[counts["there"] + counts["predicted"] > 0].mean()) if samples else 0.0

    def formula(self, right: Any, predicted: Any, there: Any) -> tuple[Any, Any]:
        """(numerator, denominator) for each class."""
        raise NotImplementedError


class Precision(ByClass):
    """right / predicted: how many of those that were said to be of a class are. See `ByClass` for the averages."""

    def formula(self, right: Any, predicted: Any, there: Any) -> tuple[Any, Any]:
        return right, predicted


class Recall(ByClass):
    """right / there: how many of those of a class were found. See `ByClass` for the averages."""

    def formula(self, right: Any, predicted: Any, there: Any) -> tuple[Any, Any]:
        return right, there


class F1(ByClass):
    """2 right / (predicted + there): the harmonic mean of precision and recall. See `ByClass` for the averages."""

    def formula(self, right: Any, predicted: Any, there: Any) -> tuple[Any, Any]:
        return 2 * right, predicted + there


@dataclass(frozen=True)
class ConfusionMatrix(Metric):
    """counts[i, j] of samples of class i that were said to be of class j: int64 (classes, classes)."""

    threshold: float = 0.5
    scalar = False

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        predicted, there = _classes(predictions, targets, self.threshold, self.name)
        return {"counts": ops.cast(ops.matmul(there, predicted, transpose_a=True), "int32")}

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> NDArray[np.int64]:
        return found["counts"].astype(np.int64)


@dataclass(frozen=True)
class R2(Metric):
    """1 - sum of (t - p) squared / sum of (t - mean of t) squared, for each output; the mean over outputs.

    The deviations of batches are merged around their own means (Chan, Golub, LeVeque 1983): nothing cancels where the
    targets lie far from 0. An output whose targets are all equal counts 0, as in Keras.
    """

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        errors = ops.reshape(_errors(predictions, targets, "r2"), (predictions.shape[0], -1))
        values = ops.reshape(ops.cast(targets, errors.dtype), errors.shape)
        mean = ops.mean(values, axis=0)
        return {
            "count": ops.full((), errors.shape[0], device=errors.device),
            "mean": ops.cast(mean, "float32"),
            "spread": ops.cast(ops.sum(ops.square(values - mean), axis=0), "float32"),
            "residual": ops.cast(ops.sum(ops.square(errors), axis=0), "float32"),
        }

    def merge(self, old: Statistics, new: Statistics) -> Statistics:
        count = old["count"] + new["count"]
        share, apart = new["count"] / count, new["mean"] - old["mean"]
        return {
            "count": count,
            "mean": old["mean"] + apart * share,
            "spread": old["spread"] + new["spread"] + ops.square(apart) * (old["count"] * share),
            "residual": old["residual"] + new["residual"],
        }

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> float:
        residual, spread = found["residual"].astype(np.float64), found["spread"].astype(np.float64)
        return float(np.mean(1 - np.divide(residual, spread, out=np.ones_like(spread), where=spread > 0)))


@dataclass(frozen=True)
class Perplexity(Metric):
    """exp(mean of -log p(label)): of how many classes a guess would be as uncertain.

    Predictions are those of `softmax_cross_entropy`: (batch, ..., classes), before the softmax.
    """

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        mean = losses.softmax_cross_entropy(predictions, targets)
        return {"total": ops.cast(mean, "float32") * predictions.shape[0]}

    def result(self, found: Mapping[str, NDArray[Any]], samples: int) -> float:
        return float(np.exp(float(found["total"]) / max(1, samples)))


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
        _errors(predictions, targets, "top_k_accuracy")
        targets = ops.argmax(targets, axis=-1)
    chosen = ops.one_hot(targets, predictions.shape[-1], dtype=predictions.dtype)
    score = ops.sum(ops.where(chosen > 0, predictions, 0.0), axis=-1, keepdims=True)
    larger = ops.sum(ops.where(predictions <= score, 0.0, 1.0), axis=-1)  # NaN is larger than any
    return _mean_by_sample(ops.cast(larger < k, predictions.dtype))


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of (predictions - targets) squared."""
    return _mean_by_sample(ops.square(_errors(predictions, targets, "mean_squared_error")))


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over a sample's outputs of |predictions - targets|."""
    return _mean_by_sample(ops.abs(_errors(predictions, targets, "mean_absolute_error")))


def metric(choice: MetricName | Metric | BySample, *, threshold: float = 0.5) -> Metric:
    """The metric that a name stands for, with this threshold; a `Metric` is itself, a function becomes its `Mean`."""
    if isinstance(choice, Metric):
        return choice
    if isinstance(choice, str) and choice in get_args(MetricName):
        return _named(choice, threshold)
    if callable(choice):
        return Mean(choice)
    raise ArgumentError(
        f"metric: got {choice!r}, wants a function (predictions, targets) -> (batch,), a metrics.Metric or one of "
        + ", ".join(get_args(MetricName))
    )


def _named(name: str, threshold: float) -> Metric:
    classes: list[type[Metric]] = [Precision, Recall, F1, ConfusionMatrix, R2, Perplexity]
    for kind in classes:
        made = kind(threshold=threshold) if issubclass(kind, ByClass | ConfusionMatrix) else kind()
        if made.name == name:
            return made
    if name == "accuracy":
        return Mean(partial(accuracy, threshold=threshold))
    return Mean(globals()[name])


def _classes(predictions: Tensor, targets: Tensor, threshold: float, who: str) -> tuple[Tensor, Tensor]:
    """(predicted, there) as rows of zeros with a one, float32 (samples, classes)."""
    classes = predictions.shape[-1] if predictions.ndim > 1 else 1
    if are_labels(predictions.shape, targets.shape, targets.dtype):
        there = targets
    elif predictions.shape != targets.shape:
        raise ShapeError(
            f"{who}: predictions have shape {predictions.shape}, targets {targets.shape} of {targets.dtype}; want one "
            f"shape, or integer labels of shape {predictions.shape[:-1]}"
        )
    else:
        there = ops.argmax(targets, axis=-1) if classes > 1 else ops.cast(targets, "float32") > 0.5
    predicted = ops.argmax(predictions, axis=-1) if classes > 1 else predictions > threshold
    rows = (ops.reshape(ops.cast(each, "int32"), (-1,)) for each in (predicted, there))
    first, second = (ops.one_hot(each, max(classes, 2)) for each in rows)
    return first, second


def _errors(predictions: Tensor, targets: Tensor, who: str) -> Tensor:
    if predictions.shape != targets.shape:
        raise ShapeError(f"{who}: predictions have shape {predictions.shape}, targets {targets.shape}; want one shape")
    return predictions - ops.cast(targets, predictions.dtype)


def _mean_by_sample(values: Tensor) -> Tensor:
    return values if values.ndim == 1 else ops.mean(values, axis=tuple(range(1, values.ndim)))
