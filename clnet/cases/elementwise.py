"""Ops on each element: arithmetic, comparison, activations, the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import ONE, TWO, Array, Case, sigmoid

_COMPARISONS = [
    ops.equal,
    ops.not_equal,
    ops.less,
    ops.less_equal,
    ops.greater,
    ops.greater_equal,
    ops.logical_and,
    ops.logical_or,
]


def _erf(x: Array) -> Array:
    result: Array = np.vectorize(math.erf, otypes=[np.float64])(x)
    return result


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x < 0, alpha * np.expm1(x), x)


def rows() -> list[Case]:
    positive = {"low": 0.1, "high": 3.0}
    unary: list[tuple[Any, Callable[..., Array], dict[str, Any]]] = [
        (ops.negative, np.negative, {}),
        (ops.exp, np.exp, {}),
        (ops.log, np.log, positive),
        (ops.log1p, np.log1p, {"low": -0.9}),
        (ops.sqrt, np.sqrt, positive),
        (ops.rsqrt, lambda x: 1 / np.sqrt(x), positive),
        (ops.tanh, np.tanh, {}),
        (ops.sin, np.sin, {"low": -9.0, "high": 9.0}),
        (ops.cos, np.cos, {"low": -9.0, "high": 9.0}),
        (ops.erf, _erf, {"low": -3.0, "high": 3.0}),
        (ops.abs, np.abs, {}),
        (ops.square, np.square, {}),
        (ops.floor, np.floor, {"gradient": False}),
        (ops.sign, np.sign, {"gradient": False}),
        (ops.isnan, np.isnan, {"gradient": False}),
        (ops.logical_not, np.logical_not, {"gradient": False}),
        (ops.relu, lambda x: np.maximum(x, 0), {}),
        (ops.leaky_relu, lambda x: np.where(x < 0, 0.01 * x, x), {}),
        (ops.elu, _elu, {}),
        (ops.selu, lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772), {}),
        (ops.gelu, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), {}),
        (ops.silu, lambda x: x * sigmoid(x), {}),
        (ops.softplus, _softplus, {}),
        (ops.sigmoid, sigmoid, {"low": -6.0, "high": 6.0}),
        (ops.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), {"low": -5.0, "high": 5.0}),
        (ops.mish, lambda x: x * np.tanh(_softplus(x)), {}),
    ]
    binary: list[tuple[Any, Callable[..., Array], dict[str, Any]]] = [
        (ops.add, np.add, {}),
        (ops.subtract, np.subtract, {}),
        (ops.multiply, np.multiply, {}),
        (ops.divide, np.divide, positive),
        (ops.maximum, np.maximum, {}),
        (ops.minimum, np.minimum, {}),
        (ops.pow, np.power, positive),
        *((op, getattr(np, op.__name__), {"gradient": False}) for op in _COMPARISONS),
    ]
    softsign = ops.elementwise("softsign", "x / (1 + fabs(x))", "dy / ((1 + fabs(x)) * (1 + fabs(x)))")
    return [
        *(Case(op.__name__, op, reference, ONE, **more) for op, reference, more in unary),
        *(Case(op.__name__, op, reference, TWO, **more) for op, reference, more in binary),
        Case("elementwise", softsign, lambda x: x / (1 + np.abs(x)), ONE),
        Case("pow_2.5", lambda x: ops.pow(x, 2.5), lambda x: x**2.5, ONE, low=0.1),
        Case("pow_-1", lambda x: x**-1, lambda x: 1 / x, ONE, low=0.5),
        Case("reversed", lambda x: 1 - 2 / x, lambda x: 1 - 2 / x, ONE, low=0.5),
        Case("clip", lambda x: ops.clip(x, -0.5, 1), lambda x: np.clip(x, -0.5, 1), ONE),
        Case("where", lambda a, b: ops.where(a > b, a * b, b), lambda a, b: np.where(a > b, a * b, b), TWO),
        Case("cast", lambda x: ops.cast(x, "int32"), lambda x: np.trunc(x), ONE, gradient=False),
    ]
