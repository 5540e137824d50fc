"""CIFAR-10 from its binary archive and from JPEG pictures behind one header; what is missing or damaged is named."""

import io
import tarfile

import numpy as np
import pytest

from clnet import data
from clnet.data import cifar10
from clnet.errors import DataError

RANDOM = np.random.default_rng(0)


def archive(folder, batches):
    folder.mkdir(parents=True)
    with tarfile.open(folder / cifar10.ARCHIVE, "w:gz") as file:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def records(pictures, labels):
    channels_first = pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)
    return np.column_stack([labels, channels_first]).astype(np.uint8).tobytes()


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.setenv("CLNET_DATA", str(tmp_path))
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cifar10"


def test_the_binary_archive(found):
    pictures, labels = RANDOM.integers(0, 256, (12, 32, 32, 3), np.uint8), np.arange(12) % 10
    names = [*cifar10.PARTS[0], *cifar10.PARTS[1]]
    archive(
        found, {name: records(pictures[2 * n : 2 * n + 2], labels[2 * n : 2 * n + 2]) for n, name in enumerate(names)}
    )
    loaded = data.load("cifar10")
    np.testing.assert_array_equal(loaded.x_train, pictures[:10] / np.float32(255))
    assert (loaded.y_train.tolist(), loaded.y_test.tolist()) == (labels[:10].tolist(), labels[10:].tolist())
    assert (loaded.x_test.shape, loaded.classes[9]) == ((2, 32, 32, 3), "truck")


def test_jpeg_pictures_behind_one_header(found):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    found.mkdir()
    colours = RANDOM.integers(0, 256, (4, 3), np.uint8)
    pictures = []
    for colour in colours:
        content = io.BytesIO()
        image.fromarray(np.broadcast_to(colour, (32, 32, 3)).copy()).save(content, "JPEG", quality=95)
        pictures.append(content.getvalue())
    common = next(size for size in range(len(pictures[0])) if len({each[: size + 1] for each in pictures}) > 1)
    bodies = [each[common:] for each in pictures]
    arrays = {
        "header": np.frombuffer(pictures[0][:common], np.uint8),
        "bodies": np.frombuffer(b"".join(bodies), np.uint8),
        "offsets": np.cumsum([0, *map(len, bodies)]),
        "labels": np.array([0, 1, 1, 0], np.uint8),
        "names": np.array(["cat", "airplane"]),
    }
    for name in cifar10.JPEG:
        np.savez(found / name, **arrays)
    loaded = data.load("cifar10")
    assert loaded.y_test.tolist() == [3, 0, 0, 3]
    np.testing.assert_allclose(loaded.x_train[:, 16, 16], colours / 255, atol=0.03)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ({"data_batch_1.bin": b"x"}, "is not CIFAR-10's binary archive"),
        ({name: b"abc" for names in cifar10.PARTS for name in names}, "no whole number of records"),
    ],
)
def test_damaged_archives(found, batches, message):
    archive(found, batches)
    with pytest.raises(DataError, match=message):
        data.load("cifar10")


def test_a_file_that_is_no_archive(found):
    found.mkdir()
    (found / cifar10.ARCHIVE).write_bytes(b"not a tar file")
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: is not"):
        data.load("cifar10")
