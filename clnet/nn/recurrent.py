"""Recurrent layers: a state that goes from step to step of a sequence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.initializers import Constant, ForgetBias, Initializer, InitializerName, initializer
from clnet.nn.layer import Layer, Shape
from clnet.tensor import Tensor
from clnet.variable import Variable

Merge = Literal["concat", "sum", "mul", "ave"]


class Recurrent(Layer):
    """What recurrent layers have in common: y (batch, units), the last state of x (batch, steps, features).

    return_sequences: y (batch, steps, units), the state after each step. return_state: (y, h) or (y, h, c) instead of
    y, with the last states (batch, units), which the next piece of a long sequence takes as `initial_state`; gradients
    go through both. go_backwards: from the last step to the first, in which order y then is.

    Without `bias_initializer` biases are 0, but 1 for the forget gate of an LSTM.

    Ragged sequences: `lengths` (batch,), or `mask` (batch, steps) with False where a row has no step. There the state
    stays as it is, and y repeats it, as in Keras; `zero_output_for_mask` makes y zero, as in PyTorch.
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    activations: ClassVar[tuple[str, ...]] = ("tanh",)
    first_bias: ClassVar[Constant | ForgetBias] = Constant(0.0)
    weight: Variable
    recurrent_weight: Variable
    bias: Variable | None = None

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        zero_output_for_mask: bool = False,
        activation: Literal["tanh", "relu"] = "tanh",
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        recurrent_initializer: InitializerName | Initializer = "orthogonal",
        bias_initializer: InitializerName | Initializer | None = None,
    ) -> None:
        if units < 1:
            raise ArgumentError(f"{self.name}: units is {units}, wants at least 1")
        if activation not in self.activations:
            raise ArgumentError(f"{self.name}: activation is {activation!r}, wants {' or '.join(self.activations)}")
        self.units = units
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.zero_output_for_mask = zero_output_for_mask
        self.activation: Literal["tanh", "relu"] = activation
        self.use_bias = use_bias
        self.weight_initializer = weight_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        for each in (weight_initializer, recurrent_initializer, bias_initializer or self.first_bias):
            initializer(each)

    def setup(self, shape: Shape, *others: Shape) -> None:
        columns = self.gates * self.units
        self.add_variable("weight", (shape[-1], columns), self.weight_initializer)
        self.add_variable("recurrent_weight", (self.units, columns), self.recurrent_initializer)
        if self.use_bias:
            self.add_variable("bias", (columns,), self.bias_initializer or self.first_bias)

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
        """(h of all steps, the last of each other state); x (steps, batch, gates * units): the input's part."""
        raise NotImplementedError

    def call(
        self,
        x: Tensor,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        initial_state: Tensor | Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Any:
        if x.ndim != 3 or x.shape[-1] != self.weight.shape[0] or not x.shape[1]:
            raise ShapeError(
                f"{self.name}: input has shape {x.shape}, wants (batch, steps, {self.weight.shape[0]}), steps > 0"
            )
        steps = ops.transpose(ops.cast(x, self.weight.dtype), (1, 0, 2))
        here = step_mask(self.name, x.shape[0], x.shape[1], lengths, mask)
        if self.go_backwards:
            steps, here = steps[::-1], None if here is None else here[::-1]
        projected = ops.matmul(steps, self.weight)
        projected = projected if self.bias is None else projected + ops.cast(self.bias, projected.dtype)
        ys, *others = self.run(projected, self._first(x.shape[0], initial_state), here)
        y, last = ys if self.return_sequences else ys[-1], ys[-1]
        if here is not None and self.zero_output_for_mask and self.return_sequences:
            y = ops.where(here[:, :, None], y, 0.0)
        y = ops.transpose(y, (1, 0, 2)) if self.return_sequences else y
        return (y, last, *others) if self.return_state else y

    def _first(self, batch: int, given: Tensor | Sequence[Tensor] | None) -> Sequence[Tensor]:
        """The states before the first step."""
        shape = (batch, self.units)
        if given is None:
            return [ops.zeros(shape, dtype=self.weight.dtype, device=self.weight.device)] * self.states
        states = [given] if isinstance(given, Tensor) else list(given)
        if [state.shape for state in states] != [shape] * self.states:
            got = ", ".join(str(state.shape) for state in states)
            raise ShapeError(f"{self.name}: initial_state has shapes {got}; wants {self.states} of {shape}")
        return states

    def __repr__(self) -> str:
        return f"{self.name}({self.units})"


class SimpleRNN(Recurrent):
    """h[t] = activation(x[t] W + h[t - 1] U + b). See `Recurrent`. Elman 1990."""

    activations = ("tanh", "relu")

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
        return (ops.simple_rnn(x, self.recurrent_weight, *states, mask=mask, activation=self.activation),)


class LSTM(Recurrent):
    """i, f, o = sigmoid and g = tanh of x[t] W + h[t - 1] U + b; c[t] = f c[t - 1] + i g; h[t] = o tanh(c[t]).

    W (features, 4 * units), U (units, 4 * units), b (4 * units,): gates in the order i, f, g, o, which is Keras's and
    PyTorch's. States h and c. See `Recurrent`. Hochreiter and Schmidhuber 1997.
    """

    gates, states = 4, 2
    first_bias = ForgetBias()

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
        return ops.lstm(x, self.recurrent_weight, *states, mask=mask)


class GRU(Recurrent):
    """With v = x[t] W + b, u = h[t - 1] U + d: z, r = sigmoid(v + u); n = tanh(v + r u); h[t] = z h[t - 1] + (1 - z) n.

    W (features, 3 * units), U (units, 3 * units), b and d (3 * units,): gates in the order z, r, n, which is Keras's
    with `reset_after`; PyTorch has r, z, n. See `Recurrent`. Cho et al. 2014.
    """

    gates = 3
    recurrent_bias: Variable | None = None

    def setup(self, shape: Shape, *others: Shape) -> None:
        super().setup(shape)
        if self.use_bias:
            self.add_variable("recurrent_bias", (3 * self.units,), self.bias_initializer or self.first_bias)

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
        bias: Tensor | None = self.recurrent_bias
        if bias is None:
            bias = ops.zeros((3 * self.units,), dtype=self.weight.dtype, device=self.weight.device)
        return (ops.gru(x, self.recurrent_weight, bias, *states, mask=mask),)


class Bidirectional(Layer):
    """A recurrent layer, and its like from the last step to the first, on the same input; y merges both.

    merge: "concat" (along the features), "sum", "mul" or "ave". The states returned, and taken as `initial_state`, are
    those of the first layer, then of the second. Schuster and Paliwal 1997.
    """

    def __init__(self, layer: Recurrent, *, merge: Merge = "concat") -> None:
        if not isinstance(layer, Recurrent) or layer._is_set_up or layer.go_backwards:
            raise ArgumentError(f"Bidirectional: got {layer!r}, wants a new recurrent layer that goes forwards")
        if merge not in get_args(Merge):
            raise ArgumentError(f"Bidirectional: merge is {merge!r}, wants {' or '.join(get_args(Merge))}")
        self.layer = layer
        self.merge = merge
        self.backward = copy.copy(layer)
        self.backward.go_backwards = True

    def call(
        self,
        x: Tensor,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        initial_state: Sequence[Tensor] | None = None,
        training: bool = False,
    ) -> Any:
        n = self.layer.states
        first, second = (None, None) if initial_state is None else (initial_state[:n], initial_state[n:])
        options: dict[str, Any] = {"lengths": lengths, "mask": mask, "training": training}
        forth, back = self.layer(x, initial_state=first, **options), self.backward(x, initial_state=second, **options)
        (y, *states), (z, *others) = (forth, back) if self.layer.return_state else ((forth,), (back,))
        merged = self._merged(y, z[:, ::-1] if self.layer.return_sequences else z)
        return (merged, *states, *others) if self.layer.return_state else merged

    def _merged(self, y: Tensor, z: Tensor) -> Tensor:
        if self.merge == "concat":
            return ops.concatenate([y, z], axis=-1)
        if self.merge == "mul":
            return y * z
        return y + z if self.merge == "sum" else (y + z) * 0.5

    def __repr__(self) -> str:
        return f"Bidirectional({self.layer!r})"


class TimeDistributed(Layer):
    """y[:, t] = layer(x[:, t]) with the same variables for each step: x (batch, steps, ...), y (batch, steps, ...)."""

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise ArgumentError(f"TimeDistributed: got {layer!r}, wants a layer")
        self.layer = layer

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        if x.ndim < 3:
            raise ShapeError(f"TimeDistributed: input has shape {x.shape}, wants (batch, steps, ...)")
        rows = x.shape[0] * x.shape[1]
        y: Tensor = self.layer(ops.reshape(x, (rows, *x.shape[2:])), training=training)
        return ops.reshape(y, (*x.shape[:2], *y.shape[1:]))

    def __repr__(self) -> str:
        return f"TimeDistributed({self.layer!r})"


def step_mask(who: str, batch: int, steps: int, lengths: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """bool (steps, batch): which steps the rows have; None where they have all."""
    if lengths is not None and mask is not None:
        raise ArgumentError(f"{who}: got lengths and mask, wants one of them")
    if lengths is not None:
        if lengths.shape != (batch,) or lengths.dtype.kind not in "iu":
            raise ShapeError(f"{who}: lengths has shape {lengths.shape} of {lengths.dtype}, wants integers ({batch},)")
        return ops.arange(steps, dtype=np.int32, device=lengths.device)[:, None] < lengths
    if mask is not None:
        if mask.shape != (batch, steps):
            raise ShapeError(f"{who}: mask has shape {mask.shape}, wants ({batch}, {steps})")
        return ops.transpose(ops.cast(mask, "bool"))
    return None
