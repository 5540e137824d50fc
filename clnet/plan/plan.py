"""Plan: launches with their buffers, bound once; running it enqueues them."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyopencl as cl

from clnet import kernels
from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.graph import Node
from clnet.plan.joining import join
from clnet.tensor import Tensor, empty


@dataclass(frozen=True)
class Step:
    """One launch, the shape that it works on, the ops that it computes, and microseconds of one core, roughly."""

    launch: Any  # what kernels.bind takes
    shape: tuple[int, ...]
    ops: str
    work: float


@dataclass(frozen=True)
class Result:
    """One returned tensor; `slot` says where it lies: ("output", i) is fresh, ("input", i) or a Tensor is returned."""

    slot: Hashable
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor that lies there, in this shape."""
        same = tensor.shape == self.shape
        return tensor if same else Tensor(self.shape, tensor.dtype, tensor.device, tensor.buffer)


@dataclass(frozen=True)
class Memory:
    """The buffers of a plan's slots; `sizes`: bytes of those made for it; `requests`: bytes wanted without reuse."""

    buffers: Mapping[Hashable, cl.Buffer | None]
    sizes: Sequence[int]
    requests: int


class Cores(NamedTuple):
    """How many cores share a run that is called once, and those that are repeated: others have to be woken."""

    once: int
    repeated: int


@dataclass
class Way:
    """The launches bound for a queue. `repeats`: they are one kernel, whose first argument says how often: `times`."""

    queue: cl.CommandQueue
    bound: Sequence[kernels.Bound]
    repeats: bool
    times: int = 1

    def enqueue(self, times: int) -> None:
        """All of them, so often."""
        if self.repeats and times != self.times:
            self.bound[0].kernel.set_arg(0, np.int32(times))
            self.times = times
        for _ in range(1 if self.repeats else times):
            for bound in self.bound:
                cl.enqueue_nd_range_kernel(self.queue, bound.kernel, bound.global_size, bound.local_size)


def _is_alone(buffers: Mapping[Hashable, cl.Buffer], slot: Hashable) -> bool:
    """Whether the table alone holds a buffer: no tensor or array does, no command, part or handle of OpenCL's."""
    held = sys.getrefcount(buffers[slot])  # by the table, and for the call itself
    return held == 2 and buffers[slot].get_info(cl.mem_info.REFERENCE_COUNT) == 1


