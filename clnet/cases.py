"""The op table: for each op its function, the same in float64 NumPy, and the shapes to try it on.

There is no backward in NumPy: who checks gradients differences `reference` centrally. Tests, the memory checker and
the comparison of runtimes all walk this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clnet import ops

Array = npt.NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]  # one an input


@dataclass(frozen=True)
class Case:
    """One row. `low`, `high`: the range of the inputs; `length`: the numbers that one result adds up, by its inputs."""

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Array]
    shapes: Sequence[Shapes]
    low: float = -2.0
    high: float = 2.0
    gradient: bool = True
    length: Callable[..., int] = lambda *shapes: 1

    def inputs(self, shapes: Shapes, dtype: npt.DTypeLike, seed: int = 0) -> list[Array]:
        """Arrays of these shapes, the same for every device."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        return [rng.uniform(self.low, self.high, shape).astype(dtype) for shape in shapes]


def tolerance(dtype: npt.DTypeLike, length: int = 1) -> float:
    """How far a result may be from the exact one, relative to the largest; grows with the root of a sum's length.

    float32 has 2^-24, an elementary function is within 4 units of that, and a chain of them loses some more.
    """
    return float(np.finfo(np.dtype(dtype)).eps) * 16 * (1 + math.sqrt(length))


# An odd shape, a single element, more than a work-group and a tile, nothing. Broadcasting has tests of its own.
ONE: list[Shapes] = [((3, 5),), ((1,),), ((37, 129),), ((0, 4),)]
TWO: list[Shapes] = [((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((0, 4), (4,))]
AXES: list[Shapes] = [((3, 5),), ((1, 1),), ((37, 129),), ((2, 40, 17),)]


def _erf(x: Array) -> Array:
    result: Array = np.vectorize(math.erf, otypes=[np.float64])(x)
    return result


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x < 0, alpha * np.expm1(x), x)


def _softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = powers / powers.sum(axis=axis, keepdims=True)
    return result


def _logsumexp(x: Array, axis: Any = None) -> Array:
    top = x.max(axis=axis, keepdims=True)
    result: Array = np.squeeze(np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top, axis=axis)
    return result


def _reduced(axis: int | None) -> Callable[[tuple[int, ...]], int]:
    """The elements that one result of a reduction takes in."""
    return lambda shape: math.prod(shape) if axis is None else shape[axis] if shape else 1


def _elementwise() -> list[Case]:
    positive = {"low": 0.1, "high": 3.0}
    unary: list[tuple[Any, Callable[..., Array], dict[str, Any]]] = [
        (ops.negative, np.negative, {}),
        (ops.exp, np.exp, {}),
        (ops.log, np.log, positive),
        (ops.log1p, np.log1p, {"low": -0.9}),
        (ops.sqrt, np.sqrt, positive),
        (ops.rsqrt, lambda x: 1 / np.sqrt(x), positive),
        (ops.tanh, np.tanh, {}),
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
        (ops.silu, lambda x: x * _sigmoid(x), {}),
        (ops.softplus, _softplus, {}),
        (ops.sigmoid, _sigmoid, {"low": -6.0, "high": 6.0}),
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


def _reductions() -> list[Case]:
    rows = []
    kinds: list[tuple[Any, Callable[..., Array], bool]] = [
        (ops.sum, np.sum, True),
        (ops.mean, np.mean, True),
        (ops.max, np.max, True),
        (ops.min, np.min, True),
        (ops.prod, np.prod, True),
        (ops.argmax, np.argmax, False),
        (ops.logsumexp, _logsumexp, True),
    ]
    for op, reference, smooth in kinds:
        for axis in (None, 0, -1):
            rows.append(
                Case(
                    f"{op.__name__}_{'all' if axis is None else axis}",
                    lambda x, op=op, axis=axis: op(x, axis=axis),
                    lambda x, reference=reference, axis=axis: reference(x, axis=axis),
                    AXES,
                    low=0.9 if op is ops.prod else -2.0,
                    high=1.1 if op is ops.prod else 2.0,
                    gradient=smooth,
                    length=_reduced(axis),
                )
            )
    middle: list[Shapes] = [((2, 3, 4),), ((5, 40, 33),)]
    rows += [
        Case("sum_middle", lambda x: ops.sum(x, axis=1), lambda x: x.sum(axis=1), middle, length=_reduced(1)),
        Case(
            "sum_around",
            lambda x: ops.sum(x, axis=(0, 2), keepdims=True),
            lambda x: x.sum(axis=(0, 2), keepdims=True),
            middle,
            length=_reduced(None),
        ),
        Case("sum_long", ops.sum, np.sum, [((70000,),), ((3, 40000),)], length=_reduced(None)),
        Case("sum_tall", lambda x: ops.sum(x, axis=0), lambda x: x.sum(axis=0), [((9000, 3),)], length=_reduced(0)),
        Case("softmax", ops.softmax, _softmax, AXES),
        Case("softmax_0", lambda x: ops.softmax(x, axis=0), lambda x: _softmax(x, 0), AXES),
        Case("log_softmax", ops.log_softmax, lambda x: np.log(_softmax(x)), AXES),
        Case(
            "normalized",  # several passes over a column, and what is made of their results
            lambda x: (x - ops.mean(x, axis=0)) * ops.rsqrt(ops.mean(ops.square(x - ops.mean(x, axis=0)), axis=0) + 1),
            lambda x: (x - x.mean(0)) / np.sqrt(np.square(x - x.mean(0)).mean(0) + 1),
            AXES,
            length=_reduced(0),
        ),
    ]
    return rows


def _products() -> list[Case]:
    plain: list[Shapes] = [((3, 5), (5, 4)), ((1, 1), (1, 1)), ((65, 33), (33, 70)), ((4, 0), (0, 3)), ((0, 3), (3, 2))]
    stacked: list[Shapes] = [
        ((2, 3, 5), (2, 5, 4)),
        ((2, 3, 5), (5, 4)),
        ((3, 5), (4, 5, 2)),
        ((2, 1, 3, 4), (5, 4, 2)),
    ]

    flat: list[Shapes] = [((5,), (5, 4)), ((3, 5), (5,)), ((5,), (5,))]

    def inner(a: tuple[int, ...], *_: Any) -> int:
        return max(a) if a else 1

    return [
        Case("matmul", ops.matmul, np.matmul, [*plain, *stacked, *flat], length=inner),
        Case(
            "matmul_tn",
            lambda a, b: ops.matmul(a, b, transpose_a=True),
            lambda a, b: np.swapaxes(a, -1, -2) @ b,
            [((5, 3), (5, 4)), ((33, 65), (33, 70)), ((2, 5, 3), (2, 5, 4)), ((2, 5, 3), (5, 4))],
            length=inner,
        ),
        Case(
            "matmul_nt",
            lambda a, b: ops.matmul(a, b, transpose_b=True),
            lambda a, b: a @ np.swapaxes(b, -1, -2),
            [((3, 5), (4, 5)), ((65, 33), (70, 33)), ((2, 3, 5), (4, 5))],
            length=inner,
        ),
        Case(
            "matmul_tt",
            lambda a, b: ops.matmul(a, b, transpose_a=True, transpose_b=True),
            lambda a, b: a.T @ b.T,
            [((5, 3), (4, 5)), ((33, 65), (70, 33))],
            length=inner,
        ),
        Case(
            "dense",  # bias, activation and a residual in the epilogue
            lambda x, w, b, r: ops.sigmoid(x @ w + b) + r,
            lambda x, w, b, r: _sigmoid(x @ w + b) + r,
            [((7, 19), (19, 11), (11,), (7, 11)), ((33, 65), (65, 50), (50,), (33, 50))],
            length=inner,
        ),
    ]


def _shapes() -> list[Case]:
    cube: list[Shapes] = [((2, 3, 4),), ((5, 33, 7),)]
    rows: list[tuple[str, Callable[..., Any], Callable[..., Array], list[Shapes]]] = [
        ("reshape", lambda x: ops.reshape(x, (x.shape[1], -1)), lambda x: x.reshape(x.shape[1], -1), cube),
        ("transpose", ops.transpose, np.transpose, [*ONE, *cube]),
        ("transpose_120", lambda x: ops.transpose(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), cube),
        (
            "broadcast_to",
            lambda x: ops.broadcast_to(x, (4, 3, 5)),
            lambda x: np.broadcast_to(x, (4, 3, 5)),
            [((3, 1),), ((5,),)],
        ),
        ("expand_dims", lambda x: ops.expand_dims(x, 1), lambda x: np.expand_dims(x, 1), cube),
        ("squeeze", ops.squeeze, np.squeeze, [((1, 3, 1),)]),
        (
            "concatenate",
            lambda a, b: ops.concatenate([a, b * 2, a], axis=-1),
            lambda a, b: np.concatenate([a, b * 2, a], -1),
            [((2, 3), (2, 5)), ((7, 1), (7, 130)), ((2, 0), (2, 3))],
        ),
        ("split", lambda x: ops.split(x, [1, 2, x.shape[1] - 3], axis=1)[1], lambda x: x[:, 1:3], cube),
        ("slice", lambda x: ops.slice(x, (1, 0, 2), (1, 3, 2)), lambda x: x[1:2, :3, 2:4], cube),
        ("getitem", lambda x: x[-1, None, ::2, 1:], lambda x: x[-1, None, ::2, 1:], cube),
        ("getitem_reversed", lambda x: x[::-1, ..., ::-2], lambda x: x[::-1, ..., ::-2], cube),
        (
            "pad",
            lambda x: ops.pad(x, [(1, 2), (0, 0), (3, 0)], value=7),
            lambda x: np.pad(x, [(1, 2), (0, 0), (3, 0)], constant_values=7),
            cube,
        ),
        ("gather", lambda x: ops.gather(x, _tensor(x, [1, 0, 1])), lambda x: x[[1, 0, 1]], cube),
        (
            "gather_last",
            lambda x: ops.gather(x, _tensor(x, [[3, 0], [1, 1]]), axis=-1),
            lambda x: x[:, :, [[3, 0], [1, 1]]],
            cube,
        ),
        ("dynamic_slice", lambda x: ops.dynamic_slice(x, _tensor(x, 1), x.shape[0] - 1), lambda x: x[1:], cube),
    ]
    labels: list[Shapes] = [((3, 5),), ((40,),)]
    return [
        *(Case(name, function, reference, shapes) for name, function, reference, shapes in rows),
        Case(
            "one_hot",
            lambda x: ops.one_hot(ops.cast(x, "int32"), 4) * 3,
            lambda x: np.eye(4)[x.astype(int)] * 3,
            labels,
            low=0,
            high=3.9,
            gradient=False,
        ),
        Case("stop_gradient", lambda x: ops.stop_gradient(x) * 2, lambda x: x * 2, ONE, gradient=False),
    ]


def _tensor(like: Any, indices: Any) -> Any:
    """Indices on the device of a tensor; in a trace they are captured."""
    from clnet.tensor import tensor

    return tensor(np.asarray(indices, np.int32), device=like.device)


CASES: tuple[Case, ...] = (*_elementwise(), *_reductions(), *_products(), *_shapes())
