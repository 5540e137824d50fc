"""Targets: the column or array that a network shall predict, as labels of classes or as values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet.data.dataset import Task
from clnet.errors import DataError

MOST_CLASSES = 100  # of a column of numbers that nobody declared; text and integer arrays may have more


def encode(values: NDArray[Any], task: Task) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """(y, classes): int32 (n,) and the names of the classes in sorted order, or float32 (n, outputs) and None.

    values (n,) or (n, outputs): numbers, or text where they are classes. Labels are numbered from 0 in sorted order, so
    that 0 to 9 stay as they are and -1, 1 become 0, 1.
    """
    columns = values.reshape(len(values), -1) if len(values) else np.empty((0, 1), values.dtype)
    if task == "regression":
        if columns.dtype.kind not in "biuf":
            raise DataError(f"regression wants numbers to learn, got {columns.dtype}")
        return columns.astype(np.float32), None
    if columns.shape[1] != 1 or columns.dtype.kind not in "biufUS":
        raise DataError(f"classification wants one label a sample, got {values.dtype} of shape {values.shape}")
    kinds, labels = np.unique(columns[:, 0], return_inverse=True)
    return labels.astype(np.int32), tuple(_name(kind) for kind in kinds.tolist())


def of_array(values: NDArray[Any]) -> Task:
    """What an array's dtype says: one column of integers, booleans or text are classes, all else values."""
    return "classification" if values.dtype.kind in "biuUS" and values.size == len(values) else "regression"


def of_numbers(values: NDArray[np.float64]) -> Task:
    """What numbers without a type say: a few whole ones that repeat are classes, all else values."""
    kinds = np.unique(values)
    few = len(kinds) <= min(MOST_CLASSES, len(values) // 2)
    return "classification" if few and bool(np.all(kinds == np.floor(kinds))) else "regression"


def _name(kind: Any) -> str:
    if isinstance(kind, bytes):
        return kind.decode(errors="replace")
    return str(int(kind)) if isinstance(kind, float) and kind.is_integer() else str(kind)
