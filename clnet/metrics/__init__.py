"""Metrics: what evaluation says of many samples, added up on the device.

A metric is a function (predictions (batch, ...), targets (batch, ...)) -> (batch,), whose mean is shown, or a `Metric`:
statistics that batches merge on the device, and a formula of them. Training shows it over the samples of an epoch,
before each batch's update; `Model.evaluate` over all. Sample weights do not count.

    model = clnet.Model(net, "softmax_cross_entropy", metrics=["accuracy", "f1", metrics.Recall("micro")])

Labels are integers (batch, ...) that index the last axis of the predictions; targets of the predictions' shape are
one-hot or probabilities. One output, (batch,) or (batch, 1), makes two classes: 1 is what lies above the threshold.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from clnet.errors import ArgumentError
from clnet.metrics.base import BySample, Mean, Metric
from clnet.metrics.by_class import F1, ByClass, ConfusionMatrix, Precision, Recall
from clnet.metrics.by_sample import accuracy, mean_absolute_error, mean_squared_error, top_k_accuracy
from clnet.metrics.of_values import R2, Perplexity

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
