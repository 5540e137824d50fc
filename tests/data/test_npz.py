"""npz: arrays come back, pickles never run, damage is a DataError."""

import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from clnet.data import read_npz
from clnet.errors import DataError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def test_round_trip(path):
    arrays = {
        "x": np.arange(6, dtype=">f8").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        "text": np.array(["a", "bc"]),
        "empty": np.empty((0, 4), np.int16),
        "scalar": np.array(3),
    }
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        back = read_npz(path)
        assert list(back) == list(arrays)
        for name, array in arrays.items():
            assert back[name].dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(back[name], array)


def test_pickles_are_not_run(path):
    np.savez(path, x=np.array([{"a": 1}], object))
    with pytest.raises(DataError, match=r"a.npz: x.npy holds Python objects"):
        read_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_or_damaged_anywhere_is_a_data_error(path, save):
    save(path, x=np.zeros(50, np.float32), y=np.arange(3))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a.npz"):
            read_npz(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with suppress(DataError):
            read_npz(path)


def test_a_lying_header_takes_no_memory(path):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member.getvalue() + b"few")
    with pytest.raises(DataError, match=r"x.npy promises 8000000000000 bytes, float64 of shape .*; 3 follow"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_what_is_not_npz_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.npz: not an npz archive"):
        read_npz(path)


def test_an_absent_file_is_named(path):
    with pytest.raises(DataError, match=r"a.npz: cannot be read: No such file"):
        read_npz(path)
