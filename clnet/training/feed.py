"""Feed: the samples that a model is trained on or judged by, and how they come to its steps.

`Resident` samples lie on the device from the first step to the last. Those that the device has no room for, and those
that come as batches, are `Streamed`: the next batch is uploaded while the device computes on the one before.

A step gives the plan for (data, order, size): data is the nest (x, y, weights) of tensors, of which the plan takes the
`size` rows that the `Order` names from the meter's offset on; with size None, data is the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.compiled import compile
from clnet.device import Device
from clnet.nn.layer import Seed, fingerprint
from clnet.plan import Plan
from clnet.training.arrays import samples_of
from clnet.training.pace import Pace
from clnet.training.upload import Upload
from clnet.variable import Variable

Step: TypeAlias = Callable[[Any, "Order | None", int | None], Plan]


class Order:
    """The order of samples in an epoch: int32 (samples,), a permutation that (seed, epoch) chooses.

    With seeds of many networks, one for each. rows: those of the data that each network sees, (networks, samples).
    """

    def __init__(self, samples: int, seed: Seed, device: Device, rows: NDArray[np.int32] | None = None) -> None:
        start = np.arange(samples, dtype=np.int32)
        self.indices = Variable(start, device=device, name="order", trainable=False)
        self._rows = Variable(start, device=device, name="rows", trainable=False)
        self._sees_all = rows is None
        if rows is not None:
            self.indices.stack(rows)
            self._rows.stack(rows)
        self._epoch = Variable(np.int32(0), device=device, name="epoch", trainable=False)
        self._key = ops.Key(seed, fingerprint("shuffle"), self._epoch)
        self._shuffle = compile(self._assign, device=device)

    def shuffle(self, epoch: int) -> Variable:
        """The order of this epoch, counted from 0."""
        self._epoch.assign(np.int32(epoch))
        self._shuffle()
        return self.indices

    def _assign(self) -> None:
        order = ops.permutation(self.indices.shape[0], key=self._key)
        self.indices.assign(order if self._sees_all else ops.gather(self._rows, order))


class Feed(Protocol):
    """Samples in windows of steps."""

    @property
    def samples(self) -> int | None:
        """In an epoch; None where only its end tells."""

    def windows(self, step: Step, epoch: int, start: int, pace: Pace) -> Iterator[int]:
        """Run an epoch from sample `start` on; gives the number of steps after each window, the device idle."""


@dataclass(frozen=True)
class Resident:
    """data: nest (x, y, weights) of tensors (samples, ...); order: None for the order that they have.

    shuffled: False to take the order's rows as they come.
    """

    data: Any
    samples: int
    batch_size: int
    order: Order | None
    shuffled: bool = True

    def windows(self, step: Step, epoch: int, start: int, pace: Pace) -> Iterator[int]:
        if self.order is not None and self.shuffled:
            self.order.shuffle(epoch)
        whole, rest = divmod(self.samples - start, self.batch_size)
        for size, times in ((self.batch_size, whole), (rest, 1)):
            if size and times:
                yield from pace.windows(step(self.data, self.order, size), times)


@dataclass(frozen=True)
class Streamed:
    """batches(epoch): the batches of host arrays, nests (x, y, weights) each, already checked."""

    batches: Callable[[int], Iterable[Any]]
    samples: int | None
    upload: Upload

    def windows(self, step: Step, epoch: int, start: int, pace: Pace) -> Iterator[int]:
        running = False
        for batch in self.batches(epoch):
            done, start = start > 0, start - samples_of(batch)
            if done:
                continue
            tensors = self.upload(batch)  # while the step before runs
            if running:
                self.upload.device.finish()
                yield 1
            step(tensors, None, None).replay()
            running = True
        if running:
            self.upload.device.finish()
            yield 1
