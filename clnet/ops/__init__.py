"""Every op: call one on tensors and it runs, call it in a traced function and it becomes part of the plan."""

from typing import Any

from clnet.ops.activation import elu, gelu, hard_sigmoid, leaky_relu, mish, relu, selu, sigmoid, silu, softplus
from clnet.ops.attention import attention, self_attention
from clnet.ops.convolution import convolution, transposed_convolution
from clnet.ops.elementwise import (
    abs,
    add,
    cast,
    clip,
    cos,
    divide,
    elementwise,
    equal,
    erf,
    exp,
    floor,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    pow,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    stop_gradient,
    subtract,
    tanh,
    where,
)
from clnet.ops.indexing import arange, dynamic_slice, gather, one_hot
from clnet.ops.pooling import average_pool, l2_pool, max_pool
from clnet.ops.product import matmul
from clnet.ops.random import Key, dropout, permutation, random_normal, random_uniform
from clnet.ops.recurrent import gru, lstm, simple_rnn
from clnet.ops.reduction import argmax, max, mean, min, prod, sum
from clnet.ops.sample import sample
from clnet.ops.shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    full,
    getitem,
    ones,
    pad,
    reshape,
    slice,
    split,
    squeeze,
    transpose,
    zeros,
)
from clnet.ops.softmax import log_softmax, logsumexp, softmax
from clnet.ops.upsampling import upsample
from clnet.ops.windows import windows
from clnet.tensor import Tensor

__all__ = [
    "Key",
    "abs",
    "add",
    "arange",
    "argmax",
    "attention",
    "average_pool",
    "broadcast_to",
    "cast",
    "clip",
    "concatenate",
    "convolution",
    "cos",
    "divide",
    "dropout",
    "dynamic_slice",
    "elementwise",
    "elu",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "floor",
    "full",
    "gather",
    "gelu",
    "getitem",
    "greater",
    "greater_equal",
    "gru",
    "hard_sigmoid",
    "isnan",
    "l2_pool",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logsumexp",
    "lstm",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mish",
    "multiply",
    "negative",
    "not_equal",
    "one_hot",
    "ones",
    "pad",
    "permutation",
    "pow",
    "prod",
    "random_normal",
    "random_uniform",
    "relu",
    "reshape",
    "rsqrt",
    "sample",
    "self_attention",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "simple_rnn",
    "sin",
    "slice",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stop_gradient",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "transposed_convolution",
    "upsample",
    "where",
    "windows",
    "zeros",
]


def _install() -> None:
    """Give Tensor its operators and methods: tensor.py stands below the ops and knows none."""

    def swapped(op: Any) -> Any:
        return lambda a, b: op(b, a)

    binary = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": pow, "matmul": matmul}
    methods: dict[str, Any] = {f"__{name}__": op for name, op in binary.items()}
    methods |= {f"__r{name}__": swapped(op) for name, op in binary.items()}
    methods |= {
        "__neg__": negative, "__abs__": abs, "__getitem__": getitem, "__and__": logical_and, "__or__": logical_or,
        "__invert__": logical_not, "__lt__": less, "__le__": less_equal, "__gt__": greater, "__ge__": greater_equal,
        "sum": sum, "mean": mean, "max": max, "min": min, "reshape": reshape, "transpose": transpose,
        "T": property(transpose),
    }  # fmt: skip
    for name, method in methods.items():
        setattr(Tensor, name, method)


_install()
