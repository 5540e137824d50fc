"""Kernels under Oclgrind, a simulator that reports accesses out of bounds, data races and missing barriers.

Each program runs in a process of its own: a driver cannot be added to one that has asked for devices.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import oclgrind
import pytest

ROOT = Path(__file__).parent.parent
pytestmark = oclgrind.needed

RUN = """
import sys
import numpy as np
import clnet
from clnet import kernels

device = clnet.device("oclgrind")
buffer = device.upload(np.zeros(64, np.int32))
launch = kernels.Launch(sys.argv[1], "f", ("x",), (64,), (16,))
kernels.enqueue(device.queue, kernels.bind(device, launch, lambda slot: buffer))
device.finish()
"""
Run = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def under_oclgrind(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Python with these arguments: what it prints, and what Oclgrind reports: nothing if all is well."""
    environment = oclgrind.environment(tmp_path_factory.mktemp("cache"))

    def run(*arguments: str, seconds: float = 60) -> tuple[str, str]:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, done.stderr.strip()

    return run


REVERSED = """
kernel void f(global int *x) {
    local int held[16];
    const int i = get_local_id(0);
    held[i] = i;
    BARRIER
    x[get_global_id(0)] = held[15 - i];
}
"""


def test_a_good_kernel_is_silent(under_oclgrind: Run) -> None:
    good = REVERSED.replace("BARRIER", "barrier(CLK_LOCAL_MEM_FENCE);")
    assert under_oclgrind("-c", RUN, good)[1] == ""


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
def test_a_bad_kernel_is_reported(under_oclgrind: Run, source: str, fault: str) -> None:
    assert fault in under_oclgrind("-c", RUN, source)[1]


def test_permutations_are_silent(under_oclgrind: Run) -> None:
    printed, reports = under_oclgrind("-m", "pytest", "-q", "-s", "tests/test_random.py", "-k", "form_changes")
    assert " passed" in printed
    assert reports == ""


@pytest.mark.slow
@pytest.mark.parametrize("tests", ["test_forward and not float64", "test_gradient", "test_gpu_form"])
def test_the_op_table_is_silent(under_oclgrind: Run, tests: str) -> None:
    printed, reports = under_oclgrind("-m", "pytest", "-q", "-s", "tests/test_ops.py", "-k", tests, seconds=600)
    assert " passed" in printed
    assert reports == ""
