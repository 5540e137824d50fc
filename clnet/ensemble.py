"""Ensemble: copies of a network that are trained at once, in one plan, and answer together."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from clnet.callbacks import History
from clnet.errors import ArgumentError, ShapeError
from clnet.model import Model, PrecisionName
from clnet.nn.layer import Layer, tree_map
from clnet.optim import Optimizer
from clnet.training.feed import Feed

Rows: TypeAlias = Sequence[Sequence[int]] | NDArray[Any]
How = Literal["mean", "vote", "each"]


class Ensemble(Model):
    """Copies of a network, each with a seed of its own, and hyperparameters if wanted; fit and evaluate as a `Model`.

    Network i has the bits of `Model(net, ..., seed=seeds[i])` trained alone: its weights, the order of its samples,
    its masks (sums of more than 16,384 numbers may be rounded otherwise). Losses and metrics, in `History` too, are
    arrays (copies,); progress and callbacks take their mean. Training ends with `DivergenceError` when every network's
    loss is no number any more, not before.

    copies: how many, by default as many as there are seeds or hyperparameters; seeds: by default 0, 1, 2, ...
    hyperparameters: a number for each copy, {"learning_rate": [0.1, 0.5], "l2": [0, 1e-4]}, of the optimizer's
    learning_rate, weight_decay, l1, l2. The net must have no variables yet; all its ops need a rule for many networks
    (`Op.stacked`), else the first step says which has none.
    """

    def __init__(
        self,
        net: Layer,
        loss: Any = None,
        optimizer: Optimizer | None = None,
        metrics: Any = (),
        *,
        copies: int | None = None,
        seeds: Sequence[int] | None = None,
        hyperparameters: Mapping[str, Sequence[float]] | None = None,
        loss_weights: Any = None,
        augmentation: Callable[..., Any] | None = None,
        precision: PrecisionName = "float32",
        device: object = None,
    ) -> None:
        given = {**({} if seeds is None else {"seeds": seeds}), **(hyperparameters or {})}
        counts = {len(values) for values in given.values()} | ({copies} if copies is not None else set())
        if len(counts) != 1 or min(counts) < 1:
            told = ", ".join(f"{len(values)} of {name}" for name, values in given.items())
            raise ArgumentError(f"Ensemble: copies={copies} and {told or 'nothing else'}; wants one number, 1 or more")
        if isinstance(net, Layer) and net.variables():
            raise ArgumentError(f"Ensemble: {net.name} has variables already, wants a network that was not built yet")
        self._blank = copy.deepcopy(net)
        self._rows: NDArray[np.int32] | None = None
        self.hyperparameters = {name: tuple(values) for name, values in (hyperparameters or {}).items()}
        more: dict[str, Any] = {"loss_weights": loss_weights, "augmentation": augmentation}
        more |= {"precision": precision, "device": device}
        chosen = tuple(range(counts.pop())) if seeds is None else tuple(int(seed) for seed in seeds)
        super().__init__(net, loss, optimizer, metrics, seed=chosen, **more)
        self.seeds = chosen
        self.optimizer.vary(self.hyperparameters)

    def fit(self, *args: Any, rows: Rows | None = None, **options: Any) -> History:
        """As `Model.fit`. rows (copies, n): the samples that each network sees, by number; by default all."""
        with _Seeing(self, rows):
            return super().fit(*args, **options)

    def evaluate(self, *args: Any, rows: Rows | None = None, **options: Any) -> dict[str, Any]:
        """Loss and metrics of each network, (copies, ...). rows (copies, n): the samples that each is judged by."""
        with _Seeing(self, rows):
            return super().evaluate(*args, **options)

    def predict(self, x: Any, *, batch_size: int = 256, how: How = "mean") -> Any:
        """What the networks say of x (samples, ...): "mean", their mean output; "each", (copies, samples, ...).

        "vote": the class that most of them name, int32 (samples, ...); the mean output decides between equals.
        """
        if how not in ("mean", "vote", "each"):
            raise ArgumentError(f"Ensemble.predict: how is {how!r}, wants 'mean', 'vote' or 'each'")
        each = self._outputs(x, batch_size, 1)
        functions: dict[str, Callable[[NDArray[Any]], Any]] = {"each": lambda y: y, "mean": _mean, "vote": vote}
        return tree_map(functions[how], each)

    def network(self, number: int) -> Model:
        """That network as a model of its own, to go on with: its weights, the optimizer's state, its epoch."""
        own = {name: values[number] for name, values in self.hyperparameters.items()}
        options = {name: getattr(self, name) for name in ("loss_weights", "augmentation", "precision")}
        optimizer = dataclasses.replace(self.optimizer, **cast("Any", own))
        net = copy.deepcopy(self._blank)
        model = Model(net, self.loss, optimizer, self.metrics, device=self.device, seed=self.seeds[number], **options)
        if self.net.signature is None:
            return model
        inputs, named = self.net.signature
        net.build_like(inputs, named, seed=self.seeds[number], device=self.device)
        theirs, state = self.net.variables(), self.optimizer.variables()
        if state:
            optimizer.build({path: each for path, each in net.variables().items() if each.trainable})
        pairs = [(each, theirs[path]) for path, each in net.variables().items()]
        pairs += [(each, state[path]) for path, each in optimizer.variables().items() if path in state]
        pairs += zip(model._scaled().values(), self._scaled().values(), strict=True)
        for each, of_all in pairs:
            values = of_all.numpy()
            each.assign(values if of_all.memory is of_all else values[number])
        model.epoch = self.epoch
        return model

    def _feed(self, data: Any, batch_size: int, who: str, *, shuffle: bool = False) -> Feed:
        return self._intake.feed(data, batch_size, who, shuffle=shuffle, rows=self._rows)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "hyperparameters": self.hyperparameters}

    @classmethod
    def _remake(cls, settings: Mapping[str, Any], **parts: Any) -> Ensemble:
        return cls(**parts, seeds=settings["seed"], hyperparameters=settings["hyperparameters"])

    @classmethod
    def load(cls, path: str | Path, *args: Any, **options: Any) -> Ensemble:
        """The ensemble that `save` wrote, as `Model.load`; an epoch that had been interrupted begins anew."""
        return cast("Ensemble", super().load(path, *args, **options))

    def _build_optimizer(self, arrays: dict[str, Any]) -> None:
        super()._build_optimizer(arrays)
        for name, each in self.optimizer.variables().items():
            if name in arrays and each.memory is each and arrays[name].ndim > each.ndim:
                each.stack(arrays[name])

    def _restore_meter(self, arrays: dict[str, Any]) -> None:
        self._steps.length = None


