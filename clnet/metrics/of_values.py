"""Metrics of values and of probabilities that are no mean over samples: R2, perplexity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import losses, ops
from clnet.metrics.base import Metric, Statistics
from clnet.metrics.by_sample import errors
from clnet.tensor import Tensor


@dataclass(frozen=True)
class R2(Metric):
    """1 - sum of (t - p) squared / sum of (t - mean of t) squared, for each output; the mean over outputs.

    The deviations of batches are merged around their own means (Chan, Golub, LeVeque 1983): nothing cancels where the
    targets lie far from 0. An output whose targets are all equal counts 0, as in Keras.
    """

    def statistics(self, predictions: Tensor, targets: Tensor) -> Statistics:
        difference = ops.reshape(errors(predictions, targets, "r2"), (predictions.shape[0], -1))
        values = ops.reshape(ops.cast(targets, difference.dtype), difference.shape)
        mean = ops.mean(values, axis=0)
        return {
            "count": ops.full((), difference.shape[0], device=difference.device),
            "mean": ops.cast(mean, "float32"),
            "spread": ops.cast(ops.sum(ops.square(values - mean), axis=0), "float32"),
            "residual": ops.cast(ops.sum(ops.square(difference), axis=0), "float32"),
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
