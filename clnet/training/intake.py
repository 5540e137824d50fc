"""Intake: from what the user calls data to a feed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.nn.embedding import check_tokens
from clnet.nn.layer import Layer, Seed, tree_map
from clnet.tensor import Tensor, tensor
from clnet.training.arrays import fits, host, samples_of, take
from clnet.training.feed import Feed, Order, Resident, Streamed
from clnet.training.objective import check_labels
from clnet.training.steps import input_spec
from clnet.training.upload import Upload


class Intake:
    """Checks data against a network, which it builds for the first data that comes, and brings it to the device."""

    def __init__(self, net: Layer, device: Device, seed: Seed) -> None:
        self.net = net
        self.device = device
        self.seed = seed
        self._orders: dict[int, Order] = {}

    def feed(
        self, data: Any, batch_size: int, who: str, *, shuffle: bool = False, rows: NDArray[np.int32] | None = None
    ) -> Feed:
        """(x, y, weights): on the device if it has room, else a stream; or (batches, None, None), a stream.

        rows: (networks, samples), those that each of many networks sees.
        """
        if data[1] is None:
            return self._batches(data[0], who)
        data = self._checked(data, who)
        samples = samples_of(data, who) if rows is None else rows.shape[1]
        size = min(batch_size, samples)
        order = self.order(samples) if shuffle else None
        if rows is not None:
            order = Order(samples, self.seed, self.device, rows)
        if fits(data, self.device):
            return Resident(tree_map(self._tensor, data), samples, size, order, shuffle)
        if order is not None and not isinstance(self.seed, int):
            raise ArgumentError(f"{who}: the data of many networks has to fit into the device, or come as batches")
        data = tree_map(np.asarray, data)

        def batches(epoch: int) -> Iterator[Any]:
            rows = np.arange(samples) if order is None else order.shuffle(epoch).numpy()
            return (take(data, rows[start : start + size]) for start in range(0, samples, size))

        return Streamed(batches, samples, Upload(self.device))

    def build(self, x: Any) -> None:
        """Make the network's variables, if it has none yet, for inputs like these, and check their tokens."""
        if self.net.signature is None:
            specs = tree_map(input_spec, x)
            named = specs if isinstance(specs, dict) else {}
            inputs = () if named else specs if isinstance(specs, tuple) else (specs,)
            self.net.build_like(inputs, named, seed=self.seed, device=self.device)
        check_tokens(self.net, x, "x")

    def order(self, samples: int) -> Order:
        """The order of so many samples; kept, because a step's plan is bound to its memory."""
        if samples not in self._orders:
            self._orders[samples] = Order(samples, self.seed, self.device)
        return self._orders[samples]

    def _batches(self, batches: Any, who: str) -> Feed:
        """A stream of what is iterated, each batch checked when it comes."""
        if isinstance(batches, (np.ndarray, Tensor, tuple, dict)) or not isinstance(batches, Iterable):
            raise ArgumentError(f"{who}: y is missing")
        if isinstance(batches, Iterator):
            raise ArgumentError(f"{who}: got a generator, which ends after one epoch; wants what can be iterated again")

        def checked(epoch: int) -> Iterator[Any]:
            for batch in batches.at(epoch) if hasattr(batches, "at") else batches:
                if not isinstance(batch, tuple) or len(batch) not in (2, 3):
                    raise ArgumentError(f"{who}: a batch is {type(batch).__name__}, wants (x, y) or (x, y, weights)")
                yield tree_map(np.asarray, self._checked((*batch, None)[:3], who))

        return Streamed(checked, None, Upload(self.device))

    def _checked(self, data: Any, who: str) -> Any:
        """(x, y, weights) as arrays that fit each other and the network."""
        x, y = (host(part, f"{who}: {name}") for part, name in zip(data, "xy", strict=False))
        weights = None if data[2] is None else host(data[2], f"{who}: sample weights")
        samples_of((x, y) if weights is None else (x, y, weights), who)
        self.build(x)
        check_labels(self.net.output_shape, y, who)
        return x, y, weights

    def _tensor(self, value: Any) -> Tensor:
        return value if isinstance(value, Tensor) else tensor(value, device=self.device)
