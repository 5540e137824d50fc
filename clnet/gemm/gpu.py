"""The forms of the product for GPUs: gemm_gpu.cl with tiles of three sizes. They run on any device."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil

import numpy as np

from clnet.device import Device
from clnet.gemm.problem import Problem, c_type
from clnet.kernels import Launch, define, read
from clnet.lowering import Epilogue, Lowering

BATCHES = 65535  # work-groups in the third dimension, which drivers limit; each takes its share of the matrices


@dataclass(frozen=True)
class Form:
    """A work-group's tile of C, the steps of k in local memory, and the side of a work-item's square of sums."""

    tile: int
    steps: int
    side: int

    @property
    def name(self) -> str:
        return f"gpu-{self.tile}x{self.tile}"

    @property
    def items(self) -> int:
        return (self.tile // self.side) ** 2


FORMS = (Form(128, 8, 8), Form(64, 16, 4), Form(32, 16, 4))


def forms(device: Device, problem: Problem) -> list[Form]:
    """Those that fit the device, the likely best first: the largest tile of which every unit gets two."""
    fitting = [form for form in FORMS if form.items <= device.facts.max_work_group]

    def idle(form: Form) -> bool:
        tiles = ceil(problem.m / form.tile) * ceil(problem.n / form.tile) * problem.batch
        return tiles < 2 * device.facts.units

    return sorted(fitting, key=lambda form: (idle(form), form.tile if idle(form) else -form.tile))


def parse(name: str) -> Form | None:
    """The form of this name."""
    return next((form for form in FORMS if form.name == name), None)


def lower(problem: Problem, a: Hashable, b: Hashable, epilogue: Epilogue, form: Form) -> Lowering:
    """One launch."""
    m, n, k = problem.m, problem.n, problem.k
    source = define(
        T=c_type(problem.dtype),
        **problem.stored,
        TM=form.tile,
        TN=form.tile,
        TK=form.steps,
        RM=form.side,
        RN=form.side,
        TRANSPOSE_A=int(problem.transpose_a),
        TRANSPOSE_B=int(problem.transpose_b),
        **epilogue.macros,
    )
    strides = np.uint64(m * k * problem.a_batched), np.uint64(k * n * problem.b_batched)
    arguments = (a, b, np.int32(m), np.int32(n), np.int32(k), np.int32(problem.batch), *strides, *epilogue.arguments)
    across = form.tile // form.side
    grid = (ceil(n / form.tile) * across, ceil(m / form.tile) * across, min(problem.batch, BATCHES))
    launch = Launch(epilogue.source + source + read("gemm_gpu.cl"), "gemm", arguments, grid, (across, across, 1))
    return Lowering((launch,))
