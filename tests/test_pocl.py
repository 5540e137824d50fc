"""PoCL on processors that its compiler does not know, with descriptions of devices made here: any processor does."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

import clnet
from clnet import pocl

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PoCL's wheels are for Linux")
UNKNOWN = "OpenCL 3.0 PoCL HSTR: pthread-x86_64-unknown-linux-gnu-generic"


def description(name, version):
    """A device whose description holds numbers that are no addresses, and a pointer to the name."""
    words = (ctypes.c_char_p * 128)()
    numbers = ctypes.cast(words, ctypes.POINTER(ctypes.c_uint64))
    numbers[0], numbers[1], numbers[2] = 1, 1 << 46, (1 << 64) - 1
    words[80] = name
    return SimpleNamespace(version=version, int_ptr=ctypes.addressof(words), words=words)


def test_an_unknown_processor_gets_a_name_that_clang_knows():
    device = description(b"generic", UNKNOWN)
    pocl.name_processor(device)
    assert device.words[80].decode() in pocl.PROCESSORS
    assert [word for word in device.words[3:] if word] == [device.words[80]]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        (b"znver3", "OpenCL 3.0 PoCL HSTR: pthread-x86_64-unknown-linux-gnu-znver3"),
        (b"generic", "OpenCL 3.0 PoCL HSTR: pthread-aarch64-unknown-linux-gnu-generic"),
        (b"generic", "OpenCL 3.0 (Build 0)"),
    ],
)
def test_others_are_left_alone(name, version):
    device = description(name, version)
    pocl.name_processor(device)
    assert device.words[80] == name


def test_the_name_promises_no_more_than_the_processor_has():
    avx2 = pocl.PROCESSORS["haswell"]
    avx512 = avx2 | pocl.PROCESSORS["skylake-avx512"]
    assert pocl.processor(avx512 | {"sse2"}) == "skylake-avx512"
    assert pocl.processor(avx512 - {"avx512vl"}) == "haswell"
    assert pocl.processor(avx2 - {"fma"}) == "x86-64"
    assert pocl.processor(set()) == "x86-64"


@pytest.mark.device
def test_the_device_compiles(device):
    assert (clnet.ops.exp(clnet.tensor([0.0], device=device)).numpy() == 1).all()
