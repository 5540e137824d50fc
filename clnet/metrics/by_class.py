"""Metrics of classes: precision, recall, F1, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.losses import are_labels
from clnet.metrics.base import Metric, Statistics
from clnet.tensor import Tensor

Average = Literal["auto", "binary", "macro", "micro"]


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
