"""The direct convolution and its gradient by the weights: a form for CPUs and one for GPUs."""

from __future__ import annotations

from collections.abc import Hashable

from clnet.convolution import cpu, gpu
from clnet.convolution.problem import Problem
from clnet.device import Device
from clnet.lowering import Epilogue, Lowering, Target

__all__ = ["Problem", "lower", "lower_weights", "suits"]


def suits(device: Device, problem: Problem) -> bool:
    """Whether the kernels for this kind of device are for it; else the product of its windows is."""
    return problem.batch > 0 and (device.kind == "gpu" or cpu.suits(device, problem))


def lower(problem: Problem, x: Hashable, w: Hashable, epilogue: Epilogue, target: Target) -> Lowering:
    """The launches that compute y from slots x and w."""
    if target.gpu:
        return gpu.lower(problem, x, w, epilogue)
    return cpu.lower(target.device, problem, x, w, epilogue, target.units)


def lower_weights(problem: Problem, x: Hashable, dy: Hashable, epilogue: Epilogue, target: Target) -> Lowering:
    """The launches that compute dw from slots x and dy."""
    if target.gpu:
        return gpu.lower_weights(problem, x, dy, epilogue)
    return cpu.lower_weights(target.device, problem, x, dy, epilogue, target.units)
