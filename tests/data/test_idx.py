"""IDX: what is written is read back; what is damaged is a DataError, at every length and byte."""

import gzip
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clnet.data import read_idx, write_idx
from clnet.errors import ArgumentError, DataError, DTypeError

dtypes = st.builds(
    lambda name, order: np.dtype(name).newbyteorder(order),
    st.sampled_from(["uint8", "int8", "int16", "int32", "float32", "float64"]),
    st.sampled_from("<>"),
)
shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@pytest.fixture(params=["a.idx", "a.idx.gz"])
def path(request, tmp_path):
    """Where to write, plain and gzip."""
    return tmp_path / request.param


@given(array=arrays.arrays(dtypes, shapes), name=st.sampled_from(["a", "a.gz"]))
def test_round_trip(tmp_path_factory, array, name):
    path = tmp_path_factory.getbasetemp() / name
    write_idx(path, array)
    back = read_idx(path)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_the_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xFF, 0xFE])


def test_the_same_array_gives_the_same_file(path):
    write_idx(path, np.arange(6, dtype=np.uint8))
    first = path.read_bytes()
    write_idx(path, np.arange(6, dtype=np.uint8))
    assert path.read_bytes() == first


def test_a_noncontiguous_array_is_written_in_row_major_order(path):
    write_idx(path, np.arange(6, dtype=np.int32).reshape(2, 3).T)
    np.testing.assert_array_equal(read_idx(path), [[0, 3], [1, 4], [2, 5]])


def test_a_file_cut_anywhere_is_a_data_error(path):
    write_idx(path, np.arange(12, dtype=np.int32).reshape(3, 4))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=path.name):
            read_idx(path)


def test_a_damaged_byte_is_a_data_error_or_another_array(path):
    write_idx(path, np.arange(12, dtype=np.int32).reshape(3, 4))
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            with suppress(DataError):
                read_idx(path)


@given(content=st.binary(max_size=64))
def test_noise_is_a_data_error_or_an_array(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "noise"
    for start in (b"", b"\0\0\x08", b"\x1f\x8b\x08\0"):
        path.write_bytes(start + content)
        with suppress(DataError):
            read_idx(path)


def test_trailing_bytes_are_refused(path):
    write_idx(path, np.zeros(3, np.uint8))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    path.write_bytes(gzip.compress(content + b"x") if path.suffix == ".gz" else content + b"x")
    with pytest.raises(DataError, match=r"promises uint8 of shape \(3,\), 3 bytes; more follow"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; IDX starts with"),
        (b"<!DOCTYPE html>", "starts with b'<!DO'; IDX starts with"),
        (b"\0\0\x0a\x01\0\0\0\0", "starts with"),
        (b"\0\0\x08\x03\0\0\0\x01", "ends within the header, after 4 bytes of 3 sizes"),
        (b"\0\0\x08\x21" + b"\0" * 200, "33 dimensions, arrays have at most 32"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "larger than any memory"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, *[2**32 - 1] * 2), "larger than any memory"),
    ],
)
def test_a_header_that_cannot_be_is_refused(path, content, message):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_a_lying_header_takes_no_memory(path):
    content = struct.pack(">HBB3I", 0, 0x0E, 3, 1000, 1000, 1000) + b"few"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"float64 of shape \(1000, 1000, 1000\), 8000000000 bytes; only 3 follow"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint16", "U3", "complex64"])
def test_dtypes_without_a_code_are_refused(path, dtype):
    with pytest.raises(DTypeError, match=r"write_idx: array is .*, IDX holds uint8"):
        write_idx(path, np.zeros(3, dtype))
    assert not path.exists()


def test_sizes_beyond_the_format_are_refused(path):
    with pytest.raises(ArgumentError, match=r"IDX holds 32 dimensions of less than 2\*\*32"):
        write_idx(path, np.broadcast_to(np.uint8(0), (2**32, 1)))
