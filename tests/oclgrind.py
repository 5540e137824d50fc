"""Oclgrind, a simulator that reports accesses out of bounds, data races and missing barriers: how tests ask for it."""

import os
from pathlib import Path

import pytest

DRIVER = Path("/usr/lib/oclgrind/liboclgrind-rt-icd.so")  # Debian's package oclgrind
needed = pytest.mark.skipif(not DRIVER.exists(), reason="Oclgrind is not installed (Debian: apt-get install oclgrind)")


def environment(cache: Path) -> dict[str, str]:
    """Of a process that has no other device: a driver cannot be added to one that has asked for devices."""
    clean = {name: value for name, value in os.environ.items() if name != "OCL_ICD_FILENAMES"}
    return clean | {
        "OCL_ICD_VENDORS": str(DRIVER),
        "CLNET_DEVICE": "oclgrind",
        "CLNET_CACHE": str(cache),
        "OCLGRIND_DATA_RACES": "1",
        # What inlining makes of `restrict` is beyond Oclgrind 21.10: "Undefined external function: llvm.experimental.
        # noalias.scope.decl"; so is fetching. Neither changes a result.
        "OCLGRIND_BUILD_OPTIONS": "-Drestrict= -D__builtin_prefetch(...)=",
    }
