"""Dropout: noise that keeps units from relying on each other."""

from __future__ import annotations

from clnet import ops, trace
from clnet.errors import ArgumentError
from clnet.nn.layer import Layer, Shape, fingerprint
from clnet.tensor import Tensor
from clnet.variable import Variable


class Dropout(Layer):
    """In training y = x / (1 - rate) where a coin of probability 1 - rate falls so, else 0; y = x otherwise.

    The mask is a function of (seed, path of the layer, number of training calls so far, element), the same on every
    device; the calls are counted by `counter`, which checkpoints keep. Srivastava et al. 2014, inverted as in Keras.
    """

    counter: Variable

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: rate is {rate}, wants 0 <= rate < 1")
        self.rate = rate

    def setup(self, shape: Shape) -> None:
        self.add_variable("counter", (), "zeros", trainable=False, dtype="int32")

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        if not training or self.rate == 0 or self._place is None:
            return x
        going_on = trace.current()
        call = 0 if going_on is None else going_on.call_of(self)  # of a shared layer: the counter rises once a step
        key = ops.Key(self._place.seed, fingerprint(f"{self._place.path}/{call}"), self.counter)
        self.counter.assign(self.counter + 1)
        return ops.dropout(x, self.rate, key=key)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
