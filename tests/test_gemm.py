"""Products of every form, layout and size against float64 NumPy; one form's bits against another's; the selection."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oclgrind
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clnet import cache, gemm, kernels
from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.gemm import selection
from clnet.gemm.problem import Registers
from clnet.lowering import WORKSPACE, Epilogue, Lowering

LAYOUTS = [(False, False), (False, True), (True, False), (True, True)]
FORMS = ["cpu-1x1-packed", "cpu-4x2", "cpu-3x2-packed", "cpu-3x2-packed-swapped", "cpu-4x1-swapped", "gpu-32x32"]


def problem(
    m: int, n: int, k: int, layout: tuple[bool, bool] = (False, False), dtype: str = "float32", batch: int = 1,
    batched: tuple[bool, bool] = (False, False),
) -> gemm.Problem:  # fmt: skip
    return gemm.Problem(m, n, k, batch, *layout, *batched, np.dtype(dtype))


def operands(asked: gemm.Problem, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A and B of one seed, as matrices (m, k) and (k, n) whatever their layout."""
    random = np.random.default_rng([seed, asked.m, asked.n, asked.k])
    a = random.standard_normal(((asked.batch,) if asked.a_batched else ()) + (asked.m, asked.k))
    b = random.standard_normal(((asked.batch,) if asked.b_batched else ()) + (asked.k, asked.n))
    return a.astype(asked.dtype), b.astype(asked.dtype)


def run(device: Device, asked: gemm.Problem, buffers: dict[Hashable, Any], lowering: Lowering) -> None:
    if lowering.workspace:
        buffers[WORKSPACE] = device.allocate(lowering.workspace)
    queue = device.activate(device.queue)
    for launch in lowering.launches:
        kernels.enqueue(queue, kernels.bind(device, launch, buffers.__getitem__))


def upload(device: Device, asked: gemm.Problem, a: np.ndarray, b: np.ndarray) -> dict[Hashable, Any]:
    stored = {"a": a.swapaxes(-1, -2) if asked.transpose_a else a, "b": b.swapaxes(-1, -2) if asked.transpose_b else b}
    return {slot: device.upload(array if array.size else np.zeros(1, array.dtype)) for slot, array in stored.items()}


def product(device: Device, asked: gemm.Problem, form: str | None = None, seed: int = 0) -> np.ndarray:
    """C (batch, m, n), from a buffer of NaN."""
    c = np.full((asked.batch, asked.m, asked.n), np.nan, asked.dtype)
    buffers = upload(device, asked, *operands(asked, seed)) | {"c": device.upload(c)}
    run(device, asked, buffers, gemm.lower(device, asked, "a", "b", gemm.store("c", asked), form=form))
    device.download(buffers["c"], c)
    return c


def check(result: np.ndarray, asked: gemm.Problem, seed: int = 0) -> None:
    """Within rounding of float64: k steps that each add up to half a unit in the last place of the sum so far."""
    a, b = (side.astype(np.longdouble) for side in operands(asked, seed))
    bound = (asked.k + 1) * np.finfo(asked.dtype).eps / 2 * (np.abs(a) @ np.abs(b))
    assert np.all(np.abs(result - a @ b) <= bound), asked


def width(device: Device) -> int:
    return Registers.of(device, problem(1, 1, 1)).width


def sizes(device: Device) -> list[tuple[int, int, int]]:
    """Around a vector, around tiles of 3 and 4 rows by 2 vectors, around a block of k, and the smallest."""
    w = width(device)
    return [
        *[(1, 1, 1), (1, 2, 1), (2, 1, 3), (5, 3, 2), (4, w - 1, w + 1), (3, w, w), (4, w + 1, w - 1), (7, 2 * w, 5)],
        *[(8, 2 * w + 1, 2), (9, 4 * w - 1, w + 3), (13, 3 * w + 2, 1), (33, 31, 2 * w), (32, 32, 16), (34, 65, 17)],
        *[(5, w + 2, 255), (6, 2 * w + 2, 257), (w + 5, 7, 513), (2 * w + 3, 9, 300), (65, 130, 31)],
    ]


def runs(device: Device, asked: gemm.Problem, form: str) -> bool:
    try:
        return bool(gemm.lower(device, asked, "a", "b", gemm.store("c", asked), form=form))
    except ArgumentError:
        return False


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_computes_the_product(device, form, layout):
    done = 0
    for size in sizes(device):
        asked = problem(*size, layout)
        if runs(device, asked, form):
            check(product(device, asked, form), asked)
            done += 1
    assert done or form in ("cpu-4x2", "cpu-4x1-swapped")  # these cannot read a side that lies the other way


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NN", "NT", "TN", "TT"])
def test_the_chosen_form_computes_float64(device, layout):
    if not device.facts.float64:
        pytest.skip("no float64 on this device")
    for size in [(5, 3, 2), (17, 33, 257), (1, 40, 65)]:
        check(product(device, problem(*size, layout, "float64")), problem(*size, layout, "float64"))


