"""Attention layers: every step of a sequence looks at the others, or at those of another sequence."""

from __future__ import annotations

from typing import Literal

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.dense import Dense
from clnet.nn.dropout import Dropout
from clnet.nn.initializers import Initializer, InitializerName, initializer
from clnet.nn.layer import Layer, Shape
from clnet.nn.normalization import LayerNorm
from clnet.nn.recurrent import step_mask
from clnet.tensor import Tensor
from clnet.variable import Variable


class Heads(Layer):
    """What both kinds of attention have in common: the number of heads, the projections' options, the last one.

    key_dim: features of a head, by default features / num_heads. causal: a step sees itself and those before it.
    A step sees what `lengths` (batch,) or `mask`, bool (batch, keys) or (batch, queries, keys), say there is.
    """

    output_weight: Variable
    output_bias: Variable | None = None

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        *,
        causal: bool = False,
        use_bias: bool = True,
        weight_initializer: InitializerName | Initializer = "glorot_uniform",
        bias_initializer: InitializerName | Initializer = "zeros",
    ) -> None:
        if num_heads < 1 or (key_dim is not None and key_dim < 1):
            raise ArgumentError(f"{self.name}: num_heads is {num_heads}, key_dim {key_dim}; want at least 1")
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.causal = causal
        self.use_bias = use_bias
        self.weight_initializer = weight_initializer
        self.bias_initializer = bias_initializer
        initializer(weight_initializer), initializer(bias_initializer)

    def head_size(self, features: int) -> int:
        """Features of a head."""
        if self.key_dim is None and features % self.num_heads:
            raise ShapeError(
                f"{self.name}: {features} features do not divide among {self.num_heads} heads; give key_dim"
            )
        return self.key_dim or features // self.num_heads

    def add_projection(self, name: str, inputs: int, outputs: int) -> None:
        """Variables <name>_weight (inputs, outputs) and <name>_bias (outputs,)."""
        self.add_variable(f"{name}_weight", (inputs, outputs), self.weight_initializer)
        if self.use_bias:
            self.add_variable(f"{name}_bias", (outputs,), self.bias_initializer)

    def project(self, name: str, x: Tensor, *shape: int) -> Tensor:
        """x (batch, steps, inputs) times <name>_weight, as (batch, steps, *shape)."""
        weight: Variable = getattr(self, f"{name}_weight")
        if x.ndim != 3 or x.shape[-1] != weight.shape[0]:
            raise ShapeError(f"{self.name}: input has shape {x.shape}, wants (batch, steps, {weight.shape[0]})")
        y = ops.matmul(ops.cast(x, weight.dtype), weight)
        y = y + ops.cast(getattr(self, f"{name}_bias"), y.dtype) if self.use_bias else y
        return ops.reshape(y, (*x.shape[:2], *shape)) if shape else y

    def seen(self, keys: Tensor, lengths: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """The mask of attention for keys (batch, steps, ...)."""
        if lengths is None:
            return mask
        here = step_mask(self.name, keys.shape[0], keys.shape[1], lengths, mask)
        return None if here is None else ops.transpose(here)

    def join(self, y: Tensor) -> Tensor:
        """The last projection, of all heads (batch, steps, heads, size) together."""
        return self.project("output", ops.reshape(y, (*y.shape[:2], -1)))

    def __repr__(self) -> str:
        return f"{self.name}({self.num_heads})"


class MultiHeadAttention(Heads):
    """y = concatenate(softmax(q k' / sqrt(key_dim)) v of each head) O + o, with q, k, v = x W + b.

    x and y (batch, steps, features); `input_weight` (features, 3 * heads * key_dim) holds the projections for q, k and
    v side by side, `output_weight` is (heads * key_dim, features). There is no matrix of scores in memory, and no
    dropout of them. See `Heads` for masks. Vaswani et al. 2017.
    """

    def setup(self, shape: Shape, *others: Shape) -> None:
        columns = self.num_heads * self.head_size(shape[-1])
        self.add_projection("input", shape[-1], 3 * columns)
        self.add_projection("output", columns, shape[-1])

    def call(
        self, x: Tensor, *, lengths: Tensor | None = None, mask: Tensor | None = None, training: bool = False
    ) -> Tensor:
        qkv = self.project("input", x, 3, self.num_heads, self.head_size(x.shape[-1]))
        return self.join(ops.self_attention(qkv, causal=self.causal, mask=self.seen(x, lengths, mask)))


class CrossAttention(Heads):
    """As `MultiHeadAttention`, with k and v from another sequence, `context` (batch, keys, context features).

    Variables: `query_weight`, `key_weight`, `value_weight`, `output_weight` and their biases.
    """

    def setup(self, shape: Shape, context: Shape, *others: Shape) -> None:
        columns = self.num_heads * self.head_size(shape[-1])
        for name, features in (("query", shape[-1]), ("key", context[-1]), ("value", context[-1])):
            self.add_projection(name, features, columns)
        self.add_projection("output", columns, shape[-1])

    def call(
        self,
        x: Tensor,
        context: Tensor,
        *,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        heads = self.num_heads, self.head_size(x.shape[-1])
        q = self.project("query", x, *heads)
        k, v = (self.project(name, context, *heads) for name in ("key", "value"))
        return self.join(ops.attention(q, k, v, causal=self.causal, mask=self.seen(context, lengths, mask)))


class TransformerEncoderLayer(Layer):
    """Attention, then two dense layers on each step, each added to its input and normalized (Vaswani et al. 2017).

    x and y (batch, steps, features). norm_first: normalize the input of each part (Xiong et al. 2020), else the sum,
    as in the paper. causal: what makes it a layer of a GPT. dropout: of both results, and of the hidden layer.
    """

    def __init__(
        self,
        features: int,
        num_heads: int,
        *,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu", "silu"] = "relu",
        norm_first: bool = False,
        causal: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        self.features = features
        self.num_heads = num_heads
        self.feed_forward = feed_forward
        self.dropout = dropout
        self.activation: Literal["relu", "gelu", "silu"] = activation
        self.norm_first = norm_first
        self.causal = causal
        self.epsilon = epsilon
        self.attention = MultiHeadAttention(num_heads, causal=causal)
        self.hidden = Dense(feed_forward, activation=activation)
        self.output = Dense(features)
        self.norms = LayerNorm(epsilon=epsilon), LayerNorm(epsilon=epsilon)
        self.drops = Dropout(dropout), Dropout(dropout), Dropout(dropout)

    def call(
        self, x: Tensor, *, lengths: Tensor | None = None, mask: Tensor | None = None, training: bool = False
    ) -> Tensor:
        if x.ndim != 3 or x.shape[-1] != self.features:
            raise ShapeError(f"{self.name}: input has shape {x.shape}, wants (batch, steps, {self.features})")
        (first, second), (inner, *outer) = self.norms, self.drops

        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.attention(x, lengths=lengths, mask=mask, training=training)
            dropped: Tensor = outer[0](y, training=training)
            return dropped

        def think(x: Tensor) -> Tensor:
            y: Tensor = self.output(inner(self.hidden(x), training=training))
            dropped: Tensor = outer[1](y, training=training)
            return dropped

        if self.norm_first:
            x = x + attend(first(x))
            return x + think(second(x))
        x = first(x + attend(x))
        y: Tensor = second(x + think(x))
        return y

    def __repr__(self) -> str:
        return f"TransformerEncoderLayer({self.features}, {self.num_heads}, feed_forward={self.feed_forward})"
