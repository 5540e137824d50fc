"""The catalogue: data sets by name, and from files of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnet.data import cifar10, mnist, targets
from clnet.data.dataset import Array, Dataset, Task, representable
from clnet.data.npz import read_npz
from clnet.data.splits import split
from clnet.data.table import read_csv
from clnet.errors import DataError

NAMED = {source.name: source for source in (mnist.MNIST, mnist.FASHION_MNIST)}
NAMES = ("digits", *NAMED, "cifar10")
FOUR, TWO = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")
DIGITS = Path(__file__).with_name("digits.npz")


def load(
    source: str | Path,
    *,
    target: int | str = -1,
    task: Task | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """The data set of that name ("digits", "mnist", "fashion-mnist", "cifar10"), or that a `.npz` or `.csv` file holds.

    digits: 1,438 and 359 pictures (8, 8, 1), a fixed stratified split. mnist, fashion-mnist: 60,000 and 10,000 pictures
    (28, 28, 1); cifar10: 50,000 and 10,000 (32, 32, 3). Where they are found say the functions `load` of their modules,
    `clnet.data.mnist` and `clnet.data.cifar10`. They have their own split and labels; the options are for files.

    npz: x_train, y_train, x_test, y_test as Keras names them, or x, y to be split. uint8 pictures (n, height, width) or
    (n, height, width, channels) become [0, 1], other numbers stay. One column of integers, booleans or text is labels.
    csv (also .tsv, .txt, and .gz of these): see `read_csv` for `target`, and for what is a label without `task`.
    `test_fraction` of the samples, shuffled by `seed` and stratified by class, are held out.
    """
    name, path = str(source), Path(source)
    kind = Path(name.removesuffix(".gz")).suffix.lower()
    if name == "digits":
        return _digits()
    if name in NAMED:
        return mnist.load(NAMED[name])
    if name == "cifar10":
        return cifar10.load()
    if kind == ".npz":
        data = _from_npz(path, task)
    elif kind in (".csv", ".tsv", ".txt"):
        data = _from_csv(path, target, task)
    else:
        raise DataError(f"load: {name!r} is none of {', '.join(NAMES)}, nor the name of an .npz or .csv file")
    return data if len(data.x_test) else _held_out(data, test_fraction, seed)


def _digits() -> Dataset:
    arrays = read_npz(DIGITS)
    x = np.divide(arrays["x"][..., np.newaxis], 16, dtype=np.float32)
    return _held_out(_whole("digits", x, *targets.encode(arrays["y"], "classification"), "classification"), 0.2, 0)


def _from_csv(path: Path, target: int | str, task: Task | None) -> Dataset:
    table = read_csv(path, target=target, task=task)
    return _whole(path.stem, table.x, table.y, table.classes, table.task)


def _from_npz(path: Path, task: Task | None) -> Dataset:
    arrays = read_npz(path)
    try:
        xs, ys = _pairs(arrays)
        task = task or targets.of_array(ys[0])
        y, classes = targets.encode(np.concatenate(ys), task)
        if len(xs) == 1:
            return _whole(path.stem, xs[0], y, classes, task)
        y_train, y_test = np.split(y, [len(ys[0])])
        return Dataset(path.stem, xs[0], y_train, xs[1], y_test, classes, task)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _pairs(arrays: dict[str, Array]) -> tuple[list[Array], list[Array]]:
    """The inputs, scaled, and the raw targets: of training and test, or of all samples."""
    keys = next((keys for keys in (FOUR, TWO) if arrays.keys() >= set(keys)), None)
    if keys is None:
        raise DataError(f"holds {', '.join(arrays) or 'nothing'}; wants {', '.join(FOUR)}, or {', '.join(TWO)}")
    for key in keys:
        if arrays[key].dtype.kind == "f" and not (fine := representable(arrays[key])).all():
            first = tuple(map(int, np.argwhere(~fine)[0]))
            raise DataError(f"{key} has {np.sum(~fine)} values that are not finite float32 numbers, first at {first}")
    xs, ys = [_inputs(key, arrays[key]) for key in keys[::2]], [arrays[key] for key in keys[1::2]]
    if min(y.ndim for y in ys) == 0 or len({y.shape[1:] for y in ys}) > 1:
        raise DataError(f"targets have shapes {' and '.join(str(y.shape) for y in ys)}, want (n,) or (n, outputs)")
    return xs, ys


def _inputs(key: str, array: Array) -> NDArray[np.float32]:
    """float32, pictures of bytes scaled to [0, 1]."""
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(f"{key} is {array.dtype} of shape {array.shape}, wants numbers (n, features) or pictures")
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        return np.divide(array, 255, dtype=np.float32)
    return array.astype(np.float32)


def _whole(name: str, x: Array, y: Array, classes: tuple[str, ...] | None, task: Task) -> Dataset:
    """All samples to train on, none held out."""
    return Dataset(name, x, y, x[:0], y[:0], classes, task)


def _held_out(data: Dataset, fraction: float, seed: int) -> Dataset:
    train, test = split(*data.train, fraction=fraction, seed=seed, stratify=data.task == "classification")
    return Dataset(data.name, *train, *test, data.classes, data.task)
