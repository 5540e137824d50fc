"""Upload: batches to the device while it computes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pyopencl as cl

from clnet import tree
from clnet.device import Device
from clnet.tensor import Tensor, empty
from clnet.training.arrays import is_array


class Upload:
    """Copies batches into two sets of buffers in turn, on a queue of its own: one fills while the other is read.

    Every shape of batch has its two sets; they are made when it first comes.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._queue = device.cache("upload", lambda: cl.CommandQueue(device.context, device.cl_device))
        self._sets: dict[Hashable, list[list[Tensor]]] = {}

    def __call__(self, batch: Any) -> Any:
        """The batch on the device: the same nest of tensors, whose memory the call after the next will reuse."""
        leaves, structure = tree.flatten(batch, is_array)
        key = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._sets:
            self._sets[key] = [[empty(*kind, self.device) for kind in key] for _ in range(2)]
        self._sets[key].reverse()
        for there, leaf in zip(self._sets[key][0], leaves, strict=True):
            if there.buffer is not None:
                cl.enqueue_copy(self._queue, there.buffer, np.ascontiguousarray(leaf), is_blocking=True)
        return tree.unflatten(structure, iter(self._sets[key][0]))
