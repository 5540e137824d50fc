"""Metric: statistics that batches merge on the device, and a formula of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray

from clnet import ops
from clnet.errors import ShapeError
from clnet.tensor import Tensor

BySample: TypeAlias = Callable[..., Tensor]
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
