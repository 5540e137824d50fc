"""Selection: which of the own forms computes a product. By measurement where there is one, else by rule.

All own forms give the same bits, so that what was measured never shows in a result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyopencl as cl

from clnet import cache as disk
from clnet import kernels
from clnet.device import Device
from clnet.gemm import cpu, gpu, vector
from clnet.gemm.problem import Problem, Registers, store
from clnet.lowering import Epilogue, Lowering

TRIED = 6  # forms that a measurement compares: those that the rule likes best
SERIAL = 1_200_000  # multiply-adds up to which one core is faster than two: waking the second takes 20 us (Zen 4, PoCL)


def serial_is_faster(problem: Problem) -> bool:
    """Whether the product alone is done sooner on `device.serial_queue` than by all cores."""
    return problem.batch * problem.m * problem.n * problem.k < SERIAL


def work(device: Device, problem: Problem) -> float:
    """How many multiply-adds a core would do at its full rate in the time that the product takes it."""
    registers = Registers.of(device, problem)
    if device.kind == "gpu" or 0 in (problem.batch, problem.m, problem.n):
        return problem.batch * problem.m * problem.n * problem.k
    if vector.suits(problem, registers):
        return vector.SLOWER * problem.batch * problem.m * problem.n * problem.k
    return registers.width * cpu.cost(cpu.forms(device, problem, 1)[0], problem, registers, 1)


def forms(device: Device, problem: Problem, *, units: int | None = None, plain: bool = True) -> list[str]:
    """Names of the own forms made for this kind of device that can run the problem, the likely best first.

    `units`: cores that will share it; None: those that are worth waking. `plain`: the epilogue only stores.
    """
    units = units or (1 if serial_is_faster(problem) else device.facts.units)
    problem = replace(problem, m=max(1, problem.m), n=max(1, problem.n), batch=max(1, problem.batch))
    if device.kind == "gpu":
        return [form.name for form in gpu.forms(device, problem)]
    if vector.suits(problem, Registers.of(device, problem)):
        return [vector.NAME]
    return [form.name for form in cpu.forms(device, problem, units, plain=plain)]


def select(device: Device, problem: Problem, *, units: int | None = None, plain: bool = True) -> str:
    """The form measured best for this problem, by this process or an earlier one, else the likely best."""
    names = forms(device, problem, units=units, plain=plain)
    measured = _measured(device).get(_key(problem))
    return measured if measured in names else names[0]


def measure(device: Device, problem: Problem, lower: Callable[[str, Epilogue], Lowering], *, seconds: float) -> str:
    """Time the forms for `seconds`, building not counted; remember the best, and return its name.

    `lower` gives a form's launches on slots "a" and "b" with this epilogue.
    """
    if 0 in (problem.batch, problem.m, problem.n):
        return select(device, problem)
    queue = device.activate(device.serial_queue if serial_is_faster(problem) else device.queue)
    slots: tuple[Hashable, ...] = ("a", "b", "c")
    stored = np.float16 if problem.half else problem.dtype
    dtypes = (stored, stored, problem.dtype)
    arrays = [np.ones(n, dtype) for n, dtype in zip(_counts(problem), dtypes, strict=True)]
    buffers = {slot: device.upload(array) for slot, array in zip(slots, arrays, strict=True)}
    bound = {}
    for name in forms(device, problem)[:TRIED]:
        launches = lower(name, store("c", problem)).launches
        bound[name] = [kernels.bind(device, launch, buffers.__getitem__, queue=queue) for launch in launches]
    best = _time(bound, queue, seconds)
    fastest = min(best, key=best.__getitem__)
    _remember(device, problem, fastest)
    return fastest


def _time(bound: Mapping[str, Sequence[kernels.Bound]], queue: cl.CommandQueue, seconds: float) -> dict[str, float]:
    """The shortest of each form's times, taken in turns; those that no time was left for are missing."""

    def run(name: str) -> float:
        start = time.perf_counter()
        for each in bound[name]:
            kernels.enqueue(queue, each)
        queue.finish()
        return time.perf_counter() - start

    best: dict[str, float] = {}
    spent = 0.0
    while spent < seconds:
        for name in bound:
            if name not in best:
                run(name)  # PoCL compiles at the first run
            taken = run(name)
            spent += taken
            best[name] = min(taken, best.get(name, taken))
            if spent >= seconds:
                break
    return best


def _counts(problem: Problem) -> tuple[int, int, int]:
    """Elements of A, B and C; at least one, as a buffer cannot be empty."""
    m, n, k, batch = problem.m, problem.n, problem.k, problem.batch
    a, b = m * k * (batch if problem.a_batched else 1), k * n * (batch if problem.b_batched else 1)
    return max(1, a), max(1, b), batch * m * n


def _key(problem: Problem) -> str:
    """float32 1:784x10 N 10x30 T, a colon where matrices come one after the other"""
    a = f"{problem.m}x{problem.k}{'T' if problem.transpose_a else 'N'}{'*' * problem.a_batched}"
    b = f"{problem.k}x{problem.n}{'T' if problem.transpose_b else 'N'}{'*' * problem.b_batched}"
    return f"{'float16 ' * problem.half}{problem.dtype} {problem.batch} {a} {b}"


def _file(device: Device) -> str:
    """Where measurements on this device are kept: another driver or another kernel starts anew."""
    told = (device.name, device.facts, *(kernels.read(f"gemm_{each}.cl") for each in ("registers", "cpu", "gpu")))
    return f"gemm-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.json"


def _measured(device: Device) -> dict[str, str]:
    return device.cache("clnet.gemm: measured forms", lambda: _load(device))


def _load(device: Device) -> dict[str, str]:
    """What earlier processes found; nothing where the file is missing or damaged."""
    try:
        found = json.loads(disk.read(_file(device)) or b"{}")
    except ValueError:
        return {}
    return {str(key): str(name) for key, name in found.items()} if isinstance(found, dict) else {}


def _remember(device: Device, problem: Problem, form: str) -> None:
    """For this process, and on disk beside what other processes have put there since."""
    measured = _measured(device)
    measured[_key(problem)] = form
    disk.write(_file(device), json.dumps(_load(device) | measured, indent=0, sort_keys=True).encode())
