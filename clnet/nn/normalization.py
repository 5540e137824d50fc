"""Normalization: activations brought to mean 0 and variance 1, then scaled and moved by weights.

All are compositions. Where elements far apart make a statistic (down the rows of a batch), moments are taken around a
shift, the first element, in one walk through memory:

    variance = mean((x - s) squared) - (mean(x - s)) squared,  y = (x - s) scale + (beta - mean(x - s) scale)

hold for any s, so derivatives of every order may take it for a constant, and the gradient needs one walk, too. What
cancels is no worse than the distance of s from the mean in deviations (Chan, Golub, LeVeque 1983).
"""

from __future__ import annotations

from collections.abc import Sequence

from clnet import ops, trace
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.layer import Layer, Shape
from clnet.ops.elementwise import in_float32
from clnet.tensor import Tensor
from clnet.variable import Variable


class Normalization(Layer):
    """What all have in common: `gamma` that scales and `beta` that moves, unless switched off, and `epsilon`."""

    gamma: Variable | None = None
    beta: Variable | None = None

    def __init__(self, *, epsilon: float, center: bool = True, scale: bool = True) -> None:
        if not epsilon > 0:
            raise ArgumentError(f"{self.name}: epsilon is {epsilon}, wants a number above 0")
        self.epsilon = epsilon
        self.center = center
        self.scale = scale

    def add_affine(self, shape: Shape) -> None:
        """Make gamma and beta for what has this shape."""
        if self.scale:
            self.add_variable("gamma", shape, "ones")
        if self.center:
            self.add_variable("beta", shape, "zeros")

    def affine(self, shape: Shape) -> tuple[Tensor | float, Tensor | float]:
        """Gamma and beta seen under a shape that broadcasts."""
        gamma = 1.0 if self.gamma is None else ops.reshape(self.gamma, shape)
        return gamma, 0.0 if self.beta is None else ops.reshape(self.beta, shape)

    def axes_of(self, x: Shape, axis: int | Sequence[int]) -> tuple[int, ...]:
        """Axes from the front, sorted; never the batch's."""
        named = (axis,) if isinstance(axis, int) else tuple(axis)
        found = sorted({each % len(x) for each in named if -len(x) <= each < len(x)})
        if len(found) != len(named) or not found or 0 in found:
            raise ShapeError(
                f"{self.name}: input has shape {x}, axis is {axis}; wants axes behind the batch, once each"
            )
        return tuple(found)

    def check(self, x: Shape, axes: Sequence[int]) -> Shape:
        """The shape under which weights broadcast; `ShapeError` unless x has their extents along these axes."""
        own = self.gamma if self.gamma is not None else self.beta
        got = tuple(x[axis] for axis in axes)
        if own is not None and got != own.shape:
            raise ShapeError(f"{self.name}: input of shape {x} has {got} along axes {tuple(axes)}, weights {own.shape}")
        return tuple(extent if axis in axes else 1 for axis, extent in enumerate(x))


class BatchNorm(Normalization):
    """y = (x - mean) / sqrt(variance + epsilon) gamma + beta, for each place along `axis`, the channels.

    In training mean and variance are those of the batch, over all other axes, and move the running ones:
    running <- momentum running + (1 - momentum) batch, in the step. Otherwise they are the running ones, so that a
    sample's result does not depend on its batch; `fold_batch_norm` then makes them part of the layer before. The
    variance is the biased one in both places. x: (batch, channels), (batch, height, width, channels), or any with the
    channels along `axis`. Ioffe and Szegedy 2015; defaults as in Keras.
    """

    moving_mean: Variable
    moving_variance: Variable

    def __init__(
        self,
        *,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
    ) -> None:
        super().__init__(epsilon=epsilon, center=center, scale=scale)
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"BatchNorm: momentum is {momentum}, wants 0 to 1")
        self.axis = axis
        self.momentum = momentum

    def setup(self, shape: Shape) -> None:
        (axis,) = self.axes_of(shape, self.axis)
        self.add_affine(shape[axis : axis + 1])
        self.add_variable("moving_mean", shape[axis : axis + 1], "zeros", trainable=False)
        self.add_variable("moving_variance", shape[axis : axis + 1], "ones", trainable=False)

    @in_float32
    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        axes = self.axes_of(x.shape, self.axis)
        shape = self.check(x.shape, axes)
        if training:
            shift, mean, variance = moments(x, [axis for axis in range(x.ndim) if axis not in axes])
            self._move(self.moving_mean, shift + mean)
            self._move(self.moving_variance, variance)
        else:
            shift, mean = ops.reshape(self.moving_mean, shape), ops.zeros(shape, dtype=x.dtype, device=x.device)
            variance = ops.reshape(self.moving_variance, shape)
        gamma, beta = self.affine(shape)
        factor = ops.rsqrt(variance + self.epsilon) * gamma
        return (x - shift) * factor + (beta - mean * factor)

    def _move(self, running: Variable, batch: Tensor) -> None:
        """A layer that is called several times in a step moves as often."""
        old = trace.pending(running)
        running.assign(self.momentum * old + (1 - self.momentum) * ops.reshape(batch, running.shape))


