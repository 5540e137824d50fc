"""Activations: a function of kernels_cl/activation.cl, and its derivative as an expression over ops."""

from __future__ import annotations

from typing import Any

from clnet.compiled import eager
from clnet.errors import ArgumentError
from clnet.graph import Node
from clnet.ops.elementwise import Elementwise, Rule, erf, exp, operands, tanh, where
from clnet.tensor import Tensor
from clnet.trace import apply

LIBRARIES = ("math.cl", "activation.cl")


def _activation(title: str, call: str, rule: Rule, *, cheap: bool = False) -> Elementwise:
    return Elementwise(title, call, rule, LIBRARIES, cheap=cheap)


def _apply(op: Elementwise, x: Tensor, *parameters: float) -> Tensor:
    return apply(op, *operands(op.title, x, *parameters, floating=True))


# The derivative of relu reads y, which is in memory anyway; a comparison of its own would store a mask beside it.
_relu = _activation("relu", "relu({0})", lambda x, y, dy: [apply(_relu_backward, dy, y)], cheap=True)
_relu_backward: Elementwise = _activation(
    "relu_backward", "relu_backward({0}, {1})", lambda dy, y, dx, ddx: [apply(_relu_backward, ddx, y), None], cheap=True
)
_leaky_relu = _activation(
    "leaky_relu", "leaky_relu({0}, {1})", lambda x, slope, y, dy: [apply(_leaky_relu_backward, dy, y, slope), None]
)
_leaky_relu_backward: Elementwise = _activation(
    "leaky_relu_backward",
    "leaky_relu_backward({0}, {1}, {2})",
    lambda dy, y, slope, dx, ddx: [apply(_leaky_relu_backward, ddx, y, slope), None, None],
)
_elu = _activation("elu", "elu({0}, {1})", lambda x, a, y, dy: [where(x < 0, dy * (y + a), dy), None])
_sigmoid = _activation("sigmoid", "sigmoid({0})", lambda x, y, dy: [dy * y * (1 - y)])
_softplus = _activation("softplus", "softplus({0})", lambda x, y, dy: [dy * _apply(_sigmoid, x)])
_gelu = _activation("gelu", "gelu({0})", lambda x, y, dy: [dy * _gelu_slope(x)])
_hard_sigmoid = _activation(
    "hard_sigmoid", "hard_sigmoid({0})", lambda x, y, dy: [where((x > -3) & (x < 3), dy / 6, 0.0)]
)


def _gelu_slope(x: Node) -> Tensor:
    """Phi(x) + x phi(x)."""
    density = exp(x * x * -0.5) * 0.3989422804014327
    slope: Tensor = (erf(x * 0.7071067811865476) + 1) * 0.5 + x * density
    return slope


@eager
def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return _apply(_relu, x)


@eager
def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x, or slope * x where x < 0; slope >= 0. Source: Maas, Hannun, Ng (ICML 2013)."""
    if slope < 0:
        raise ArgumentError(f"leaky_relu: got slope {slope}, wanted 0 or more")
    return _apply(_leaky_relu, x, slope)


@eager
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x, or alpha (exp(x) - 1) where x < 0. Source: arXiv:1511.07289."""
    return _apply(_elu, x, alpha)


@eager
def selu(x: Tensor) -> Tensor:
    """1.0507 elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer. Source: arXiv:1706.02515."""
    return _scaled(elu(x, 1.6732632423543772), 1.0507009873554805)


@eager
def gelu(x: Tensor) -> Tensor:
    """x Phi(x), exact, Phi the distribution function of the normal law. Source: arXiv:1606.08415."""
    return _apply(_gelu, x)


@eager
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), also called swish. Source: arXiv:1702.03118."""
    return _scaled(sigmoid(x), x)


@eager
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return _apply(_softplus, x)


@eager
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _apply(_sigmoid, x)


@eager
def hard_sigmoid(x: Tensor) -> Tensor:
    """x / 6 + 1/2, limited to [0, 1]."""
    return _apply(_hard_sigmoid, x)


@eager
def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)). Source: arXiv:1908.08681."""
    return _scaled(tanh(softplus(x)), x)


def _scaled(x: Any, factor: Any) -> Tensor:
    scaled: Tensor = x * factor
    return scaled
