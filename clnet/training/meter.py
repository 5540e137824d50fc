"""Meter: sums over the samples of an epoch, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.device import Device
from clnet.metrics.base import Metric, Statistics
from clnet.tensor import Tensor
from clnet.variable import Variable

LARGEST = float(np.finfo(np.float32).max)
NEVER = int(np.iinfo(np.int32).max)


class Meter:
    """Variables that a step adds to and the host reads at the end of a window.

    offset (int32): samples done. sums: "loss", float32, and "<metric>/<statistic>". bad (int32): number of the first
    step whose loss was NaN or infinite, `NEVER` if there was none.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.offset = self._variable("offset", np.int32(0))
        self.bad = self._variable("bad", np.int32(NEVER))
        self.sums: dict[str, Variable] = {}

    def add(self, samples: int, loss: Tensor, measured: Mapping[str, tuple[Metric, Statistics]]) -> None:
        """Traced: a batch of so many samples has this mean loss and these statistics."""
        old = self._sum("loss", loss)
        old.assign(old + ops.cast(loss * samples, "float32"))
        for name, (metric, new) in measured.items():
            sums = {key: self._sum(f"{name}/{key}", value) for key, value in new.items()}
            for key, value in metric.merge(sums, new).items():
                sums[key].assign(value)
        self.offset.assign(self.offset + samples)

    def watch(self, loss: Tensor, step: Tensor) -> None:
        """Traced: note this step if it is the first whose loss is no finite number."""
        finite = ops.abs(loss) <= LARGEST  # false for NaN
        self.bad.assign(ops.where(finite, self.bad, ops.minimum(self.bad, step)))

    def reset(self) -> None:
        """To the beginning of an epoch."""
        for total in self.sums.values():
            total.assign(np.zeros(total.shape, total.dtype))
        self.offset.assign(np.int32(0))
        self.bad.assign(np.int32(NEVER))

    def bad_step(self) -> int | None:
        """The first step whose loss was no finite number, of every network; waits for the device."""
        step = int(self.bad.numpy().max())
        return None if step == NEVER else step

    def results(self, metrics: Mapping[str, Metric]) -> dict[str, Any]:
        """The mean loss and these metrics over the samples so far, arrays (networks, ...) where there are many.

        Waits for the device.
        """
        samples, sums = int(self.offset.numpy()), {name: total.numpy() for name, total in self.sums.items()}
        many = [name for name, total in self.sums.items() if total.memory is not total]
        if not many:
            return _results(sums, samples, metrics)
        each = [
            _results({name: value[i] if name in many else value for name, value in sums.items()}, samples, metrics)
            for i in range(len(sums[many[0]]))
        ]
        return {name: np.stack([one[name] for one in each]) for name in each[0]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `restore` takes, for a checkpoint in the middle of an epoch."""
        return {"offset": self.offset.numpy(), **{f"sums/{name}": total.numpy() for name, total in self.sums.items()}}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As it was when `arrays` gave these."""
        self.reset()
        for name, value in arrays.items():
            (self.offset if name == "offset" else self._sum(name.removeprefix("sums/"), value)).assign(value)

    def _sum(self, name: str, like: Tensor | NDArray[Any]) -> Variable:
        if name not in self.sums:
            self.sums[name] = self._variable(
                name, np.zeros(like.shape, "int32" if like.dtype.kind == "i" else "float32")
            )
        return self.sums[name]

    def _variable(self, name: str, value: Any) -> Variable:
        return Variable(value, device=self.device, name=name, trainable=False)


def _results(sums: Mapping[str, NDArray[Any]], samples: int, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """The mean loss and the metrics of one network."""
    found: dict[str, Any] = {"loss": float(sums["loss"]) / max(1, samples)}
    for name, metric in metrics.items():
        start = f"{name}/"
        own = {key.removeprefix(start): value for key, value in sums.items() if key.startswith(start)}
        found[name] = metric.result(own, samples)
    return found
