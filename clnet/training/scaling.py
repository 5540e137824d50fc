"""Loss scaling: gradients of float16 without those that would round to 0, and steps without those that overflow."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import Gradients
from clnet.device import Device
from clnet.graph import Node, Routine
from clnet.optim import Optimizer
from clnet.plan.fusion import base
from clnet.tensor import Tensor
from clnet.trace import as_node, pending
from clnet.variable import Variable

FIRST, MOST = 2.0**15, 2.0**24  # the scale to begin with, as in Keras, and the largest
GROWTH = 2000  # good steps after which it doubles


class LossScale:
    """The loss is multiplied by `scale`, gradients are divided by it; a step whose gradients are not finite is none.

    Such a step halves the scale, down to 1, and leaves weights, optimizer and layers as they were; `GROWTH` others in
    a row double it. Powers of two, so that it changes no bit of a gradient. All on the device, each of many networks
    for itself. Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.2.
    """

    def __init__(self, device: Device) -> None:
        self.scale = Variable(np.float32(FIRST), device=device, name="scale", trainable=False)
        self.good = Variable(np.int32(0), device=device, name="good", trainable=False)  # steps since it changed

    def variables(self) -> dict[str, Variable]:
        """Name -> Variable of the state."""
        return {"scale": self.scale, "good": self.good}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The state that `variables` had by these names."""
        for name, value in arrays.items():
            variable = self.variables()[name]
            variable.stack(value) if value.ndim else variable.assign(value)

    def apply(self, optimizer: Optimizer, scaled: Gradients, state: Mapping[str, Variable]) -> Tensor:
        """Traced: a step by gradients of the scaled loss, or none; `state`: the network's variables.

        The result, a bool: whether the gradients are not finite at the smallest scale, so that training has failed.
        """
        factor, is_finite = 1 / self.scale, _are_finite(scaled)
        # So that updates wait for `is_finite`: else they were stored beside what they replace until that is known.
        usable = {path: ops.where(is_finite, gradient * factor, 0.0) for path, gradient in scaled.items()}
        optimizer.apply(Gradients(usable, scaled.variables))
        for variable in (*state.values(), *optimizer.variables().values()):
            value = pending(variable)
            if value is not variable:
                variable.assign(ops.where(is_finite, value, variable))
        good = self.good + 1
        grows = good >= GROWTH
        larger = ops.where(grows, ops.minimum(self.scale * 2, MOST), self.scale)
        self.scale.assign(ops.where(is_finite, larger, ops.maximum(self.scale * 0.5, 1.0)))
        self.good.assign(ops.where(ops.logical_and(is_finite, ops.logical_not(grows)), good, 0))
        return ops.logical_not(ops.logical_or(is_finite, self.scale > 1))


def _are_finite(gradients: Gradients) -> Tensor:
    """Whether all elements are: then 0 times the sums of what they are made of is 0, else no number."""
    origins = {id(node): node for gradient in gradients.values() for node in _origins(as_node(gradient))}
    sums = [ops.sum(ops.cast(node, "float32")) * 0.0 for node in origins.values()]
    return ops.equal(functools.reduce(ops.add, sums), 0.0)


def _origins(gradient: Node) -> Sequence[Node]:
    """What is finite where the gradient is: the operands of a product of float16, as no sum of those overflows float32.

    They are smaller, and known before it, so that the update stays in the product's epilogue.
    """
    node = base(gradient)
    is_product = isinstance(node.op, Routine) and all(source.dtype == np.float16 for source in node.inputs)
    return node.inputs if is_product else (gradient,)