class Plan:
    """A graph frozen for one set of shapes: `plan(*inputs)` runs it once, `plan.replay(n)` n times on bound inputs.

    A run allocates nothing but the results that it returns, reads nothing back, and waits for nothing.
    """

    def __init__(
        self,
        device: Device,
        cores: Cores,
        steps: Sequence[Step],
        memory: Memory,
        results: Sequence[Result],
        routines: Sequence[Node] = (),
    ) -> None:
        self.device, self.steps, self.results, self.routines = device, tuple(steps), tuple(results), tuple(routines)
        self._cores, self._memory = cores, memory
        slots = {each for step in self.steps for each in step.launch.arguments if isinstance(each, tuple)}
        self._open = {slot for slot in slots if slot[0] in ("input", "output")}  # what has a buffer only when it runs
        placed = {each.slot: each for each in self.results if isinstance(each.slot, tuple)}
        self._fresh = {slot: each for slot, each in placed.items() if slot[0] == "output"}  # made anew by each call
        self._set: dict[Hashable, cl.Buffer] = {}  # what inputs and outputs are bound to now
        self._places: dict[Hashable, list[tuple[cl.Kernel, int]]] = {}  # slot -> where kernels take it
        self._nothing = device.cache("stands for no memory", lambda: cl.Buffer(device.context, 0, 16))
        self._ways: dict[int, Way] = {}  # cores -> how they run it, made when first wanted

    def _way(self, cores: int) -> Way:
        if cores not in self._ways:
            queue = self.device.queue if cores > 1 else self.device.serial_queue
            launches = [step.launch for step in self.steps]
            work = [step.work for step in self.steps]
            limit = self.device.facts.max_arguments
            joined = join(launches, limit, cores, work) if self.device.joins else None
            bound = [self._bind(launch, queue) for launch in joined or launches]
            self._ways[cores] = Way(queue, bound, joined is not None and len(joined) == 1)
        return self._ways[cores]

    def _bind(self, launch: Any, queue: cl.CommandQueue) -> kernels.Bound:
        bound = kernels.bind(self.device, launch, self._buffer, queue=queue)
        for position, slot in enumerate(launch.arguments):
            if slot in self._open:
                self._places.setdefault(slot, []).append((bound.kernel, position))
        return bound

    def _buffer(self, slot: Hashable) -> cl.Buffer:
        return self._set.get(slot) or self._memory.buffers.get(slot) or self._nothing

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run once on tensors of the traced shapes and dtypes. Results are fresh but for inputs that are returned.

        A result that nobody holds any more gives its memory to the next one: 1.3 of 10.5 us.
        """
        with self.device.lock:
            here: dict[Hashable, Tensor] = {("input", position): tensor for position, tensor in enumerate(inputs)}
            for slot, result in self._fresh.items():
                if slot in self._set and _is_alone(self._set, slot):
                    here[slot] = Tensor(result.shape, result.dtype, self.device, self._set[slot])
                else:
                    here[slot] = empty(result.shape, result.dtype, self.device)
            self._point(here)
            self._enqueue(1, self._cores.once)
        slots = [(each, each.slot) for each in self.results]
        return tuple([each.of(slot if isinstance(slot, Tensor) else here[slot]) for each, slot in slots])

    def bind(self, *inputs: Tensor) -> None:
        """Take these tensors as the inputs of `replay`."""
        with self.device.lock:
            self._point({("input", position): tensor for position, tensor in enumerate(inputs)})

    def release(self) -> None:
        """Let go of the bound inputs and of the results of `replay`, so that their memory can be freed."""
        with self.device.lock:
            self.device.finish()
            for slot in self._set:
                for kernel, position in self._places.get(slot, ()):
                    kernel.set_arg(position, self._nothing)
            self._set.clear()

    def _point(self, tensors: Mapping[Hashable, Tensor]) -> None:
        """The kernels take these from now on."""
        for slot, tensor in tensors.items():
            buffer = tensor.buffer
            if buffer is not None and self._set.get(slot) is not buffer:
                for kernel, position in self._places.get(slot, ()):
                    kernel.set_arg(position, buffer)
                self._set[slot] = buffer

    def replay(self, times: int = 1) -> None:
        """Run `times` on the bound inputs; results go to the memory of the last call. Only enqueues."""
        with self.device.lock:
            missing = {slot: result for slot, result in self._fresh.items() if slot not in self._set}
            self._point({slot: empty(each.shape, each.dtype, self.device) for slot, each in missing.items()})
            if any(slot not in self._set for slot in self._open):
                raise ArgumentError("Plan.replay: has no inputs yet, wanted plan(...) or plan.bind(...) first")
            self._enqueue(times, self._cores.repeated)

    def _enqueue(self, times: int, cores: int) -> None:
        way = self._way(cores)
        self.device.activate(way.queue)
        way.enqueue(times)

    @property
    def nbytes(self) -> int:
        """What the plan asked of the device when it was built, in bytes: for intermediates, workspaces and tables."""
        return sum(self._memory.sizes) + sum(bound.nbytes for way in self._ways.values() for bound in way.bound)

    @property
    def launches(self) -> int:
        """Kernels that one run goes through; on a CPU they are joined into one, and enqueued once."""
        return len(self.steps)

    @property
    def serial(self) -> bool:
        """Whether it is repeated on one core without synchronisation."""
        return self._cores.repeated == 1

    def summary(self) -> str:
        """A table of the launches with the ops fused into each, and the bytes."""
        rows = [("launch", "shape", "ops")]
        rows += [(step.launch.name, "x".join(map(str, step.shape)) or "scalar", step.ops) for step in self.steps]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{name:<{widths[0]}}  {shape:>{widths[1]}}  {ops}".rstrip() for name, shape, ops in rows]
        where = "one core" if self.serial else "all cores"
        buffers = f"{len(self._memory.sizes)} buffers"
        lines.append(f"{self.launches} launches on {self.device.name}, {where}")
        lines.append(f"{self.nbytes:,} bytes in {buffers} ({self._memory.requests:,} without reuse)")
        return "\n".join(lines)