class LayerNorm(Normalization):
    """y = (x - mean) / sqrt(variance + epsilon) gamma + beta, with mean and variance of each sample along `axis`.

    axis: one or several, the last by default; gamma and beta have its shape. Ba, Kiros, Hinton 2016; as in Keras.
    """

    def __init__(
        self, *, axis: int | Sequence[int] = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True
    ) -> None:
        super().__init__(epsilon=epsilon, center=center, scale=scale)
        self.axis = axis

    def setup(self, shape: Shape) -> None:
        self.add_affine(tuple(shape[axis] for axis in self.axes_of(shape, self.axis)))

    @in_float32
    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        axes = self.axes_of(x.shape, self.axis)
        gamma, beta = self.affine(self.check(x.shape, axes))
        mean = ops.mean(x, axis=axes, keepdims=True)
        shift = ops.stop_gradient(mean)  # the exact one: a row is in cache when it is walked again
        rest = mean - shift  # 0, and the gradient of the mean
        variance = ops.mean(ops.square(x - shift), axis=axes, keepdims=True) - ops.square(rest)
        return (x - shift - rest) * ops.rsqrt(variance + self.epsilon) * gamma + beta


class GroupNorm(Normalization):
    """y = (x - mean) / sqrt(variance + epsilon) gamma + beta, over all places and a group of channels of each sample.

    x: (batch, ..., channels); groups must divide the channels, whose number of gamma and beta there are. One group is
    a layer normalization of whole samples, one channel a group an instance normalization. Wu and He 2018; as in Keras.
    """

    def __init__(self, groups: int = 32, *, epsilon: float = 1e-3, center: bool = True, scale: bool = True) -> None:
        super().__init__(epsilon=epsilon, center=center, scale=scale)
        if groups < 1:
            raise ArgumentError(f"GroupNorm: groups is {groups}, wants at least 1")
        self.groups = groups

    def setup(self, shape: Shape) -> None:
        self.axes_of(shape, -1)
        if shape[-1] % self.groups:
            raise ShapeError(f"GroupNorm: input has {shape[-1]} channels, which {self.groups} groups do not divide")
        self.add_affine(shape[-1:])

    @in_float32
    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        gamma, beta = self.affine(self.check(x.shape, self.axes_of(x.shape, -1))[1:])
        batch, channels = x.shape[0], x.shape[-1]
        flat = ops.reshape(x, (batch, -1, channels))
        shift, mean, variance = moments(flat, [1])  # of each channel, then of those of a group
        local = ops.reshape(shift + mean, (batch, self.groups, -1))
        center = ops.mean(local, axis=2, keepdims=True)
        spread = ops.mean(ops.reshape(variance, local.shape) + ops.square(local - center), axis=2, keepdims=True)
        factor = ops.reshape(ops.broadcast_to(ops.rsqrt(spread + self.epsilon), local.shape), mean.shape) * gamma
        mean = ops.reshape(ops.broadcast_to(center, local.shape), mean.shape) - shift
        return ops.reshape((flat - shift) * factor + (beta - mean * factor), x.shape)


class RMSNorm(Normalization):
    """y = x / sqrt(mean of x squared along `axis` + epsilon) gamma. Zhang and Sennrich 2019 (arXiv:1910.07467)."""

    def __init__(self, *, axis: int | Sequence[int] = -1, epsilon: float = 1e-6) -> None:
        super().__init__(epsilon=epsilon, center=False)
        self.axis = axis

    def setup(self, shape: Shape) -> None:
        self.add_affine(tuple(shape[axis] for axis in self.axes_of(shape, self.axis)))

    @in_float32
    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        axes = self.axes_of(x.shape, self.axis)
        gamma, _ = self.affine(self.check(x.shape, axes))
        return x * ops.rsqrt(ops.mean(ops.square(x), axis=axes, keepdims=True) + self.epsilon) * gamma


def moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """(shift, mean - shift, variance) along axes, which stay with extent 1, in one walk through x."""
    first = tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(x.ndim))
    shift = ops.stop_gradient(x[first])
    centered = x - shift
    mean = ops.mean(centered, axis=axes, keepdims=True)
    square = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    return shift, mean, ops.maximum(square - ops.square(mean), 0.0)
