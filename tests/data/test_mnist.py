"""Data sets in MNIST's form: found in the order promised, downloaded once, or a message that helps."""

import functools
import hashlib
import http.server
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from clnet.data import mnist, split, write_idx
from clnet.errors import DataError, MissingExtraError


def put(folder, value=0, suffix="", images=(4, 3, 2)):
    """A small set in that folder, all of whose pixels are the value."""
    folder.mkdir(parents=True)
    for file in mnist.FILES:
        array = np.full(images, value, np.uint8) if "images" in file else np.arange(4, dtype=np.uint8)
        write_idx(folder / f"{file}{suffix}", array)
    return folder


@pytest.fixture
def places(tmp_path, monkeypatch):
    """CLNET_DATA, Debian's folder and the cache, all empty; a source without mirrors."""
    monkeypatch.setenv("CLNET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "SHARED", tmp_path / "shared")
    return [tmp_path / "data" / "toy", tmp_path / "shared" / "toy", tmp_path / "cache" / "data" / "toy"]


def source(mirrors=(), sha256=("",) * 4):
    return mnist.Source("toy", ("a", "b", "c", "d"), mirrors, sha256, "dataset-toy")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_first_place_that_has_all_files_is_taken(places, suffix):
    for value, place in ((0, places[2]), (51, places[1]), (255, places[0])):
        put(place, value, suffix)
        data = mnist.load(source())
        assert np.unique(data.x_train) == np.float32(value / 255)
    assert data.x_test.shape == (4, 3, 2, 1)
    assert (data.x_train.dtype, data.y_test.dtype, data.y_test.tolist()) == (np.float32, np.int32, [0, 1, 2, 3])
    assert (data.task, data.classes) == ("classification", ("a", "b", "c", "d"))


def test_a_place_that_lacks_a_file_is_passed_over(places):
    put(places[0], 255)
    (places[0] / mnist.FILES[2]).unlink()
    put(places[1], 0)
    assert mnist.load(source()).x_train.max() == 0


def test_nowhere_says_where_it_looked_and_what_helps(places):
    put(places[0])
    (places[0] / mnist.FILES[2]).unlink()
    nowhere = "http://127.0.0.1:1/"
    with pytest.raises(DataError) as raised:
        mnist.load(source((nowhere,)))
    message = str(raised.value)
    assert f"{places[0]} has 3 of the 4 files" in message
    for part in (str(places[1]), str(places[2]), nowhere, *mnist.FILES, "CLNET_DATA", "apt-get install dataset-toy"):
        assert part in message


def test_an_unset_variable_is_mentioned(places, monkeypatch):
    monkeypatch.delenv("CLNET_DATA")
    with pytest.raises(DataError, match="CLNET_DATA is not set"):
        mnist.load(source(("http://127.0.0.1:1/",)))


def test_without_pooch_the_extra_is_named(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r'toy is not here .* its download needs the extra "data"'):
        mnist.load(source())


@pytest.fixture
def mirror(tmp_path):
    """A small set behind HTTP on this machine, its address and sums."""
    folder = put(tmp_path / "mirror", 255, ".gz")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sums = tuple(hashlib.sha256((folder / f"{file}.gz").read_bytes()).hexdigest() for file in mnist.FILES)
        yield f"http://127.0.0.1:{server.server_port}/", sums
        server.shutdown()


def test_a_download_is_checked_and_kept(places, mirror):
    pytest.importorskip("pooch", reason="the extra data is not installed")
    address, sums = mirror
    data = mnist.load(source((f"{address}absent/", address), sums))
    assert data.x_train.max() == 1
    assert mnist.load(source()).x_train.max() == 1  # from the cache: this source has no mirror
    assert sorted(path.name for path in places[2].iterdir()) == sorted(f"{file}.gz" for file in mnist.FILES)


def test_a_download_with_another_sum_is_refused(places, mirror):
    pytest.importorskip("pooch", reason="the extra data is not installed")
    address, sums = mirror
    with pytest.raises(DataError, match="SHA256 hash of downloaded file"):
        mnist.load(source((address,), (*sums[:3], "0" * 64)))
    assert not (places[2] / f"{mnist.FILES[3]}.gz").exists()


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (mnist.FILES[0], np.zeros((4, 6), np.uint8), r"uint8 of shape \(4, 6\), wants uint8 \(n, height, width\)"),
        (mnist.FILES[1], np.zeros(4, np.int32), r"int32 of shape \(4,\), wants uint8 \(n,\)"),
        (mnist.FILES[3], np.zeros(5, np.uint8), "x_test has 4 samples, y_test has 5"),
        (mnist.FILES[1], np.full(4, 4, np.uint8), "y_train has labels 4 to 4, wants 0 to 3"),
    ],
)
def test_files_that_are_not_what_they_should_be(places, file, array, message):
    put(places[0])
    write_idx(places[0] / file, array)
    with pytest.raises(DataError, match=message):
        mnist.load(source())


def has(name):
    """Whether the real set is where tests look for it."""
    return bool(folder := os.environ.get("CLNET_DATA")) and (Path(folder) / name).is_dir()


@pytest.mark.skipif(not has("mnist"), reason="CLNET_DATA has no mnist")
def test_the_real_mnist_and_nielsens_split():
    data = mnist.load(mnist.MNIST)
    assert (data.x_train.shape, data.x_test.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert data.x_train.mean() == pytest.approx(0.1307, abs=1e-4)
    assert data.x_train.std() == pytest.approx(0.3081, abs=1e-4)
    (x, y), (x_held, y_held) = split(*data.train, count=10_000, seed=None)
    assert (len(x), len(x_held), y[:5].tolist(), y_held[:3].tolist()) == (50000, 10000, [5, 0, 4, 1, 9], [3, 8, 6])


@pytest.mark.skipif(not (has("fashion-mnist") or (mnist.SHARED / "fashion-mnist").is_dir()), reason="no fashion-mnist")
def test_the_real_fashion_mnist():
    data = mnist.load(mnist.FASHION_MNIST)
    assert (data.x_train.shape, data.x_test.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert data.x_train.mean() == pytest.approx(0.2860, abs=1e-4)
    assert [data.classes[label] for label in data.y_train[:3]] == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
