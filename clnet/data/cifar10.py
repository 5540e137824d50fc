"""CIFAR-10: 50,000 and 10,000 pictures of 32x32 in ten classes (Krizhevsky 2009), found here or downloaded once."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnet import cache
from clnet.data.dataset import Array, Dataset
from clnet.data.npz import read_npz
from clnet.errors import DataError, MissingExtraError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
SOURCE = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
PARTS = (tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",))
RECORD = 1 + 3 * 32 * 32  # bytes: a label, then red, green and blue, row by row
JPEG = ("train.npz", "test.npz")


def load() -> Dataset:
    """x float32 (n, 32, 32, 3) in [0, 1], y int32 (n,), with the set's own split.

    Looked for in `$CLNET_DATA/cifar10` and clnet's cache folder, as `cifar-10-binary.tar.gz`, or as train.npz and
    test.npz of JPEG pictures (`header` is what all have in common, picture i is header + bodies[offsets[i] :
    offsets[i + 1]], beside `labels` and `names`; Pillow reads them); then the archive is downloaded into the latter.
    """
    chosen = os.environ.get("CLNET_DATA")
    store = cache.folder() / "data" / "cifar10"
    for folder in ([Path(chosen) / "cifar10"] if chosen else []) + [store]:
        if (folder / ARCHIVE).is_file():
            return _of_archive(folder / ARCHIVE)
        if all((folder / name).is_file() for name in JPEG):
            return _dataset([_of_jpeg(folder / name) for name in JPEG])
    return _of_archive(_download(store, chosen))


def _dataset(parts: list[tuple[Array, Array]]) -> Dataset:
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset("cifar10", x_train, y_train, x_test, y_test, CLASSES, "classification")


def _of_archive(path: Path) -> Dataset:
    try:
        with tarfile.open(path) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            parts = []
            for names in PARTS:
                files = [archive.extractfile(members[name]) for name in names]
                parts.append(_of_records(b"".join(file.read() for file in files if file is not None)))
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        raise DataError(f"{path}: is not CIFAR-10's binary archive, or is damaged: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return _dataset(parts)


def _of_records(content: bytes) -> tuple[Array, Array]:
    """Pictures and labels of the binary version."""
    if len(content) % RECORD:
        raise ValueError(f"{len(content)} bytes are no whole number of records of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    pictures = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.divide(pictures, 255, dtype=np.float32), records[:, 0].astype(np.int32)


def _of_jpeg(path: Path) -> tuple[Array, Array]:
    """Pictures and labels of JPEG bodies behind one header."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError(f"{path} holds JPEG pictures; reading them", "data") from None
    arrays = read_npz(path)
    try:
        header, bodies, offsets = arrays["header"].tobytes(), arrays["bodies"].tobytes(), arrays["offsets"].tolist()
        names = [str(name) for name in arrays["names"]]
        labels = np.array([CLASSES.index(name) for name in names], np.int32)[arrays["labels"]]
        pictures: NDArray[np.float32] = np.empty((len(offsets) - 1, 32, 32, 3), np.float32)
        for number, (begin, end) in enumerate(itertools.pairwise(offsets)):
            with Image.open(io.BytesIO(header + bodies[begin:end])) as picture:
                pictures[number] = np.asarray(picture.convert("RGB"))
    except (KeyError, ValueError, OSError, IndexError) as error:
        raise DataError(f"{path}: does not hold CIFAR-10 as JPEG pictures: {error}") from error
    pictures /= 255
    return pictures, labels


def _download(store: Path, chosen: str | None) -> Path:
    here = f"$CLNET_DATA/cifar10 ({chosen}/cifar10)" if chosen else "$CLNET_DATA/cifar10 (not set)"
    try:
        import pooch  # here: it imports requests, and most runs download nothing
    except ImportError:
        raise MissingExtraError(f"cifar10 is not here (looked in {here}, {store}); its download", "data") from None
    try:
        return Path(pooch.retrieve(SOURCE, f"sha256:{SHA256}", ARCHIVE, store))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cifar10 is not on this machine and cannot be downloaded: {error}\n"
            f"  looked in {here} and {store}\n  Put {ARCHIVE} into FOLDER/cifar10 and set CLNET_DATA=FOLDER"
        ) from error
