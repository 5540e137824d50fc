"""softmax and its logarithm: compositions that fuse into one kernel a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.ops import reduction
from clnet.ops.elementwise import exp, in_float32, log, operands, stop_gradient, where
from clnet.ops.reduction import Axes
from clnet.ops.shape import reshape
from clnet.tensor import Tensor


def _shifted(x: Tensor, axis: Axes, who: str) -> Any:
    """x minus its maximum along axes, so that no exponential overflows."""
    (node,) = operands(who, x, floating=True)
    return node - stop_gradient(reduction.max(node, axis=axis, keepdims=True))


@eager
@in_float32
def logsumexp(x: Tensor, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes (default: all), without overflow."""
    (node,) = operands("logsumexp", x, floating=True)
    top: Any = stop_gradient(reduction.max(node, axis=axis, keepdims=True))
    limit = float(np.finfo(node.dtype).max)
    top = where((top <= limit) & (top >= -limit), top, 0.0)  # infinities stay what they are
    total: Any = log(reduction.sum(exp(node - top), axis=axis, keepdims=True)) + top
    axes = reduction.axes_of("logsumexp", axis, node.ndim)
    return total if keepdims else reshape(total, tuple(e for place, e in enumerate(node.shape) if place not in axes))


@eager
@in_float32
def softmax(x: Tensor, *, axis: Axes = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis."""
    powers: Any = exp(_shifted(x, axis, "softmax"))
    result: Tensor = powers / reduction.sum(powers, axis=axis, keepdims=True)
    return result


@eager
@in_float32
def log_softmax(x: Tensor, *, axis: Axes = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis."""
    shifted = _shifted(x, axis, "log_softmax")
    result: Tensor = shifted - log(reduction.sum(exp(shifted), axis=axis, keepdims=True))
    return result
