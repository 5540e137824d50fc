"""Convolutions as layers: pictures are (batch, height, width, channels), sequences (batch, steps, channels)."""

from __future__ import annotations

from typing import ClassVar

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.activation import ActivationFunction, ActivationName, activate
from clnet.nn.initializers import Initializer, InitializerName, initializer
from clnet.nn.layer import Layer, Shape
from clnet.nn.regularizers import Regularizer
from clnet.ops.windows import Padding, Size, paddings, pair
from clnet.tensor import Tensor
from clnet.variable import Variable


class _Convolution(Layer):
    """activation(x convolved with the weights, + b), over `axes` axes."""

    axes: ClassVar[int]
    weight: Variable
    bias: Variable | None = None

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        *,
        strides: Size = 1,
        padding: Padding = "valid",
        dilation_rate: Size = 1,
        groups: int = 1,
        activation: ActivationName | ActivationFunction | None = None,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
    ) -> None:
        if groups < 1 or filters < 1 or filters % groups:
            raise ArgumentError(f"{self.name}: {filters} filters in {groups} groups, wants a multiple of 1 or more")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.groups = groups
        self.activation = activation
        self.use_bias = use_bias
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer
        self.weight_regularizer = weight_regularizer
        self.bias_regularizer = bias_regularizer
        self._check()

    def _check(self) -> None:
        sizes = pair(self.name, "kernel_size", self.kernel_size, axes=self.axes)
        steps = pair(self.name, "strides", self.strides, axes=self.axes)
        apart = pair(self.name, "dilation_rate", self.dilation_rate, axes=self.axes)
        paddings(self.name, self.padding, (1, 1), sizes, steps, apart, axes=self.axes)
        activate(self.activation), initializer(self.weight_initializer), initializer(self.bias_initializer)

    def setup(self, shape: Shape) -> None:
        channels = picture(self, shape, self.axes)
        if channels % self.groups:
            raise ShapeError(f"{self.name}: {channels} channels do not divide among {self.groups} groups")
        sizes = pair(self.name, "kernel_size", self.kernel_size, axes=self.axes)[2 - self.axes :]
        self.add_variable("weight", (*sizes, channels // self.groups, self.filters), self.weight_initializer)
        if self.use_bias:
            self.add_variable("bias", (self.filters,), self.bias_initializer)

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        picture(self, x.shape, self.axes, self.weight.shape[-2] * self.groups)
        y = self.convolved(ops.cast(x, self.weight.dtype))
        return activate(self.activation)(y if self.bias is None else y + ops.cast(self.bias, y.dtype))

    def convolved(self, x: Tensor) -> Tensor:
        """The convolution alone."""
        return ops.convolution(
            x,
            self.weight,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=self.groups,
        )

    def __repr__(self) -> str:
        return f"{self.name}({self.filters}, {self.kernel_size})"


class Conv1D(_Convolution):
    """y = activation(x * W + b): x (batch, steps, channels), W (kernel_size, channels / groups, filters), y (batch, new
    steps, filters).

    Arguments as in `Conv2D`, of one axis.
    """

    axes = 1


class Conv2D(_Convolution):
    """y = activation(x * W + b): x (batch, height, width, channels), W (kernel height, kernel width, channels / groups,
    filters), b (filters,), y (batch, rows, columns, filters).

    kernel_size, strides, dilation_rate: an integer, or one for each axis. padding: "valid" is none, "same" gives
    ceil(extent / stride) rows and columns, else an integer, one or (before, after) for each axis. With groups, each
    part of the filters sees its part of the channels. See `ops.convolution`.
    """

    axes = 2


class DepthwiseConv2D(_Convolution):
    """Each channel convolved with `depth_multiplier` kernels of its own: a Conv2D with as many groups as channels.

    W (kernel height, kernel width, 1, channels * depth_multiplier); other arguments as in `Conv2D`.
    """

    axes = 2

    def __init__(
        self,
        kernel_size: Size,
        *,
        strides: Size = 1,
        padding: Padding = "valid",
        dilation_rate: Size = 1,
        depth_multiplier: int = 1,
        activation: ActivationName | ActivationFunction | None = None,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
    ) -> None:
        if depth_multiplier < 1:
            raise ArgumentError(f"{self.name}: depth_multiplier is {depth_multiplier}, wants at least 1")
        super().__init__(
            depth_multiplier,
            kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            weight_initializer=weight_initializer,
            bias_initializer=bias_initializer,
            weight_regularizer=weight_regularizer,
            bias_regularizer=bias_regularizer,
        )
        self.depth_multiplier = depth_multiplier

    def setup(self, shape: Shape) -> None:
        self.groups = picture(self, shape, 2)
        self.filters = self.groups * self.depth_multiplier
        super().setup(shape)

    def __repr__(self) -> str:
        return f"{self.name}({self.kernel_size})"


class SeparableConv2D(Layer):
    """A DepthwiseConv2D without bias, then a Conv2D of 1 x 1 with bias and activation (arXiv:1610.02357).

    Variables: depthwise/weight, pointwise/weight, pointwise/bias. Arguments as in `Conv2D` and `DepthwiseConv2D`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        *,
        strides: Size = 1,
        padding: Padding = "valid",
        dilation_rate: Size = 1,
        depth_multiplier: int = 1,
        activation: ActivationName | ActivationFunction | None = None,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
    ) -> None:
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.depth_multiplier = depth_multiplier
        self.activation = activation
        self.use_bias = use_bias
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer
        self.weight_regularizer = weight_regularizer
        self.bias_regularizer = bias_regularizer
        self.depthwise = DepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            depth_multiplier=depth_multiplier,
            use_bias=False,
            weight_initializer=weight_initializer,
            weight_regularizer=weight_regularizer,
        )
        self.pointwise = Conv2D(
            filters,
            1,
            activation=activation,
            use_bias=use_bias,
            weight_initializer=weight_initializer,
            bias_initializer=bias_initializer,
            weight_regularizer=weight_regularizer,
            bias_regularizer=bias_regularizer,
        )

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y

    def __repr__(self) -> str:
        return f"SeparableConv2D({self.filters}, {self.kernel_size})"


class Conv2DTranspose(_Convolution):
    """y = activation(x * W' + b): the transpose of a convolution, which makes pictures larger by its strides.

    x (batch, height, width, channels), W (kernel height, kernel width, channels / groups, filters). output_padding:
    rows and columns added at the end, less than the strides; None: as many as Keras adds. See
    `ops.transposed_convolution`.
    """

    axes = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        *,
        strides: Size = 1,
        padding: Padding = "valid",
        output_padding: Size | None = None,
        dilation_rate: Size = 1,
        groups: int = 1,
        activation: ActivationName | ActivationFunction | None = None,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            weight_initializer=weight_initializer,
            bias_initializer=bias_initializer,
            weight_regularizer=weight_regularizer,
            bias_regularizer=bias_regularizer,
        )
        self.output_padding = output_padding
        if output_padding is not None:
            pair(self.name, "output_padding", output_padding, least=0)

    def convolved(self, x: Tensor) -> Tensor:
        return ops.transposed_convolution(
            x,
            self.weight,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation_rate,
            groups=self.groups,
        )


def picture(layer: Layer, shape: Shape, axes: int, wanted: int | None = None) -> int:
    """The channels of a picture (or sequence); `ShapeError` unless it has so many axes, and the channels wanted."""
    if len(shape) != axes + 2:
        layout = "(batch, height, width, channels)" if axes == 2 else "(batch, steps, channels)"
        raise ShapeError(f"{layer.name}: input has shape {shape}, wants {layout}")
    if wanted is not None and shape[-1] != wanted:
        raise ShapeError(f"{layer.name}: input has {shape[-1]} channels, weights want {wanted}")
    return shape[-1]
