"""Arrays of the user's as a model takes them: nests of tuples and dicts, every leaf (samples, ...), checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import tree
from clnet.device import Device
from clnet.errors import ArgumentError, DataError, DTypeError, ShapeError
from clnet.nn.layer import tree_map
from clnet.tensor import Tensor


def is_array(value: Any) -> bool:
    """What a nest of data has for leaves."""
    return isinstance(value, (np.ndarray, Tensor))


def host(nest: Any, who: str) -> Any:
    """The nest with every leaf an array that kernels can take: float32, int32, uint8 or bool; a Tensor stays.

    float16 and float64 become float32, other integers int32. `DTypeError` for anything else, `DataError` for NaN and
    for integers beyond int32.
    """
    if isinstance(nest, dict):
        return {key: host(value, f"{who}[{key!r}]") for key, value in nest.items()}
    if isinstance(nest, tuple):
        return tuple(host(value, f"{who}[{number}]") for number, value in enumerate(nest))
    if isinstance(nest, Tensor):
        return nest
    try:
        return _host(np.asarray(nest), who)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{who}: {error}") from error


def _host(array: NDArray[Any], who: str) -> NDArray[Any]:
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        if array.size and np.isnan(array.min()):
            sample = int(np.argwhere(np.isnan(array))[0][0]) if array.ndim else 0
            raise DataError(f"{who}: sample {sample} contains NaN")
        return array
    if array.dtype in (np.uint8, np.bool_):
        return array
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{who}: got dtype {array.dtype}, wants numbers")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise DataError(f"{who}: integers go from {array.min()} to {array.max()}, want those of int32")
    return array.astype(np.int32, copy=False)


def samples_of(nest: Any, who: str = "data") -> int:
    """How many samples the leaves of a nest have; `ShapeError` unless all have equally many, `DataError` for none."""
    leaves, _ = tree.flatten(nest, is_array)
    counts = {leaf.shape[0] if leaf.shape else None for leaf in leaves if is_array(leaf)}
    if len(counts) != 1 or None in counts:
        got = ", ".join(str(leaf.shape) for leaf in leaves)
        raise ShapeError(f"{who}: got arrays of shapes {got}; wants (samples, ...) each, equally many samples")
    samples = int(counts.pop())  # type: ignore[arg-type]
    if not samples:
        raise DataError(f"{who}: there are no samples")
    return samples


def take(nest: Any, rows: Any) -> Any:
    """The nest with array[rows] for every host array."""
    leaves, structure = tree.flatten(nest, is_array)
    return tree.unflatten(structure, iter([leaf[rows] for leaf in leaves]))


def padded(nest: Any, samples: int) -> Any:
    """The nest with zeros after the samples that each host array has, so that it has so many."""
    leaves, structure = tree.flatten(nest, is_array)
    grown = [np.pad(leaf, [(0, samples - len(leaf))] + [(0, 0)] * (leaf.ndim - 1)) for leaf in leaves]
    return tree.unflatten(structure, iter(grown))


def fits(nest: Any, device: Device) -> bool:
    """Whether the device has room for these arrays beside a network: half its memory, each in one buffer."""
    sizes: list[int] = [leaf.nbytes for leaf in tree.flatten(nest, is_array)[0]]
    return sum(sizes) <= device.facts.memory // 2 and max(sizes) <= device.facts.max_allocation


def split(data: Any, part: float) -> tuple[Any, Any]:
    """(x, y, weights) before the last `part` of the samples, and that part."""
    if not 0 < part < 1:
        raise ArgumentError(f"fit: validation_split is {part}, wants a number between 0 and 1")
    if data[1] is None:
        raise ArgumentError("fit: validation_split wants arrays x and y, not batches")
    data = tuple(None if each is None else tree_map(np.asarray, host(each, "fit")) for each in data)
    samples = samples_of(tuple(each for each in data if each is not None), "fit")
    first = samples - int(samples * part)
    if first in (0, samples):
        raise DataError(f"fit: validation_split {part} of {samples} samples leaves none on one side")
    before, after = (take(data, rows) for rows in (slice(None, first), slice(first, None)))
    return before, after


def weighted(y: Any, weights: Any, factors: Mapping[int, float]) -> NDArray[np.float32]:
    """Sample weights (samples,) times the factor of each sample's label; 1 where none is given."""
    labels = np.asarray(y) if is_array(y) or isinstance(y, list) else np.empty(0)
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)):
        raise ArgumentError(f"fit: class_weight wants integer labels (samples,), got {type(y).__name__}")
    known = {int(label): float(factor) for label, factor in factors.items()}
    found = np.array([known.get(int(label), 1.0) for label in labels.reshape(-1)], np.float32)
    return found if weights is None else found * np.asarray(weights, np.float32)
