"""MNIST and the sets of its form: four IDX files, found on this machine or downloaded once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np

from clnet import cache
from clnet.data.dataset import Array, Dataset
from clnet.data.idx import read_idx
from clnet.errors import DataError, MissingExtraError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHARED = Path("/usr/share/datasets")  # Debian's place for data sets


@dataclass(frozen=True)
class Source:
    """A data set in MNIST's form."""

    name: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]  # folders that hold FILES, each with `.gz`
    sha256: tuple[str, ...]  # of those four
    package: str = ""  # Debian's


MNIST = Source(  # LeCun, Cortes, Burges 1998; 60,000 and 10,000 pictures of 28x28
    "mnist",
    tuple("0123456789"),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
FASHION_MNIST = Source(  # Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747; MIT licence
    "fashion-mnist",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    "dataset-fashion-mnist",
)


def load(source: Source) -> Dataset:
    """x float32 (n, height, width, 1) in [0, 1], y int32 (n,), in the files' order and with their split.

    The files are looked for in `$CLNET_DATA/<name>`, `/usr/share/datasets/<name>` and clnet's cache folder, plain or
    gzip, then downloaded into the latter. DataError says where it looked, MissingExtraError that pooch is missing.
    """
    x_train, y_train, x_test, y_test = locate(source)
    return Dataset(
        source.name,
        _pictures(x_train),
        _labels(y_train),
        _pictures(x_test),
        _labels(y_test),
        source.classes,
        "classification",
    )


def _pictures(path: Path) -> Array:
    pixels = read_idx(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(f"{path}: holds {pixels.dtype} of shape {pixels.shape}, wants uint8 (n, height, width)")
    scaled: Array = np.divide(pixels[..., np.newaxis], 255, dtype=np.float32)
    return scaled


def _labels(path: Path) -> Array:
    labels = read_idx(path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(f"{path}: holds {labels.dtype} of shape {labels.shape}, wants uint8 (n,)")
    return labels.astype(np.int32)


def locate(source: Source) -> list[Path]:
    """The four files, in the order of FILES, from the first place that has them all."""
    chosen = os.environ.get("CLNET_DATA")
    store = cache.folder() / "data" / source.name
    looked = [] if chosen else ["CLNET_DATA is not set"]
    for folder in ([Path(chosen) / source.name] if chosen else []) + [SHARED / source.name, store]:
        paths = [path for file in FILES if (path := _present(folder / file))]
        if len(paths) == len(FILES):
            return paths
        looked.append(f"{folder} has {len(paths)} of the 4 files")
    return _download(source, store, looked)


def _present(path: Path) -> Path | None:
    """That file, plain or gzip."""
    return next((each for each in (path, path.with_name(f"{path.name}.gz")) if each.is_file()), None)


def _download(source: Source, store: Path, looked: list[str]) -> list[Path]:
    """The four files in `store`, each from the first mirror that gives it with the right sha256."""
    try:
        import pooch  # here: it imports requests, and most runs download nothing
    except ImportError:
        raise MissingExtraError(f"{source.name} is not here ({'; '.join(looked)}); its download", "data") from None
    paths = []
    for file, sha256 in zip(FILES, source.sha256, strict=True):
        for mirror in source.mirrors:
            try:
                paths.append(Path(pooch.retrieve(f"{mirror}{file}.gz", f"sha256:{sha256}", f"{file}.gz", store)))
                break
            except (OSError, ValueError) as error:  # no network, a full disk; another sum
                looked.append(shorten(f"{mirror}{file}.gz: {type(error).__name__}: {error}", 200, placeholder=" ..."))
        else:
            raise DataError(_not_found(source, looked))
    return paths


def _not_found(source: Source, looked: list[str]) -> str:
    apt = f", or: apt-get install {source.package}" if source.package else ""
    return "\n  ".join(
        [
            f"{source.name} is not on this machine and cannot be downloaded; looked in:",
            *looked,
            f"Put {', '.join(FILES)} (plain or .gz) into FOLDER/{source.name} and set CLNET_DATA=FOLDER{apt}",
        ]
    )
