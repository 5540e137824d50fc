"""PoCL on a processor younger than its compiler: the device gets the name of an older one, compatible with it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pyopencl as cl

WORD = ctypes.sizeof(ctypes.c_void_p)
DESCRIPTION = 1024  # bytes of what a cl_device_id points to that are searched: in PoCL 3.0 all, the name's place is 640
# Names that LLVM has long known, the best first, with what tells them apart among the flags in /proc/cpuinfo.
PROCESSORS: dict[str, set[str]] = {
    "skylake-avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "haswell": {"avx2", "bmi1", "bmi2", "fma", "f16c", "movbe", "abm"},
    "x86-64": set(),
}


def name_processor(device: cl.Device) -> None:
    """Where PoCL does not know this processor, tell it of one that it knows; else do nothing.

    LLVM calls a processor that came after it "generic". PoCL hands that on to clang, which has no x86 of the name and
    refuses every kernel: "unknown target CPU 'generic'" (github.com/pocl/pocl/issues/1049: PyPI's PoCL on AMD's Zen 5,
    Debian's 1.8 on Zen 3). No option and no variable comes after it. So the pointer to the name is changed where PoCL
    keeps it, once, before anything is compiled.
    """
    if "pocl" in device.version.lower() and "-x86_64-" in device.version and device.version.endswith("-generic"):
        for place in _places(device.int_ptr, b"generic\0"):
            ctypes.c_void_p.from_address(place).value = _lasting(processor(_flags()))


def processor(flags: set[str]) -> str:
    """The best of PROCESSORS that one with these flags can stand in for."""
    return next(name for name, needed in PROCESSORS.items() if needed <= flags)


def _flags() -> set[str]:
    """The first core's."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _places(start: int, text: bytes) -> Iterator[int]:
    """Where, from `start` on, lies a pointer to the text; read from a file, where a wrong address is but an error."""
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        words = memoryview(os.pread(memory, DESCRIPTION, start)).cast("L")
        for number, address in enumerate(words):
            if _read(memory, len(text), address) == text:
                yield start + number * WORD
    finally:
        os.close(memory)


def _read(memory: int, nbytes: int, address: int) -> bytes:
    try:
        return os.pread(memory, nbytes, address)
    except (OSError, OverflowError):  # nothing is there
        return b""


def _lasting(text: str) -> int:
    """The address of a copy that may be freed as PoCL frees its own."""
    duplicate = ctypes.CDLL(None).strdup
    duplicate.restype = ctypes.c_void_p
    return int(duplicate(text.encode()))
