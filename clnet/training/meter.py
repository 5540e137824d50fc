"""Meter: sums over the samples of an epoch, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.device import Device
from clnet.tensor import Tensor
from clnet.variable import Variable

LARGEST = float(np.finfo(np.float32).max)
NEVER = int(np.iinfo(np.int32).max)


class Meter:
    """Variables of shape () that a step adds to and the host reads at the end of a window.

    offset (int32): samples done. sums (float32): of the loss and of each metric. bad (int32): number of the first step
    whose loss was NaN or infinite, `NEVER` if there was none.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.offset = self._variable("offset", np.int32(0))
        self.bad = self._variable("bad", np.int32(NEVER))
        self.sums: dict[str, Variable] = {}

    def add(self, samples: int, sums: Mapping[str, Tensor]) -> None:
        """Traced: a batch of so many samples has these sums."""
        for name, total in sums.items():
            old = self._sum(name)
            old.assign(old + ops.cast(total, "float32"))
        self.offset.assign(self.offset + samples)

    def watch(self, loss: Tensor, step: Tensor) -> None:
        """Traced: note this step if it is the first whose loss is no finite number."""
        finite = ops.abs(loss) <= LARGEST  # false for NaN
        self.bad.assign(ops.where(finite, self.bad, ops.minimum(self.bad, step)))

    def reset(self) -> None:
        """To the beginning of an epoch."""
        for total in self.sums.values():
            total.assign(np.float32(0))
        self.offset.assign(np.int32(0))
        self.bad.assign(np.int32(NEVER))

    def bad_step(self) -> int | None:
        """The first step whose loss was no finite number; waits for the device."""
        step = int(self.bad.numpy())
        return None if step == NEVER else step

    def means(self) -> dict[str, float]:
        """Name -> mean over the samples so far; waits for the device."""
        samples = max(1, int(self.offset.numpy()))
        return {name: float(total.numpy()) / samples for name, total in self.sums.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `restore` takes, for a checkpoint in the middle of an epoch."""
        return {"offset": self.offset.numpy(), **{f"sums/{name}": total.numpy() for name, total in self.sums.items()}}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As it was when `arrays` gave these."""
        self.reset()
        for name, value in arrays.items():
            (self.offset if name == "offset" else self._sum(name.removeprefix("sums/"))).assign(value)

    def _sum(self, name: str) -> Variable:
        if name not in self.sums:
            self.sums[name] = self._variable(name, np.float32(0))
        return self.sums[name]

    def _variable(self, name: str, value: Any) -> Variable:
        return Variable(value, device=self.device, name=name, trainable=False)
