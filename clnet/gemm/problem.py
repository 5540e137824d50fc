"""What a matrix product is, and the registers that compute it."""

from __future__ import annotations

import platform
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from clnet.device import Device
from clnet.kernels import DOUBLE
from clnet.lowering import Epilogue


@dataclass(frozen=True)
class Problem:
    """C = op(A) op(B) for each of `batch` matrices: C (batch, m, n), all arrays row-major and contiguous.

    A is (m, k), or (k, m) where `transpose_a`; B is (k, n), or (n, k) where `transpose_b`. An operand that is not
    batched is shared by all matrices. `dtype` is that of C and of its sums; where `half`, A and B are float16.
    """

    m: int
    n: int
    k: int
    batch: int
    transpose_a: bool
    transpose_b: bool
    a_batched: bool
    b_batched: bool
    dtype: np.dtype[Any]
    half: bool = False

    @property
    def stored(self) -> dict[str, int]:
        """What kernels are told of A and B in memory."""
        return {"HALF": 1} if self.half else {}


def swapped(problem: Problem) -> Problem:
    """The product of the same numbers whose result is the transposed one: (A B)' = B' A'."""
    return replace(
        problem,
        m=problem.n,
        n=problem.m,
        transpose_a=not problem.transpose_b,
        transpose_b=not problem.transpose_a,
        a_batched=problem.b_batched,
        b_batched=problem.a_batched,
    )


class Typed(Protocol):
    """What has elements of a dtype."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of every array."""


@dataclass(frozen=True)
class Registers:
    """A core's vector registers: `count` of them, of so many `bytes`, in which `width` elements of `size` bytes lie."""

    count: int
    width: int
    size: int
    bytes: int

    @classmethod
    def of(cls, device: Device, like: Typed) -> Registers:
        size = max(16, 4 * device.facts.vector_width)  # bytes; a simulator claims vectors of one float
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        return cls(16 if x86 and size < 64 else 32, size // like.dtype.itemsize, like.dtype.itemsize, size)

    def within(self, extent: int) -> Registers:
        """As many of the elements as an array of this extent can fill."""
        return replace(self, width=min(self.width, 1 << (extent.bit_length() - 1)))

    @property
    def parameters(self) -> dict[str, int | str]:
        """What gemm_registers.cl wants to know."""
        return {"T": {4: "float", 8: "double"}[self.size], "BYTES": self.bytes, "WIDTH": self.width}


def c_type(dtype: np.dtype[Any]) -> str:
    """The name of a floating type in OpenCL C."""
    return {4: "float", 8: "double"}[dtype.itemsize]


def store(out: Hashable, problem: Problem) -> Epilogue:
    """C as it is, into slot `out`."""
    name = c_type(problem.dtype)
    source = DOUBLE * (name == "double") + (
        f"static inline __attribute__((always_inline)) void epilogue({name} value, size_t batch, int row, int column,\n"
        f"                            __global {name} *restrict p0, const int d0, const int d1) {{\n"
        "    p0[(batch * d0 + row) * d1 + column] = value;\n}\n"
    )
    parameters = f"__global {name} *restrict p0, const int d0, const int d1"
    arguments = (out, np.int32(problem.m), np.int32(problem.n))
    return Epilogue(source, parameters, "p0, d0, d1", arguments, plain=True)
