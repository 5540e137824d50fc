"""Kernels under Oclgrind, a simulator that reports accesses out of bounds, data races and missing barriers.

Each program runs in a process of its own: a driver cannot be added to one that has asked for devices.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DRIVER = Path("/usr/lib/oclgrind/liboclgrind-rt-icd.so")  # Debian's package oclgrind
pytestmark = pytest.mark.skipif(
    not DRIVER.exists(), reason="Oclgrind is not installed (Debian: apt-get install oclgrind)"
)

RUN = """
import sys
import numpy as np
import clnet
from clnet import kernels

def run(source, items, group):
    device = clnet.device("oclgrind")
    buffer = device.upload(np.zeros(64, np.int32))
    launch = kernels.Launch(source, "f", ("x",), (items,), (group,))
    kernels.enqueue(device.queue, kernels.bind(device, launch, lambda slot: buffer))
    device.finish()
"""


def under_oclgrind(*command: str, seconds: float = 60) -> tuple[str, str]:
    """What Python prints with these arguments, and what Oclgrind reports: nothing if all is well."""
    clean = {name: value for name, value in os.environ.items() if name not in ("OCL_ICD_FILENAMES", "CLNET_DEVICE")}
    asked = {"OCL_ICD_VENDORS": str(DRIVER), "CLNET_DEVICE": "oclgrind", "OCLGRIND_DATA_RACES": "1"}
    done = subprocess.run(
        [sys.executable, *command], env=clean | asked, cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr.strip()


def report(source: str, items: int, group: int) -> str:
    return under_oclgrind("-c", f"{RUN}\nrun({source!r}, {items}, {group})")[1]


REVERSED = """
kernel void f(global int *x) {
    local int held[16];
    const int i = get_local_id(0);
    held[i] = i;
    BARRIER
    x[get_global_id(0)] = held[15 - i];
}
"""


def test_a_good_kernel_is_silent():
    assert report(REVERSED.replace("BARRIER", "barrier(CLK_LOCAL_MEM_FENCE);"), 64, 16) == ""


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (REVERSED.replace("BARRIER", ""), "data race"),
        ("kernel void f(global int *x) { x[0] = get_global_id(0); }", "data race"),
        ("kernel void f(global int *x) { x[get_global_id(0) + 1] = 1; }", "Invalid write"),
        ("kernel void f(global int *x) { if (x[get_global_id(0) + 1]) x[0] = 1; }", "Invalid read"),
        ("kernel void f(global int *x) { if (get_local_id(0)) barrier(CLK_LOCAL_MEM_FENCE); }", "divergence"),
    ],
    ids=["missing barrier", "two writers", "write out of bounds", "read out of bounds", "divergent barrier"],
)
def test_a_bad_kernel_is_reported(source, fault):
    assert fault in report(source, 64, 16)
