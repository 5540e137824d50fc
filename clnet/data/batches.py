"""Batches: data that streams from the host, larger than the device's memory or than the host's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from clnet import tree
from clnet.errors import ArgumentError, ShapeError

Array = NDArray[Any]
Arrays: TypeAlias = Union[Array, "tuple[Arrays, ...]", "list[Arrays]", "dict[str, Arrays]"]


class Batches:
    """Pairs (x, y) of host arrays, every sample once an epoch, the last batch as small as it comes.

    x and y are arrays of one length (n, ...), or tuples, lists or dicts of them. A memory map (`np.load(path,
    mmap_mode="r")`, `np.memmap`) is read a batch at a time, forwards: the rows of a shuffled batch ascend.

    Each walk is the next epoch; the order is a function of (seed, epoch), so `at(epoch)` repeats any of them:

        batches = Batches(x, y, batch_size=128, seed=0)
        for xs, ys in batches: ...              # epoch 0, then `batches.epoch` is 1
        for xs, ys in batches.at(0): ...        # the same batches again
    """

    def __init__(self, x: Arrays, y: Arrays, *, batch_size: int = 32, shuffle: bool = True, seed: int = 0) -> None:
        lengths = {len(array) for array in _checked("x", x) + _checked("y", y)}
        if len(lengths) != 1:
            raise ShapeError(f"Batches: the arrays of x and y have {sorted(lengths)} samples, want one length")
        if batch_size < 1 or seed < 0:
            raise ArgumentError(f"Batches: batch_size={batch_size}, seed={seed}; want at least 1 and 0")
        self.x, self.y, self.batch_size, self.shuffle, self.seed = x, y, batch_size, shuffle, seed
        self.samples = lengths.pop()
        self.epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Arrays, Arrays]]:
        """The next epoch."""
        self.epoch += 1
        return self.at(self.epoch - 1)

    def at(self, epoch: int) -> Iterator[tuple[Arrays, Arrays]]:
        """The batches of that epoch, counted from 0."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.samples) if self.shuffle else None
        for start in range(0, self.samples, self.batch_size):
            stop = min(start + self.batch_size, self.samples)
            rows = slice(start, stop) if order is None else np.sort(order[start:stop])
            yield _take(self.x, rows), _take(self.y, rows)

    def __repr__(self) -> str:
        return f"Batches({len(self)} of {self.batch_size}, {self.samples} samples, epoch {self.epoch})"


def _is_leaf(nest: Any) -> bool:
    return not isinstance(nest, (tuple, list, dict))


def _take(nest: Arrays, rows: slice | NDArray[np.int64]) -> Any:
    leaves, structure = tree.flatten(nest, _is_leaf)
    return tree.unflatten(structure, iter([array[rows] for array in leaves]))


def _checked(name: str, nest: Arrays) -> list[Array]:
    """The arrays of the nest."""
    leaves, _ = tree.flatten(nest, _is_leaf)
    for array in leaves:
        if not isinstance(array, np.ndarray) or array.ndim == 0 or len(array) == 0:
            got = f"an array of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise ArgumentError(f"Batches: {name} holds {got}, wants arrays (n, ...) of at least one sample")
    return leaves
