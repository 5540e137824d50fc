"""The matrix product: clnet's own forms for CPUs and GPUs and reikna's MatrixMul behind one interface."""

from __future__ import annotations

from collections.abc import Hashable

from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.gemm import cpu, gpu, reikna, selection, vector
from clnet.gemm.problem import Problem, Registers, store
from clnet.gemm.selection import forms, select, serial_is_faster, work
from clnet.lowering import Epilogue, Lowering

__all__ = [
    "Problem",
    "forms",
    "lower",
    "measure",
    "select",
    "serial_is_faster",
    "store",
    "work",
]


def lower(
    device: Device,
    problem: Problem,
    a: Hashable,
    b: Hashable,
    epilogue: Epilogue,
    *,
    form: str | None = None,
    units: int | None = None,
) -> Lowering:
    """The launches that compute the problem from slots `a` and `b`.

    `form`: a name from `forms`, any of gemm_gpu.cl's tiles ("gpu-64x64"), "gpu" for the likely best of those, "rule"
    for the likely best of all, measured or not, or "reikna"; None: what `select` says. `units`: cores that will share
    it; None: those that are worth waking.
    """
    if 0 in (problem.batch, problem.m, problem.n):
        return Lowering(())
    if form == "reikna" and problem.k > 0:  # it has no sum of nothing
        return reikna.lower(device, problem, a, b, epilogue)
    units = units or (1 if serial_is_faster(problem) else device.facts.units)
    name = _name(device, problem, form, units, epilogue.plain)
    registers = Registers.of(device, problem)
    for_gpu = gpu.parse(name)
    if for_gpu is not None:
        return gpu.lower(problem, a, b, epilogue, for_gpu)
    if vector.suits(problem, registers):
        if name == vector.NAME:
            return vector.lower(problem, a, b, epilogue, registers)
    else:
        for_cpu = cpu.parse(name, problem, registers)
        if for_cpu is not None:
            return cpu.lower(problem, a, b, epilogue, for_cpu, registers, units)
    raise ArgumentError(f"gemm: no form {name!r} for {problem}, wanted 'reikna' or one of {forms(device, problem)}")


def _name(device: Device, problem: Problem, form: str | None, units: int, plain: bool) -> str:
    """The name of the own form that `form` asks for."""
    if form in (None, "reikna"):
        return select(device, problem, units=units, plain=plain)
    if form == "gpu":
        return gpu.forms(device, problem)[0].name
    return forms(device, problem, units=units, plain=plain)[0] if form == "rule" else form


def measure(device: Device, problem: Problem, *, seconds: float = 0.2) -> str:
    """Time the own forms for so long, building not counted; remember the best, and return its name."""
    return selection.measure(
        device, problem, lambda name, epilogue: lower(device, problem, "a", "b", epilogue, form=name), seconds=seconds
    )
