"""Objective: what training makes small and what it shows, over one output of a network or several."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import losses, metrics, ops
from clnet.errors import ArgumentError, DataError, ShapeError
from clnet.metrics.base import Metric, Statistics
from clnet.tensor import Tensor


@dataclass(frozen=True)
class Objective:
    """The weighted sum of the outputs' losses, and their metrics.

    A network's outputs are a tensor, a tuple or a dict. `loss`: a name or a function for every output, or a tuple or a
    dict of them like the outputs. `metrics`: a list of names and functions for every output, or a dict or tuple of
    lists. `loss_weights`: a factor for every loss, or a tuple, list or dict of them.
    """

    loss: Any
    metrics: Any = ()
    loss_weights: Any = None

    def __post_init__(self) -> None:
        for choice in _all(self.loss):
            losses.loss(choice)
        for choice in _all(self.metrics):
            metrics.metric(choice)

    def total(self, predictions: Any, targets: Any, weights: Tensor | None) -> Tensor:
        """Loss of a batch, shape (): the mean over its samples."""
        factors = tuple(self.loss_weights) if isinstance(self.loss_weights, list) else self.loss_weights
        terms = []
        for name, prediction, target in pairs(predictions, targets):
            function = losses.loss(_of(self.loss, name, "loss"))
            if weights is not None and not _takes_weights(function):
                raise ArgumentError(f"loss {_name(function)}: takes no weights, but there are sample weights")
            term = function(prediction, target) if weights is None else function(prediction, target, weights=weights)
            if not isinstance(term, Tensor) or term.shape != ():
                got = getattr(term, "shape", type(term).__name__)
                raise ShapeError(f"loss {_name(function)}: gave {got}, wants a tensor of shape (), the batch's mean")
            terms.append(term if factors is None else term * float(_of(factors, name, "loss_weights")))
        return functools.reduce(ops.add, terms)

    def named(self, outputs: Any, *, scalar: bool = False) -> dict[str, tuple[Any, Metric]]:
        """Name -> (output, metric) for a nest of outputs, or of their shapes; with `scalar`, of one number only."""
        found: dict[str, tuple[Any, Metric]] = {}
        is_lone = _is_shape(outputs) or isinstance(outputs, Tensor)
        for output in [None] if is_lone else outputs if isinstance(outputs, dict) else range(len(outputs)):
            for metric in _metrics(self._chosen(output), _of(self.loss, output, "loss")):
                name = metric.name if output is None else f"{output}_{metric.name}"
                if name in found:
                    raise ArgumentError(f"metrics: two are called {name!r}")
                if metric.scalar or not scalar:
                    found[name] = output, metric
        return found

    def _chosen(self, output: Any) -> Any:
        """The metrics of an output: a dict has them by name, a tuple of lists by number; a flat list is for each."""
        nested = isinstance(self.metrics, (list, tuple)) and any(isinstance(e, (list, tuple)) for e in self.metrics)
        by_output = isinstance(self.metrics, dict) or nested
        return _of(self.metrics, output, "metrics") if by_output else self.metrics

    def measure(self, predictions: Any, targets: Any, *, scalar: bool) -> dict[str, tuple[Metric, Statistics]]:
        """Name -> (metric, what a batch says)."""
        given = {name: (prediction, target) for name, prediction, target in pairs(predictions, targets)}
        wanted = self.named(predictions, scalar=scalar).items()
        return {name: (metric, metric.statistics(*given[output])) for name, (output, metric) in wanted}


def pairs(
    outputs: Any, targets: Any, is_nest: Callable[[Any], bool] = lambda value: isinstance(value, (tuple, list, dict))
) -> list[tuple[Any, Any, Any]]:
    """(name, output, target) of each output; the name is None for a lone one, else its key or its number."""
    if not is_nest(outputs):
        if isinstance(targets, (tuple, list, dict)):
            raise ShapeError(f"targets: got {len(targets)} of them, the network has one output")
        return [(None, outputs, targets)]
    named = dict(outputs) if isinstance(outputs, dict) else dict(enumerate(outputs))
    wanted = targets if isinstance(targets, dict) else dict(enumerate(targets)) if is_nest(targets) else None
    if wanted is None or wanted.keys() != named.keys():
        got = type(targets).__name__ if wanted is None else f"those of {list(wanted)}"
        raise ShapeError(f"targets: got {got}, the network's outputs are {list(named)}")
    return [(name, output, wanted[name]) for name, output in named.items()]


def check_labels(outputs: Any, targets: Any, who: str) -> None:
    """`DataError` for a label that is no output's number. outputs: nest of shapes (batch, ...); targets: of arrays."""
    for name, shape, labels in pairs(outputs, targets, lambda value: not _is_shape(value)):
        labels = np.asarray(labels)
        like = (*shape[:1], *labels.shape[1:])
        if labels.size and shape[-1] > 1 and losses.are_labels(shape, like, labels.dtype):
            _check_range(labels, shape[-1], f"{who}: y" if name is None else f"{who}: y[{name!r}]")


def _check_range(labels: NDArray[Any], classes: int, who: str) -> None:
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        wrong = lowest if lowest < 0 else highest
        sample = int(np.argwhere(labels == wrong)[0][0])
        wanted = f"the network's {classes} outputs want 0 to {classes - 1}"
        raise DataError(f"{who} has label {wrong} (sample {sample}), {wanted}")


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(extent, int) for extent in value)


def _of(choices: Any, output: Any, what: str) -> Any:
    """The part of a tuple or dict that is for this output; anything else is for every one."""
    if output is None or not isinstance(choices, (tuple, dict)):
        return choices
    try:
        return choices[output]
    except (KeyError, IndexError):
        raise ArgumentError(f"{what}: has none for output {output!r}") from None


def _all(choices: Any) -> list[Any]:
    """The choices in a nest."""
    if isinstance(choices, dict):
        choices = list(choices.values())
    return [each for part in choices for each in _all(part)] if isinstance(choices, (tuple, list)) else [choices]


def _metrics(choices: Any, loss: Any) -> list[Metric]:
    """The metrics of an output; where the loss applies the sigmoid itself, it is 0.5 where predictions are 0."""
    threshold = 0.0 if losses.loss(loss) is losses.sigmoid_cross_entropy else 0.5
    return [metrics.metric(choice, threshold=threshold) for choice in _all(choices)]


def _takes_weights(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters
    return "weights" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _name(choice: Any) -> str:
    if isinstance(choice, str):
        return choice
    return getattr(choice.func if isinstance(choice, functools.partial) else choice, "__name__", type(choice).__name__)
