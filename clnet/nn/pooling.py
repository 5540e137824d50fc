"""Pools and upsampling as layers: pictures are (batch, height, width, channels), sequences (batch, steps, channels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from clnet import ops
from clnet.nn.convolution import picture
from clnet.nn.layer import Layer
from clnet.ops.upsampling import Interpolation
from clnet.ops.windows import Padding, Size, paddings, pair
from clnet.tensor import Tensor


class _Pool(Layer):
    """y = one number for each window and channel."""

    axes: ClassVar[int]
    pool: ClassVar[Callable[..., Tensor]]

    def __init__(self, pool_size: Size = 2, *, strides: Size | None = None, padding: Padding = "valid") -> None:
        sizes = pair(self.name, "pool_size", pool_size, axes=self.axes)
        steps = sizes if strides is None else pair(self.name, "strides", strides, axes=self.axes)
        paddings(self.name, padding, (1, 1), sizes, steps, (1, 1), axes=self.axes)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        picture(self, x.shape, self.axes)
        return type(self).pool(x, self.pool_size, strides=self.strides, padding=self.padding)

    def __repr__(self) -> str:
        return f"{self.name}({self.pool_size})"


class MaxPool1D(_Pool):
    """The maximum of each window of a sequence; arguments as in `MaxPool2D`."""

    axes, pool = 1, staticmethod(ops.max_pool)


class MaxPool2D(_Pool):
    """The maximum of each window: (batch, height, width, channels) to (batch, rows, columns, channels).

    pool_size and strides (default: the pool's size): an integer, or one for each axis. padding as in `nn.Conv2D`; it
    never is the maximum.
    """

    axes, pool = 2, staticmethod(ops.max_pool)


class AvgPool1D(_Pool):
    """The mean of each window of a sequence; arguments as in `MaxPool2D`. Padding does not count."""

    axes, pool = 1, staticmethod(ops.average_pool)


class AvgPool2D(_Pool):
    """The mean of each window; arguments as in `MaxPool2D`. Padding does not count."""

    axes, pool = 2, staticmethod(ops.average_pool)


class L2Pool1D(_Pool):
    """The root of the sum of squares of each window of a sequence; arguments as in `MaxPool2D`."""

    axes, pool = 1, staticmethod(ops.l2_pool)


class L2Pool2D(_Pool):
    """The root of the sum of squares of each window (Nielsen, chapter 6); arguments as in `MaxPool2D`."""

    axes, pool = 2, staticmethod(ops.l2_pool)


class _GlobalPool(Layer):
    """y = one number for each channel: (batch, ..., channels) to (batch, channels), or (batch, 1, ...)."""

    axes: ClassVar[int]
    reduce: ClassVar[Callable[..., Any]]

    def __init__(self, *, keepdims: bool = False) -> None:
        self.keepdims = keepdims

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        picture(self, x.shape, self.axes)
        y: Tensor = type(self).reduce(x, axis=tuple(range(1, 1 + self.axes)), keepdims=self.keepdims)
        return y


class GlobalMaxPool1D(_GlobalPool):
    """The maximum over all steps: (batch, steps, channels) to (batch, channels)."""

    axes, reduce = 1, staticmethod(ops.max)


class GlobalMaxPool2D(_GlobalPool):
    """The maximum over height and width: (batch, height, width, channels) to (batch, channels)."""

    axes, reduce = 2, staticmethod(ops.max)


class GlobalAvgPool1D(_GlobalPool):
    """The mean over all steps: (batch, steps, channels) to (batch, channels)."""

    axes, reduce = 1, staticmethod(ops.mean)


class GlobalAvgPool2D(_GlobalPool):
    """The mean over height and width: (batch, height, width, channels) to (batch, channels)."""

    axes, reduce = 2, staticmethod(ops.mean)


class UpSample2D(Layer):
    """Each pixel becomes `size` of them: (batch, height, width, channels) to (batch, height * size, width * size,
    channels), by copies ("nearest") or lines between their middles ("bilinear")."""

    def __init__(self, size: Size = 2, *, interpolation: Interpolation = "nearest") -> None:
        pair(self.name, "size", size)
        self.size = size
        self.interpolation = interpolation

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        picture(self, x.shape, 2)
        return ops.upsample(x, self.size, interpolation=self.interpolation)

    def __repr__(self) -> str:
        return f"UpSample2D({self.size})"