@pytest.mark.parametrize("size", [(9, 41, 300), (34, 65, 17), (50, 7, 64)], ids=lambda size: "x".join(map(str, size)))
def test_no_form_and_no_layout_changes_a_bit(device, size):
    found = set()
    for layout in LAYOUTS:
        asked = problem(*size, layout)
        for form in {*FORMS, *gemm.forms(device, asked)[:1]}:
            if runs(device, asked, form):
                found.add(product(device, asked, form).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NN", "NT", "TN", "TT"])
def test_a_side_that_is_a_vector(device, layout):
    w = width(device)
    for long, k in [(1, 2 * w), (w, 2 * w + 1), (8 * w, 5 * w - 1), (9 * w + 3, 100), (20 * w + 1, 3 * w), (3, 70)]:
        for size in [(1, long, k), (long, 1, k)]:
            check(product(device, problem(*size, layout)), problem(*size, layout))


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NN", "NT", "TN", "TT"])
def test_a_side_that_is_a_vector_of_registers_of_two(device, layout, monkeypatch):
    """float64 in registers of NEON or SSE: a quarter of the lanes is none, a loop had no end."""
    if not device.facts.float64:
        pytest.skip("no float64 on this device")
    monkeypatch.setattr(device, "facts", replace(device.facts, vector_width=4))
    for long, k in [(1, 4), (2, 5), (12, 40), (37, 21)]:
        for size in [(1, long, k), (long, 1, k)]:
            check(product(device, problem(*size, layout, "float64")), problem(*size, layout, "float64"))


def test_tiles_fit_the_registers(device, monkeypatch):
    """x86 has 16 below AVX-512, other CPUs have 32."""
    monkeypatch.setattr(device, "facts", replace(device.facts, vector_width=4))
    for machine, count in (("x86_64", 16), ("AMD64", 16), ("aarch64", 32)):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert Registers.of(device, problem(1, 1, 1)).count == count
        for form in gemm.forms(device, problem(100, 100, 100)):
            rows, vectors = map(int, re.findall(r"\d+", form)) if form.startswith("cpu-") else (1, 1)
            assert (rows + 1) * vectors < count


def test_the_layout_of_a_vector_s_matrix_changes_no_bit(device):
    found = {product(device, problem(1, 300, 77, layout)).tobytes() for layout in LAYOUTS}
    found |= {product(device, problem(1, 300, 77), seed=0).tobytes()}
    assert len(found) == 1


@pytest.mark.parametrize("batched", [(True, True), (True, False), (False, True), (False, False)], ids=str)
@pytest.mark.parametrize("form", [None, "cpu-3x2-packed-swapped", "gpu-32x32"])
def test_batches(device, form, batched):
    for layout in LAYOUTS[:2]:
        asked = problem(20, 40, 33, layout, batch=3, batched=batched)
        check(product(device, asked, form), asked)


def test_a_batch_of_vectors(device):
    for batched in [(True, True), (True, False), (False, True)]:
        asked = problem(1, 40, 40, batch=3, batched=batched)
        check(product(device, asked), asked)


def update(asked: gemm.Problem) -> Epilogue:
    """w -= 0.5 c in place and d = max(c + bias, 0) beside it: what happens twice, or not at all, shows."""
    source = """
    static inline void epilogue(float value, size_t batch, int row, int column, __global float *restrict p0,
                                __global float *restrict p1, __global const float *restrict p2, const float s0,
                                const int d0, const int d1) {
        const size_t at = (batch * d0 + row) * d1 + column;
        const float v0 = value * s0;
        p0[at] = p0[at] - v0;
        const float v1 = value + p2[column];
        p1[at] = v1 > 0 ? v1 : 0;
    }
    """
    parameters = (
        "__global float *restrict p0, __global float *restrict p1, __global const float *restrict p2, "
        "const float s0, const int d0, const int d1"
    )
    arguments = ("w", "d", "bias", np.float32(0.5), np.int32(asked.m), np.int32(asked.n))
    return Epilogue(source, parameters, "p0, p1, p2, s0, d0, d1", arguments)


@pytest.mark.parametrize("form", [*FORMS, "reikna", None])
def test_an_epilogue_takes_each_element_once(device, form):
    for size in [(20, 40, 20), (5, 3, 300), (4, 70, 33), (1, 100, 64)]:
        asked = problem(*size, batch=2, batched=(True, False))
        if form and form != "reikna" and not runs(device, asked, form):
            continue
        shape = (asked.batch, asked.m, asked.n)
        random = np.random.default_rng(1)
        w, d, bias = (random.standard_normal(s).astype(np.float32) for s in (shape, shape, asked.n))
        buffers = upload(device, asked, *operands(asked))
        buffers |= {slot: device.upload(array) for slot, array in (("w", w), ("d", d), ("bias", bias))}
        run(device, asked, buffers, gemm.lower(device, asked, "a", "b", update(asked), form=form))
        a, b = operands(asked)
        c = a @ b
        device.download(buffers["d"], d)
        np.testing.assert_allclose(d, np.maximum(c + bias, 0), rtol=1e-4, atol=1e-4)
        wanted = w - 0.5 * c
        device.download(buffers["w"], w)
        np.testing.assert_allclose(w, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", [*FORMS, "reikna", None])
def test_a_sum_of_nothing_is_zero(device, form):
    asked = problem(5, 40, 0)
    if form in (None, "reikna") or runs(device, asked, form):
        np.testing.assert_array_equal(product(device, asked, form), np.zeros((1, 5, 40)))


@pytest.mark.parametrize("size", [(0, 3, 4), (3, 0, 4), (0, 0, 0)])
def test_nothing_takes_no_launch(device, size):
    asked = problem(*size)
    assert gemm.lower(device, asked, "a", "b", gemm.store("c", asked)) == Lowering(())
    assert gemm.lower(device, asked, "a", "b", gemm.store("c", asked), form="reikna").launches == ()
    assert gemm.measure(device, asked) in gemm.forms(device, asked)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["NN", "NT", "TN", "TT"])
def test_reikna_computes_the_product(device, layout):
    for asked in [
        problem(17, 33, 20, layout),
        problem(5, 1, 40, layout, batch=2, batched=(False, True)),
        problem(3, 20, 7, layout, "float64" if device.facts.float64 else "float32"),
    ]:
        check(product(device, asked, "reikna"), asked)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.tuples(*[st.one_of(st.integers(1, 5), st.integers(1, 80))] * 3),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 9),
)
def test_any_size(device, size, layout, seed):
    asked = problem(*size, layout)
    check(product(device, asked, seed=seed), asked, seed)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path))
    return tmp_path


