"""What a convolution is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Pair: TypeAlias = tuple[int, int]  # along height and width


@dataclass(frozen=True)
class Problem:
    """y[n, r, q, o] = sum of x'[n, r stride + i dilation - start, q stride + j dilation - start, c] w[i, j, c, o].

    Each of `networks` has weights w of its own; an operand that is shared serves all of them.

    x' is x with `spread` - 1 zeros between its elements and zeros around. x (batch, *inputs, channels), w (*kernel,
    channels, filters), y (batch, *outputs, filters). The gradient by x is such a sum with stride and spread exchanged.
    """

    batch: int
    inputs: Pair
    channels: int
    outputs: Pair
    filters: int
    kernel: Pair
    strides: Pair
    dilation: Pair
    spread: Pair
    starts: Pair
    dtype: np.dtype[Any]
    networks: int = 1
    x_shared: bool = False
    dy_shared: bool = False  # for the gradient by w
    half: bool = False  # the operands are float16; `dtype` is that of the sums and the result

    @property
    def multiply_adds(self) -> float:
        """How many it takes, those with zeros between elements not counted."""
        zeros = self.spread[0] * self.spread[1]
        taps = self.kernel[0] * self.kernel[1] * self.channels
        return self.networks * self.batch * self.outputs[0] * self.outputs[1] * self.filters * taps / zeros

    @property
    def weights(self) -> int:
        """Elements of w, of one network."""
        return self.kernel[0] * self.kernel[1] * self.channels * self.filters

    @property
    def reach(self) -> Pair:
        """From the first element of a window to its last, along each axis."""
        down, across = ((size - 1) * apart + 1 for size, apart in zip(self.kernel, self.dilation, strict=True))
        return down, across

    @property
    def is_whole(self) -> bool:
        """Whether every window of a row lies inside x, and x's elements side by side."""
        last = (self.outputs[1] - 1) * self.strides[1] + self.reach[1] - self.starts[1]
        return self.spread[1] == 1 and self.starts[1] <= 0 and last <= self.inputs[1]

    @property
    def constants(self) -> dict[str, int]:
        """The names by which kernels know the sizes."""
        found = {"HALF": 1} if self.half else {}
        found |= {"KERNEL_HEIGHT": self.kernel[0], "KERNEL_WIDTH": self.kernel[1]}
        for name, extents, channels in (("X", self.inputs, self.channels), ("Y", self.outputs, self.filters)):
            found |= {f"{name}_HEIGHT": extents[0], f"{name}_WIDTH": extents[1], f"{name}_CHANNELS": channels}
        named = {"STRIDE": self.strides, "DILATION": self.dilation, "SPREAD": self.spread, "START": self.starts}
        for name, (down, across) in named.items():
            found |= {f"{name}_DOWN": down, f"{name}_ACROSS": across}
        return found
