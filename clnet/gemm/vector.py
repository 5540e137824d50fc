"""The form for CPUs of a product with a vector: gemm_vector.cl, which reads the matrix once, however it lies."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from math import ceil

import numpy as np

from clnet.gemm.problem import Problem, Registers, swapped
from clnet.kernels import Launch, define, read
from clnet.lowering import Epilogue, Lowering

NAME = "cpu-vector"
# Registers of the result that a work-group computes, where rows of B lie along k and where they lie along n.
# 1024 x 1024 on two cores: along k 47 us, with 2 of them 52; along n, 512 bytes of each row, 54 us, with 256 bytes 64.
ALONG_K, ALONG_N = 4, 8
SLOWER = 3  # than at full rate: each element of the matrix is read for one multiply-add, 58 us for 1024 x 1024


def suits(problem: Problem, registers: Registers) -> bool:
    """Whether one side is a vector, of two registers or more. Then no other form for CPUs computes it.

    A function of the shape alone, because its order of summation is not that of the others.
    """
    short, long = sorted((problem.m, problem.n))
    return short == 1 and (long == 1 or long >= registers.width) and problem.k >= 2 * registers.width


def lower(problem: Problem, a: Hashable, b: Hashable, epilogue: Epilogue, registers: Registers) -> Lowering:
    """One launch."""
    is_swapped = problem.m != 1
    seen = swapped(problem) if is_swapped else problem
    seen = replace(seen, transpose_b=seen.transpose_b or seen.n == 1)
    first, second = (b, a) if is_swapped else (a, b)
    vectors = ceil(seen.n / registers.width)
    groups = ceil(vectors / (ALONG_K if seen.transpose_b else ALONG_N))
    columns = ceil(vectors / groups) * registers.width  # even: the last group may do some again
    source = define(
        **registers.parameters,
        **seen.stored,
        TRANSPOSE_B=int(seen.transpose_b),
        SWAPPED=int(is_swapped),
        COLUMNS=columns,
        **epilogue.macros,
    )
    source = epilogue.source + source + read("gemm_registers.cl") + read("gemm_vector.cl")
    strides = np.uint64(seen.k * seen.a_batched), np.uint64(seen.k * seen.n * seen.b_batched)
    arguments = (first, second, np.int32(seen.n), np.int32(seen.k), *strides, *epilogue.arguments)
    grid = (groups, seen.batch, 1)
    return Lowering((Launch(source, "gemm_vector", arguments, grid, (1, 1, 1)),))