def test_what_was_measured_is_chosen_and_kept(device, empty_cache):
    asked = problem(19, 50, 23)
    best = gemm.measure(device, asked, seconds=0.01)
    assert best in gemm.forms(device, asked)
    assert gemm.select(device, asked) == best
    assert best in selection._load(device).values()
    other = problem(20, 50, 23)
    gemm.measure(device, other, seconds=0.01)
    assert {selection._key(asked), selection._key(other)} <= selection._load(device).keys()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1}'], ids=repr)
def test_a_damaged_file_of_measurements_is_survived(device, empty_cache, content):
    (empty_cache / selection._file(device)).write_bytes(content)
    assert all(isinstance(form, str) for form in selection._load(device).values())
    asked = problem(19, 51, 23)
    gemm.measure(device, asked, seconds=0.01)
    assert selection._key(asked) in json.loads((empty_cache / selection._file(device)).read_bytes())


def test_a_measurement_that_names_no_form_is_passed_over(device, monkeypatch):
    asked = problem(19, 52, 23)
    monkeypatch.setitem(selection._measured(device), selection._key(asked), "cpu-99x99")
    assert gemm.select(device, asked) == gemm.forms(device, asked)[0]


def test_a_cache_that_takes_nothing_is_survived(device, monkeypatch):
    monkeypatch.setattr(cache, "write", lambda name, content: False)
    asked = problem(19, 53, 23)
    assert gemm.measure(device, asked, seconds=0.01) == gemm.select(device, asked)


@pytest.mark.parametrize("form", ["", "cpu", "cpu-0x1", "cpu-9x9", "cpu-2x2-swapped-packed", "gpu-7x7", "numpy"])
def test_a_form_that_cannot_is_refused_by_name(device, form):
    with pytest.raises(ArgumentError, match="gemm: "):
        gemm.lower(device, problem(4, 4, 4), "a", "b", gemm.store("c", problem(4, 4, 4)), form=form)


SILENT = """
import sys
sys.path.insert(0, "tests")
from test_gemm import FORMS, LAYOUTS, Registers, check, problem, product, runs
import clnet

SIZES = [(1, 1, 1), (1, 37, 13), (9, 1, 13), (5, 7, 6), (4, 9, 3), (6, 13, 19), (5, 11, 0), (4, 9, 300)]
device = clnet.device("oclgrind")
def try_all(forms):
    for form in forms:
        for layout in LAYOUTS:
            for size in SIZES:
                asked = problem(*size, layout)
                if form is None or runs(device, asked, form):
                    check(product(device, asked, form), asked)
try_all([*FORMS, "gpu-64x64", None])
Registers.of = classmethod(lambda cls, device, asked: cls(16, 32 // asked.dtype.itemsize, asked.dtype.itemsize, 32))
try_all(["cpu-3x2-packed", "cpu-3x2-packed-swapped", None])  # B transposed in squares of eight
print("all right")
"""


@oclgrind.needed
def test_no_form_reads_or_writes_where_it_must_not(tmp_path):
    """Under Oclgrind, which reports accesses out of bounds, races and missing barriers."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", SILENT]
    done = subprocess.run(
        command, env=oclgrind.environment(tmp_path), cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr.strip()) == ("all right", "")