class _Seeing:
    """Meanwhile an ensemble's networks see only these rows of what they are given."""

    def __init__(self, ensemble: Ensemble, rows: Rows | None) -> None:
        self.ensemble = ensemble
        self.rows = None if rows is None else np.asarray(rows, np.int32)
        copies = len(ensemble.seeds)
        if self.rows is not None and (self.rows.ndim != 2 or len(self.rows) != copies or not self.rows.size):
            raise ShapeError(
                f"Ensemble: rows have shape {self.rows.shape}, want ({copies}, n): samples of each network"
            )

    def __enter__(self) -> None:
        self.ensemble._rows = self.rows

    def __exit__(self, *_: object) -> None:
        self.ensemble._rows = None


def _mean(each: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any] = each.mean(axis=0)
    return mean


def vote(each: NDArray[Any]) -> NDArray[np.int32]:
    """The class that most rows (networks, ..., classes) are largest at; among equals, that of the largest mean."""
    classes = each.shape[-1]
    if each.ndim < 3 or classes < 2:
        raise ShapeError(f"Ensemble.predict: outputs have shape {each.shape[1:]}, a vote wants (samples, ..., classes)")
    votes = (each.argmax(axis=-1)[..., None] == np.arange(classes)).sum(axis=0)
    among = np.where(votes == votes.max(axis=-1, keepdims=True), each.mean(axis=0), -np.inf)
    winners: NDArray[np.int32] = among.argmax(axis=-1).astype(np.int32)
    return winners
