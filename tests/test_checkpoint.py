"""Checkpoints as files: whole, or an error that says what is wrong, and never a half-written one."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from clnet import checkpoint
from clnet.checkpoint import Checkpoint
from clnet.errors import CheckpointError

ARRAYS = {
    "net/0/weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "net/1/counter": np.array(7, np.int32),
    "optimizer/step": np.array(2**40, np.int64),
    "training/empty": np.zeros((0, 3), np.float64),
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "net.safetensors"
    checkpoint.write(file, Checkpoint(ARRAYS, {"epoch": 3}), version="1.2")
    return file


def test_what_is_written_is_read(path):
    found = checkpoint.read(path)
    assert found.settings == {"epoch": 3}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert list(found.below("net")) == ["0/weight", "1/counter"]


def test_a_new_file_replaces_the_old_one_and_nothing_else_stays(path):
    checkpoint.write(path, Checkpoint({}, {"epoch": 4}), version="1.2")
    assert checkpoint.read(path).settings == {"epoch": 4}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("error", "wanted", "message"),
    [
        (OSError(28, "No space left on device"), CheckpointError, "No space left .* untouched"),
        (KeyboardInterrupt("now"), KeyboardInterrupt, "now"),
    ],
    ids=["full", "Ctrl-C"],
)
def test_what_fails_leaves_the_old_file(path, monkeypatch, failing, error, wanted, message):
    before = path.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (type(path), "replace")), fail)
    with pytest.raises(wanted, match=message):
        checkpoint.write(path, Checkpoint({}, {"epoch": 4}), version="1.2")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_really_full_disk(path):
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.symlink_to("/dev/full")
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.write(path, Checkpoint(ARRAYS, {}), version="1.2")
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written: No such file"):
        checkpoint.write(tmp_path / "no" / "net.safetensors", Checkpoint({}, {}), version="1.2")


@pytest.mark.parametrize("keep", [0, 4, 8, 50, -1])
def test_truncated_files(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        checkpoint.read(path)


def header(path):
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def lie(path, change):
    fields, data = header(path)
    change(fields)
    text = json.dumps(fields).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["net/0/weight"].update(shape=[3, 3]),
        lambda fields: fields["net/0/weight"].update(data_offsets=[0, 2**40]),
        lambda fields: fields["net/0/weight"].update(data_offsets=[8, 0]),
        lambda fields: fields["net/0/weight"].update(dtype="F33"),
        lambda fields: fields.pop("net/1/counter"),
    ],
    ids=["shape", "beyond the end", "backwards", "dtype", "hole"],
)
def test_lying_headers(path, change):
    lie(path, change)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.update(format="pt"), "not a checkpoint of clnet's"),
        (lambda meta: meta.update(schema="9"), "has schema 9, wants 1; clnet 1.2 wrote it"),
        (lambda meta: meta.update(model="{"), "metadata is damaged"),
        (lambda meta: meta.pop("model"), "metadata is damaged"),
        (lambda meta: meta.update(model="[]"), "metadata is list"),
    ],
)
def test_metadata_of_others(path, change, message):
    lie(path, lambda fields: change(fields["__metadata__"]))
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(path)


def test_other_files(tmp_path):
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of clnet's"):
        checkpoint.read(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read(tmp_path / "nothing")
    with pytest.raises(CheckpointError):
        checkpoint.read(tmp_path)
