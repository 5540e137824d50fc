"""Search: which hyperparameters are best, and how well a network does on what it has not seen; all networks at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet.callbacks import RISING
from clnet.ensemble import Ensemble
from clnet.errors import ArgumentError
from clnet.model import Model
from clnet.nn.layer import Layer
from clnet.training.arrays import host, samples_of


@dataclass(frozen=True, eq=False)
class GridSearch:
    """What `grid_search` found: `settings` of each network, its `results` after the last epoch, the `ensemble`."""

    ensemble: Ensemble
    settings: Sequence[Mapping[str, float]]
    results: Mapping[str, NDArray[Any]]

    def ranked(self, name: str = "val_loss") -> list[int]:
        """The networks, the best first: the largest of an accuracy, F1, ..., the smallest of a loss; NaN comes last."""
        if name not in self.results:
            raise ArgumentError(f"GridSearch: has no {name!r}, has {', '.join(self.results)}")
        values = self.results[name]
        return [int(i) for i in np.argsort(-values if any(each in name for each in RISING) else values, kind="stable")]

    def best(self, name: str = "val_loss") -> Model:
        """The best network, as a model of its own."""
        return self.ensemble.network(self.ranked(name)[0])

    def table(self, name: str = "val_loss") -> str:
        """A line a network, the best first."""
        lines = []
        for i in self.ranked(name):
            chosen = "  ".join(f"{key} {value:<8g}" for key, value in self.settings[i].items())
            lines.append(f"{chosen}  {'  '.join(f'{key} {values[i]:.4f}' for key, values in self.results.items())}")
        return "\n".join(lines)


def grid_search(
    net: Layer,
    x: Any,
    y: Any,
    *,
    grid: Mapping[str, Sequence[float]],
    seed: int = 0,
    loss: Any,
    optimizer: Any = None,
    metrics: Any = (),
    device: object = None,
    verbose: Any = 0,
    **fit: Any,
) -> GridSearch:
    """Train a network for every combination of the grid's numbers, all in one plan: {"learning_rate": [0.1, 0.5], ...}.

    grid: as `Ensemble`'s hyperparameters. All start from the same weights and see the same batches, by `seed`; fit:
    what `Model.fit` takes, such as epochs, batch_size and validation_data.
    """
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if not grid or not settings:
        raise ArgumentError(f"grid_search: grid is {dict(grid)}, wants numbers for at least one hyperparameter")
    numbers = {name: [each[name] for each in settings] for name in grid}
    ensemble = Ensemble(
        net, loss, optimizer, metrics, seeds=[seed] * len(settings), hyperparameters=numbers, device=device
    )
    history = ensemble.fit(x, y, verbose=verbose, **fit)
    return GridSearch(ensemble, settings, {name: np.asarray(each[-1]) for name, each in history.history.items()})


def cross_validate(
    net: Layer,
    x: Any,
    y: Any,
    *,
    folds: int = 5,
    seed: int = 0,
    loss: Any,
    optimizer: Any = None,
    metrics: Any = (),
    device: object = None,
    verbose: Any = 0,
    **fit: Any,
) -> dict[str, NDArray[Any]]:
    """{"loss": (folds,), metric: (folds, ...)} of networks on the fold that each of them has not been trained on.

    The samples are shuffled by `seed`; each fold has samples // folds of them, and what remains is in no fold and
    always trained on. All networks start from the same weights, and are trained in one plan. fit: what `Model.fit`
    takes, such as epochs and batch_size.
    """
    samples = samples_of((host(x, "cross_validate: x"), host(y, "cross_validate: y")), "cross_validate")
    size = samples // folds if folds > 1 else 0
    if not size:
        raise ArgumentError(f"cross_validate: folds={folds} of {samples} samples, wants 2 or more of 1 or more each")
    order = np.random.default_rng(seed).permutation(samples)
    held = order[: size * folds].reshape(folds, size)
    rest = np.stack([np.concatenate([order[: i * size], order[(i + 1) * size :]]) for i in range(folds)])
    ensemble = Ensemble(net, loss, optimizer, metrics, seeds=[seed] * folds, device=device)
    ensemble.fit(x, y, rows=rest, verbose=verbose, **fit)
    return ensemble.evaluate(x, y, rows=held)
