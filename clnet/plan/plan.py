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

REFERENCES = cl.mem_info.REFERENCE_COUNT
ALONE = 2  # references to a buffer that only its place holds, and the call that counts them


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

    def of(self, made: Mapping[Hashable, Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """The tensor that lies there, in this shape: one of those `made`, by slots, an input, or another."""
        kind, number = self.slot if isinstance(self.slot, tuple) else (None, 0)
        tensor = self.slot if isinstance(self.slot, Tensor) else inputs[number] if kind == "input" else made[self.slot]
        same = tensor.shape == self.shape
        return tensor if same else Tensor(self.shape, tensor.dtype, tensor.device, tensor.buffer)


class _Place:
    """Memory that a plan has only while it runs, an input's or a result's, and where kernels take it."""

    __slots__ = ("buffer", "takers")

    def __init__(self) -> None:
        self.buffer: cl.Buffer | None = None
        self.takers: list[tuple[cl.Kernel, int]] = []

    def take(self, buffer: cl.Buffer | None) -> None:
        """Kernels take this from now on."""
        if buffer is not None:
            for kernel, position in self.takers:
                kernel.set_arg(position, buffer)
            self.buffer = buffer

    def leave(self, nothing: cl.Buffer) -> None:
        """Let go of the buffer; `nothing` stands in for it."""
        self.take(nothing)
        self.buffer = None

    def make(self, result: Result, device: Device) -> Tensor:
        """A tensor for a result, in the memory of the last one if nobody holds it any more."""
        # Held by a tensor or an array, by a command, a part or a handle of OpenCL's; None is by many.
        if sys.getrefcount(self.buffer) != ALONE or self.buffer.get_info(REFERENCES) != 1:  # type: ignore[union-attr]
            self.take(empty(result.shape, result.dtype, device).buffer)
        return Tensor(result.shape, result.dtype, device, self.buffer)


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

    def __post_init__(self) -> None:
        self.calls = [(self.queue, each.kernel, each.global_size, each.local_size) for each in self.bound]

    def enqueue(self, times: int) -> None:
        """All of them, so often."""
        if self.repeats and times != self.times:
            self.bound[0].kernel.set_arg(0, np.int32(times))
            self.times = times
        for _ in range(1 if self.repeats else times):
            for call in self.calls:
                cl.enqueue_nd_range_kernel(*call)


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
        used = {slot for slot in slots if slot[0] in ("input", "output")}
        placed = {each.slot: each for each in self.results if isinstance(each.slot, tuple)}
        self._places = {slot: _Place() for slot in used | placed.keys()}
        self._wanted = [self._places[slot] for slot in used]  # nothing runs without their buffers
        inputs = max((number + 1 for kind, number in self._places if kind == "input"), default=0)
        self._inputs = [self._places.get(("input", number)) or _Place() for number in range(inputs)]
        made = {slot: each for slot, each in placed.items() if slot[0] == "output"}  # anew by each call
        self._made = {slot: (self._places[slot], each) for slot, each in made.items()}
        self._makes_all = tuple(made.values()) == self.results
        self._nothing = device.cache("stands for no memory", lambda: cl.Buffer(device.context, 0, 16))
        self._ways: dict[int, Way] = {}  # cores -> how they run it, made when first wanted

    def _make_way(self, cores: int) -> Way:
        queue = self.device.queue if cores > 1 else self.device.serial_queue
        launches = [step.launch for step in self.steps]
        work = [step.work for step in self.steps]
        limit = self.device.facts.max_arguments
        joined = join(launches, limit, cores, work) if self.device.joins else None
        bound = [self._bind(launch, queue) for launch in joined or launches]
        way = self._ways[cores] = Way(queue, bound, joined is not None and len(joined) == 1)
        return way

    def _bind(self, launch: Any, queue: cl.CommandQueue) -> kernels.Bound:
        bound = kernels.bind(self.device, launch, self._buffer, queue=queue)
        for position, slot in enumerate(launch.arguments):
            if isinstance(slot, tuple) and slot in self._places:
                self._places[slot].takers.append((bound.kernel, position))
        return bound

    def _buffer(self, slot: Hashable) -> cl.Buffer:
        place = self._places.get(slot) if isinstance(slot, tuple) else None
        return (place.buffer if place is not None else self._memory.buffers.get(slot)) or self._nothing

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run once on tensors of the traced shapes and dtypes. Results are fresh but for inputs that are returned.

        A result that nobody holds any more gives its memory to the next one: 9.0 us, else 10.3.
        """
        with self.device.lock:
            self._take(inputs)
            made = tuple([place.make(result, self.device) for place, result in self._made.values()])
            self._enqueue(1, self._cores.once)
        if self._makes_all:
            return made
        by_slot: dict[Hashable, Tensor] = dict(zip(self._made, made, strict=True))
        return tuple([each.of(by_slot, inputs) for each in self.results])

    def bind(self, *inputs: Tensor) -> None:
        """Take these tensors as the inputs of `replay`."""
        with self.device.lock:
            self._take(inputs)

    def _take(self, inputs: Sequence[Tensor]) -> None:
        for place, tensor in zip(self._inputs, inputs):  # noqa: B905 - those that nobody reads have no place
            if place.buffer is not (buffer := tensor.buffer):
                place.take(buffer)

    def release(self) -> None:
        """Let go of the bound inputs and of the results of `replay`, so that their memory can be freed."""
        with self.device.lock:
            self.device.finish()
            for place in self._places.values():
                place.leave(self._nothing)

    def replay(self, times: int = 1) -> None:
        """Run `times` on the bound inputs; results go to the memory of the last call. Only enqueues."""
        with self.device.lock:
            for place, result in self._made.values():
                if place.buffer is None:
                    place.make(result, self.device)
            if any(place.buffer is None for place in self._wanted):
                raise ArgumentError("Plan.replay: has no inputs yet, wanted plan(...) or plan.bind(...) first")
            self._enqueue(times, self._cores.repeated)

    def _enqueue(self, times: int, cores: int) -> None:
        way = self._ways.get(cores) or self._make_way(cores)
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
