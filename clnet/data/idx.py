"""IDX, the format of MNIST: a big-endian header of type and sizes, then the values in row-major order.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from clnet.data.files import opened, replacing, take
from clnet.errors import ArgumentError, DataError, DTypeError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(dtype).newbyteorder("="): code for code, dtype in DTYPES.items()}
DIMENSIONS = 32  # the most that every numpy takes; the format itself allows 255
ADDRESSABLE = 2**63 - 1  # bytes


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, plain or gzip, in the machine's byte order.

    uint8, int8, int16, int32, float32 or float64, of any shape. DataError if the file is not IDX, if its header
    promises more or fewer bytes than follow, or if its gzip data is damaged; memory is not taken on the header's word.
    """
    with opened(path) as file:
        dtype, shape = _header(file, path)
        wanted = math.prod(shape) * dtype.itemsize
        content = take(file, wanted + 1)  # one more: trailing bytes show, and gzip gets to check its sum
    if len(content) != wanted:
        got = f"only {len(content)} follow" if len(content) < wanted else "more follow"
        raise DataError(f"{path}: the header promises {dtype.name} of shape {shape}, {wanted} bytes; {got}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(file: IO[bytes], path: str | Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """dtype (big-endian) and shape: two zero bytes, a type, the number of dimensions, a uint32 for each."""
    magic = take(file, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        starts = f"starts with {bytes(magic)!r}" if magic else "is empty"
        raise DataError(f"{path}: {starts}; IDX starts with two zero bytes, then a type of 8, 9, 11, 12, 13 or 14")
    dtype, dimensions = np.dtype(DTYPES[magic[2]]), magic[3]
    if dimensions > DIMENSIONS:
        raise DataError(f"{path}: the header has {dimensions} dimensions, arrays have at most {DIMENSIONS}")
    sizes = take(file, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: ends within the header, after {len(sizes)} bytes of {dimensions} sizes")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(size or 1 for size in shape) * dtype.itemsize > ADDRESSABLE:  # numpy: of an empty array's sizes too
        raise DataError(f"{path}: the header's shape {shape} is larger than any memory")
    return dtype, shape


def write_idx(path: str | Path, array: NDArray[Any]) -> None:
    """Write the array as IDX, gzip if the name ends in `.gz`; the file is replaced in one step, or not at all.

    The same array gives the same bytes. DTypeError for a dtype that IDX has no code for.
    """
    array = np.asarray(array)
    code = CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise DTypeError(f"write_idx: array is {array.dtype}, IDX holds {', '.join(map(str, CODES))}")
    if array.ndim > DIMENSIONS or any(size >= 2**32 for size in array.shape):
        raise ArgumentError(f"write_idx: shape {array.shape}, IDX holds {DIMENSIONS} dimensions of less than 2**32")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    content = header + array.astype(DTYPES[code]).tobytes()
    with replacing(path) as file:
        file.write(gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)
