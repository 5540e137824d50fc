"""Dense: every output is a weighted sum of every input."""

from __future__ import annotations

from clnet import ops
from clnet.errors import ArgumentError
from clnet.nn.activation import ActivationFunction, ActivationName, activate
from clnet.nn.initializers import Initializer, InitializerName, initializer
from clnet.nn.layer import Layer, Shape, features
from clnet.nn.regularizers import Regularizer
from clnet.tensor import Tensor
from clnet.variable import Variable


class Dense(Layer):
    """y = activation(x W + b): x (batch, ..., inputs), W (inputs, units), b (units,), y (batch, ..., units).

    Integer inputs (pictures of uint8) are cast to the weights' dtype, unscaled. Keras's `kernel_initializer` is
    `weight_initializer` here, where a kernel is an OpenCL kernel.
    """

    weight: Variable
    bias: Variable | None = None

    def __init__(
        self,
        units: int,
        *,
        activation: ActivationName | ActivationFunction | None = None,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
    ) -> None:
        if units < 1:
            raise ArgumentError(f"Dense: units is {units}, wants at least 1")
        self.units = units
        self.activation = activation
        self.use_bias = use_bias
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer
        self.weight_regularizer = weight_regularizer
        self.bias_regularizer = bias_regularizer
        activate(activation), initializer(weight_initializer), initializer(bias_initializer)

    def setup(self, shape: Shape) -> None:
        self.add_variable("weight", (shape[-1], self.units), self.weight_initializer)
        if self.use_bias:
            self.add_variable("bias", (self.units,), self.bias_initializer)

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        features(self, x, self.weight.shape[0])
        y = ops.matmul(ops.cast(x, self.weight.dtype), self.weight)
        return activate(self.activation)(y if self.bias is None else y + ops.cast(self.bias, y.dtype))

    def __repr__(self) -> str:
        return f"Dense({self.units})"
