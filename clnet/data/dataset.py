"""Dataset: what a network learns from, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clnet.errors import DataError

Array = NDArray[Any]
Task = Literal["classification", "regression"]


def representable(values: Array) -> NDArray[np.bool_]:
    """Where float32 holds the value: it is finite, and not too large."""
    fine: NDArray[np.bool_] = np.abs(values) <= np.finfo(np.float32).max
    return fine


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples to train on and samples held out, ready for `model.fit(*d.train, validation_data=d.test)`.

    x_train (n, ...), x_test (m, ...): float32; pictures are (n, height, width, channels) in [0, 1].
    y_train, y_test: int32 labels (n,) that index `classes`, or float32 values (n, outputs) to regress on.
    DataError if the arrays do not fit each other, if a label is out of range, or if there is nothing to train on.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...] | None
    task: Task

    def __post_init__(self) -> None:
        for part, (x, y) in {"train": self.train, "test": self.test}.items():
            if len(x) != len(y):
                raise DataError(f"{self.name}: x_{part} has {len(x)} samples, y_{part} has {len(y)}")
            if self.classes is not None and len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self.classes):
                raise DataError(
                    f"{self.name}: y_{part} has labels {y.min()} to {y.max()}, wants 0 to {len(self.classes) - 1}"
                )
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.y_train.shape[1:] != self.y_test.shape[1:]:
            raise DataError(
                f"{self.name}: a sample is {self.x_train.shape[1:]} -> {self.y_train.shape[1:]} in training,"
                f" {self.x_test.shape[1:]} -> {self.y_test.shape[1:]} in test; want the same"
            )
        if self.x_train.size == 0:
            raise DataError(f"{self.name}: x_train is {self.x_train.shape}: nothing to train on")

    @property
    def train(self) -> tuple[Array, Array]:
        """(x_train, y_train)."""
        return self.x_train, self.y_train

    @property
    def test(self) -> tuple[Array, Array]:
        """(x_test, y_test)."""
        return self.x_test, self.y_test

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x_train.shape[1:]

    @property
    def outputs(self) -> int:
        """Units that the last layer wants: one a class, or one a value to regress on."""
        return len(self.classes) if self.classes is not None else int(np.prod(self.y_train.shape[1:]))

    def __repr__(self) -> str:
        kind = f"{len(self.classes)} classes" if self.classes is not None else f"{self.outputs} outputs"
        return (
            f"Dataset({self.name!r}, {self.task}, {len(self.x_train)} + {len(self.x_test)} samples"
            f" of {self.input_shape}, {kind})"
        )
