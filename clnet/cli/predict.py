"""clnet predict: what a saved model says of new samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import clnet
from clnet import data
from clnet.cli import options
from clnet.errors import DataError, ShapeError
from clnet.model import Model

Array = NDArray[Any]
NAMES = ("x", "x_test", "arr_0")  # of an npz file's samples, the first of them that is there
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("predict", short_help="Say what a saved model makes of new samples.")
@click.argument("model", type=EXISTING)
@click.argument("file", type=EXISTING)
@click.option("--probabilities", is_flag=True, help="Print every class's probability beside the class.")
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True, metavar="N")
@options.device
@options.as_json
def command(
    model: Path, file: Path, probabilities: bool, batch_size: int, device: clnet.Device | None, as_json: bool
) -> None:
    """Print what MODEL, as `clnet train --save` wrote it, says of each sample in FILE, one a line.

    FILE is .npz (its array x, x_test or the only one), .npy, .csv (without the target's column), or IDX, plain or gzip.
    """
    trained = Model.load(model, device=clnet.device(device))
    outputs = trained.predict(fitted(trained, samples(file), file), batch_size=batch_size)
    record = record_of(trained, outputs)
    if as_json:
        options.echo_json({key: values.tolist() for key, values in record.items()})
    else:
        shown = [values for name, values in record.items() if probabilities or name != "probabilities"]
        for row in zip(*shown, strict=True):
            click.echo(" ".join(cell(value) for values in row for value in np.ravel(values)))


def samples(file: Path) -> Array:
    """The inputs in a file: float32 (n, ...), pictures of bytes scaled to [0, 1] as `data.load` does."""
    kind = Path(file.name.removesuffix(".gz")).suffix.lower()
    if kind in (".csv", ".tsv", ".txt"):
        return data.read_csv(file, target=None).x
    array = _npz(file) if kind == ".npz" else _npy(file) if kind == ".npy" else data.read_idx(file)
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(f"{file}: holds {array.dtype} of shape {array.shape}, wants numbers (n, ...)")
    if array.dtype == np.uint8 and array.ndim > 2:
        return np.divide(array, 255, dtype=np.float32)
    return array.astype(np.float32)


def fitted(model: Model, array: Array, file: Path) -> Array:
    """The samples in the shape that the network was built for; a CSV file's rows may be pictures."""
    assert model.net.signature is not None
    shape = model.net.signature[0][0].shape[1:]
    if array[0:1].size != math.prod(shape):
        raise ShapeError(f"{file}: a sample has shape {array.shape[1:]}, the model wants {shape}")
    return array.reshape(-1, *shape)


def record_of(model: Model, outputs: Array) -> dict[str, Array]:
    """Classes and probabilities of a model that was trained for accuracy, else its outputs as values."""
    if "accuracy" not in model.metrics:
        return {"values": outputs}
    if model.loss == "softmax_cross_entropy":
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    elif model.loss == "sigmoid_cross_entropy":
        outputs = 1 / (1 + np.exp(-outputs))
    return {"classes": outputs.argmax(axis=1), "probabilities": outputs}


def cell(value: Any) -> str:
    return str(value) if isinstance(value, np.integer) else f"{value:.4g}"


def _npz(file: Path) -> Array:
    arrays = data.read_npz(file)
    known = [name for name in NAMES if name in arrays]
    if not known and len(arrays) != 1:
        raise DataError(f"{file}: holds {', '.join(arrays) or 'nothing'}; wants an array named x, or one alone")
    return arrays[known[0] if known else next(iter(arrays))]


def _npy(file: Path) -> Array:
    try:
        array: Array = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{file}: not an npy file: {error}") from error
    return array
