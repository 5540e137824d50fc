"""Single operations to compare, as data: products of matrices, convolutions and their gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gemm
import numpy as np

TRANSPOSES = ("NN", "NT", "TN", "TT")
WHAT = ("forward", "input", "weight")
PICTURES = [  # batch x height x width x channels, filters @ kernel / stride + padding
    "10x28x28x1 20@5/1+0",  # Nielsen's
    "64x28x28x1 20@5/1+0",
    "10x12x12x20 40@5/1+0",
    "64x12x12x20 40@5/1+0",
    "64x32x32x3 32@3/1+1",  # the CIFAR network
    "64x32x32x32 32@3/1+1",
    "64x16x16x32 64@3/1+1",
    "64x16x16x64 64@3/1+1",
    "32x32x32x16 16@3/1+1",  # the residual network
    "32x32x32x32 64@1/1+0",  # the separable one
    "32x16x16x64 128@1/1+0",
    "32x32x32x32 64@3/2+1",
    "8x56x56x64 64@3/1+1",  # a ResNet's
    "8x14x14x256 256@3/1+1",
    "8x7x7x512 512@3/1+1",
    "7x31x29x13 17@3/1+1",
]


@dataclass(frozen=True)
class Product:
    """(m, k) @ (k, n), either operand given transposed; a unit is one product."""

    shape: str  # MxNxK
    transposes: str

    wanted, aim = 1.0, 1.1
    sides = ("clnet", "torch", "numpy")

    @property
    def label(self) -> str:
        return f"{self.shape} {self.transposes}"

    @property
    def sizes(self) -> tuple[int, int, int]:
        m, n, k = map(int, self.shape.split("x"))
        return m, n, k

    @property
    def operations(self) -> float:
        return 2.0 * math.prod(self.sizes)

    @property
    def counts(self) -> bool:
        """Whether it is large enough for its ratio to be part of the mean."""
        return math.prod(self.sizes) >= gemm.LEAST

    @property
    def bytes(self) -> float:
        m, n, k = self.sizes
        return 4.0 * (m * k + k * n + m * n)

    def task(self, device: str) -> dict[str, Any]:
        return {"work": "matmul", "transposes": self.transposes, "device": device}

    def arrays(self) -> dict[str, np.ndarray]:
        a, b = gemm.operands(self.sizes, self.transposes)
        return {"a": a, "b": b}


@dataclass(frozen=True)
class Convolution:
    """Pictures with filters, or the gradient by either of them; a unit is one of these."""

    shape: str
    what: str  # of WHAT

    wanted, aim = 1.1, 1.3
    counts = True
    sides = ("clnet", "torch", "torch.channels_last")

    @property
    def label(self) -> str:
        return f"{self.shape} {self.what}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch, height, width, channels, filters, kernel, stride, padding."""
        words = self.shape
        for mark in " @/+":
            words = words.replace(mark, "x")
        return tuple(map(int, words.split("x")))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        batch, height, width, channels, filters, kernel, stride, padding = self.sizes
        rows, columns = ((extent + 2 * padding - kernel) // stride + 1 for extent in (height, width))
        return {
            "x": (batch, height, width, channels),
            "w": (kernel, kernel, channels, filters),
            "dy": (batch, rows, columns, filters),
        }

    @property
    def operations(self) -> float:
        return 2.0 * math.prod(self.shapes["dy"][:3]) * math.prod(self.shapes["w"])

    @property
    def bytes(self) -> float:
        return 4.0 * sum(math.prod(shape) for shape in self.shapes.values())

    def task(self, device: str) -> dict[str, Any]:
        *_, stride, padding = self.sizes
        return {"work": "convolution", "what": self.what, "strides": stride, "padding": padding, "device": device}

    def arrays(self) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        return {name: random.standard_normal(shape, np.float32) for name, shape in self.shapes.items()}


def products(seed: int) -> list[Product]:
    return [Product(shape, transposes) for shape in gemm.shapes(seed) for transposes in TRANSPOSES]


def convolutions() -> list[Convolution]:
    return [Convolution(shape, what) for shape in PICTURES for what in WHAT]
