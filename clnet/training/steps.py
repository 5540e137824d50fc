"""Steps: what a model computes, compiled: a step of training, a step of evaluation, a prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from clnet import ops, tree
from clnet.compiled import Compiled, compile, value_and_grad
from clnet.device import Device
from clnet.errors import ArgumentError, DivergenceError
from clnet.graph import Spec
from clnet.nn.layer import Layer, Seed, fingerprint, tree_map
from clnet.optim import Optimizer
from clnet.plan import Plan
from clnet.tensor import Tensor
from clnet.trace import products_in_half
from clnet.training.arrays import is_array
from clnet.training.feed import Feed, Order
from clnet.training.meter import Meter
from clnet.training.objective import Objective
from clnet.training.pace import Pace
from clnet.training.scaling import LossScale
from clnet.variable import Variable


class Steps:
    """The compiled steps of a network, and the meters that they add to.

    A step of training is one plan without results: it takes its rows of the data, computes loss and gradients, updates
    weights, optimizer and `meter`. Replaying it is all that the host does in an epoch.
    """

    def __init__(
        self,
        net: Layer,
        objective: Objective | None,
        optimizer: Optimizer,
        device: Device,
        *,
        augmentation: Callable[..., Any] | None = None,
        seed: Seed = 0,
        scaling: LossScale | None = None,
    ) -> None:
        self.net = net
        self.scaling = scaling  # with it, in mixed precision
        self.augmentation = augmentation
        self.seed = seed
        self.optimizer = optimizer
        self.meter = Meter(device)
        self.judge = Meter(device)
        self.predict = compile(self._predict, device=device)
        self.length: int | None = None  # samples in the epoch that the meter is in, if known
        self._objective = objective
        self._train: dict[tuple[str, ...], Compiled] = {}  # by what is trained, which may change
        self._evaluate = compile(self._evaluation_step, device=device)
        self._paces = Pace(), Pace()

    @property
    def objective(self) -> Objective:
        """Raises `ArgumentError` for a model without a loss."""
        if self._objective is None:
            raise ArgumentError("Model: has no loss; give Model(net, loss=...) or Model.load(path, loss=...)")
        return self._objective

    def train(self, feed: Feed, epoch: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Train an epoch, or the rest of the one that the meter is in the middle of.

        Gives (steps done, means so far) after each window, the device idle; `DivergenceError` after one in which a
        loss was not finite.
        """
        start = self.position if feed.samples == self.length else 0
        if not start:
            self.meter.reset()
        self.length = feed.samples
        done = 0
        for steps in feed.windows(self._training_plan, epoch, start, self._paces[0]):
            done += steps
            bad = self.meter.bad_step()
            if bad is not None:
                self.meter.reset()
                raise DivergenceError(
                    f"fit: the loss{' or its gradient' if self.scaling else ''} was not a finite number at step {bad} "
                    f"(of all), in epoch {epoch + 1}; "
                    "try a smaller learning rate, or clip_norm",
                    step=bad,
                    epoch=epoch + 1,
                )
            yield done, self._results(self.meter, scalar=True)
        if not done:  # it had stopped after the last window of an epoch
            yield done, self._results(self.meter, scalar=True)
        self.meter.reset()

    def evaluate(self, feed: Feed, check: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Mean loss and metrics over the feed; `check` is called after each window."""
        self.judge.reset()
        for _ in feed.windows(self._evaluate.plan, 0, 0, self._paces[1]):
            check()
        return self._results(self.judge)

    def release(self) -> None:
        """Let go of the data that the steps ran on last."""
        for step in (*self._train.values(), self._evaluate):
            step.release()

    @property
    def position(self) -> int:
        """Samples of the epoch that training is in the middle of; 0 between epochs."""
        return int(self.meter.offset.numpy())

    def _training_plan(self, data: Any, order: Order | None, size: int | None) -> Plan:
        trained = tuple(self.net.trainable_variables())
        if trained not in self._train:
            self._train[trained] = compile(self._train_step, device=self.meter.device)
        return self._train[trained].plan(data, order, size)

    def _train_step(self, data: Any, order: Order | None, size: int | None) -> None:
        x, y, weights = _rows(data, order, self.meter.offset, size)
        variables = self.net.trainable_variables()
        if not variables:
            raise ArgumentError(f"fit: {self.net.name} has nothing to train: no variables, or all are frozen")
        if self.augmentation is not None:
            self.optimizer.build(variables)
            key = ops.Key(self.seed, fingerprint("augmentation"), self.optimizer.variables()["step"])
            x, y = self.augmentation(x, y, key=key)

        def objective() -> tuple[Tensor, Any]:
            predictions = self._call(x, training=True)
            loss = self.objective.total(predictions, y, weights) + self.net.penalty()
            return (loss if self.scaling is None else loss * self.scaling.scale), (loss, predictions)

        (_, (loss, predictions)), gradients = value_and_grad(objective, wrt=variables, has_aux=True)()
        watched = loss
        if self.scaling is None:
            self.optimizer.apply(gradients)
        else:
            watched = ops.where(self.scaling.apply(self.optimizer, gradients, self.net.variables()), np.nan, loss)
        self.meter.watch(watched, self.optimizer.variables()["step"] + 1)
        self._count(self.meter, loss, predictions, y, scalar=True)

    def _evaluation_step(self, data: Any, order: Order | None, size: int | None) -> None:
        x, y, weights = _rows(data, order, self.judge.offset, size)
        predictions = self._call(x, training=False)
        self._count(self.judge, self.objective.total(predictions, y, weights) + self.net.penalty(), predictions, y)

    def _predict(self, x: Any) -> Any:
        return self._call(x, training=False)

    def _call(self, x: Any, *, training: bool) -> Any:
        x = tree_map(lambda each: ops.cast(each, input_spec(each).dtype), x)
        positional, named = ((), x) if isinstance(x, dict) else (x if isinstance(x, tuple) else (x,), {})
        with products_in_half(self.scaling is not None):
            outputs = self.net(*positional, **named, training=training)
        return tree_map(lambda y: ops.cast(y, "float32") if y.dtype == np.float16 else y, outputs)

    def _count(self, meter: Meter, loss: Tensor, predictions: Any, targets: Any, *, scalar: bool = False) -> None:
        samples = tree.flatten(targets, is_array)[0][0].shape[0]
        meter.add(samples, loss, self.objective.measure(predictions, targets, scalar=scalar))

    def _results(self, meter: Meter, *, scalar: bool = False) -> dict[str, Any]:
        named = self.objective.named(self.net.output_shape, scalar=scalar)
        return meter.results({name: metric for name, (_, metric) in named.items()})


def _rows(data: Any, order: Order | None, offset: Variable, size: int | None) -> Any:
    """The rows of a step: `size` from offset on, in this order or as they lie; all of them where size is None."""
    if size is None:
        return data
    if order is None:
        return tree_map(lambda values: ops.dynamic_slice(values, offset, size), data)
    rows = ops.dynamic_slice(order.indices, offset, size)
    return tree_map(lambda values: ops.gather(values, rows), data)


def input_spec(x: Any) -> Spec:
    """What the network sees of an array or tensor: one sample, float32, or int32 for what a layer looks up."""
    return Spec((1, *x.shape[1:]), np.dtype("int32" if x.dtype == np.int32 else "float32"))
