"""npz, NumPy's archive of named arrays, read without trusting it: no pickles, no allocation on a header's word."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from clnet.errors import DataError

EXPANSION = 1032  # deflate's largest: 258 bytes from 2 bits


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file by name, in the machine's byte order.

    DataError if the file is not npz, is damaged, holds Python objects (pickles are never run), or if a header's shape
    does not fit the bytes that follow.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {Path(info.filename).stem: _array(archive, info) for info in archive.infolist()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: not an npz archive, or a damaged one: {error}") from error
    except Exception as error:  # zipfile and numpy raise a dozen types on damaged bytes, tokenize's among them
        raise DataError(f"{path}: damaged: {type(error).__name__}: {error}") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as file:
        shape, dtype = _header(file)
        held, promised = info.file_size - file.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise DataError(f"{info.filename} holds Python objects, wants numbers or text; pickles are not run")
    if promised != held or info.file_size > EXPANSION * info.compress_size + EXPANSION:
        raise DataError(f"{info.filename} promises {promised} bytes, {dtype} of shape {shape}; {held} follow")
    with archive.open(info) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an npy member."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
