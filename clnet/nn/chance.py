"""Chance: a layer that draws random numbers in training, others at each step."""

from __future__ import annotations

from clnet import ops, trace
from clnet.nn.layer import Layer, Shape, fingerprint
from clnet.variable import Variable


class Chance(Layer):
    """What it draws is a function of (seed, path of the layer, number of training calls so far, element).

    So it is the same on every device; the calls are counted by `counter`, which checkpoints keep.
    """

    counter: Variable

    def setup(self, shape: Shape) -> None:
        self.add_variable("counter", (), "zeros", trainable=False, dtype="int32")

    def draw(self) -> ops.Key:
        """The key of this call, in training; the next has another."""
        assert self._place is not None
        going_on = trace.current()
        call = 0 if going_on is None else going_on.call_of(self)  # of a shared layer: the counter rises once a step
        key = ops.Key(self._place.seed, fingerprint(f"{self._place.path}/{call}"), self.counter)
        self.counter.assign(self.counter + 1)
        return key
