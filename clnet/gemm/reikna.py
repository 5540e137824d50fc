"""reikna's MatrixMul as a provider: any device, any dtype, the reference for clnet's own forms."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.gemm.problem import Problem, c_type
from clnet.kernels import Launch, define, read
from clnet.lowering import WORKSPACE, Epilogue, Lowering

LARGEST = 16  # side of a work-group: of the 64 that PoCL allows, 128x784x100 takes 51 ms


def lower(device: Device, problem: Problem, a: Hashable, b: Hashable, epilogue: Epilogue) -> Lowering:
    """MatrixMul into the workspace, then the epilogue in a launch of its own. Needs k >= 1, and operands of dtype."""
    if problem.half:
        raise ArgumentError(f"gemm: reikna multiplies float32 and float64, got float16 operands of {problem}")
    key = ("clnet.gemm.reikna", problem)
    source, name, sizes, names = device.cache(key, lambda: _compile(device, problem))
    slots = {"output": WORKSPACE, "matrix_a": a, "matrix_b": b}
    product = Launch(source, name, tuple(slots[each] for each in names), *sizes)
    text = define(T=c_type(problem.dtype), **epilogue.macros) + read("gemm_finish.cl")
    grid = (problem.n, problem.m, problem.batch)
    finish = Launch(epilogue.source + text, "gemm_finish", (WORKSPACE, *epilogue.arguments), grid, None)
    return Lowering((product, finish), problem.batch * problem.m * problem.n * problem.dtype.itemsize)


def _compile(device: Device, problem: Problem) -> tuple[str, str, tuple[Any, Any], list[str]]:
    """What reikna would run: source, kernel's name, global and local size, and what its arguments are."""
    from reikna.cluda import ocl_api  # here: it takes 0.2 s to import, and few need it
    from reikna.core import Type
    from reikna.linalg import MatrixMul

    m, n, k, batch = problem.m, problem.n, problem.k, problem.batch
    a_shape = (batch if problem.a_batched else 1, *((k, m) if problem.transpose_a else (m, k)))
    b_shape = (batch if problem.b_batched else 1, *((n, k) if problem.transpose_b else (k, n)))
    product = MatrixMul(
        Type(problem.dtype, shape=a_shape),
        Type(problem.dtype, shape=b_shape),
        out_arr=Type(problem.dtype, shape=(batch, m, n)),
        block_width_override=min(LARGEST, int(np.sqrt(device.facts.max_work_group))),
        transposed_a=problem.transpose_a,
        transposed_b=problem.transpose_b,
    )
    thread = device.cache("clnet.gemm.reikna: thread", lambda: ocl_api().Thread(device.queue))
    (call,) = product.compile(thread)._kernel_calls
    kernel = call._kernel
    return (
        kernel._program.source,
        kernel._kernel._kernel.function_name,
        (kernel.global_size, kernel.local_size),
        call._argnames,
    )
