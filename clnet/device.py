"""Device: one OpenCL device with its context, its queues, its memory and what others keep for as long as it lives."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property
from typing import Any, Literal, NoReturn, TypeVar, cast
from weakref import WeakSet, WeakValueDictionary

import numpy as np
import pyopencl as cl

from clnet.errors import ArgumentError, DeviceError, DeviceMemoryError, NoDeviceError
from clnet.facts import Facts
from clnet.pocl import name_processor

T = TypeVar("T")

LOCAL_THREAD = "cl_intel_exec_by_local_thread"  # an extension, with CL_QUEUE_THREAD_LOCAL_EXEC_ENABLE_INTEL:
LOCAL_THREAD_PROPERTY = 1 << 31
PYPI_POCL = "3.0-rc2"  # the driver version of pocl-binary-distribution 3.0, the embedded default
THREE_WAYS = """There are three ways to get one:
  pip install "clnet[cpu]"     PoCL, runs on the processor (x86-64 Linux)
  pip install "clnet[intel]"   Intel's CPU runtime
  a driver of the system's:    Debian's pocl-opencl-icd or mesa-opencl-icd, or your GPU vendor's (NVIDIA, AMD, Intel)"""


class Device:
    """One OpenCL device. Equal only to itself; context and queues are made at first use."""

    def __init__(
        self, cl_device: cl.Device, *, context: cl.Context | None = None, queue: cl.CommandQueue | None = None
    ) -> None:
        self.cl_device = cl_device
        self.name: str = cl_device.name.strip()
        self.platform: str = cl_device.platform.name.strip()
        self.kind: Literal["cpu", "gpu"] = "cpu" if cl_device.type & cl.device_type.CPU else "gpu"
        self.facts = Facts.of(cl_device)
        self.allocated_bytes = 0
        self.allocations = 0
        # Held by who talks to a queue: PoCL's single core hangs where two threads do.
        self.lock: AbstractContextManager[Any] = threading.RLock()
        self._held: dict[Hashable, Any] = {}
        self._active: cl.CommandQueue | None = None
        self._given_context, self._given_queue = context, queue
        _made.add(self)
        for handle in (context, queue):
            if handle is not None:
                _known.setdefault(handle.int_ptr, self)

    def __repr__(self) -> str:
        platform = "PoCL" if self.platform == "Portable Computing Language" else self.platform
        return f"Device({self.name!r}, {self.kind}, {platform} {self.facts.driver})"

    @cached_property
    def context(self) -> cl.Context:
        """The device alone; on PoCL with its single-core sibling, so that both share buffers."""
        return self.cache("context", self._make_context)

    @cached_property
    def queue(self) -> cl.CommandQueue:
        """All cores, in order; the user's own where one was handed over."""
        return self.cache("queue", lambda: self._given_queue or self._make_queue(self.cl_device))

    @cached_property
    def serial_queue(self) -> cl.CommandQueue:
        """The calling thread, in order: PoCL's `basic`, a property of Intel's queues; `queue` where there is none."""
        return self.cache("serial_queue", self._make_serial_queue)

    @property
    def joins(self) -> bool:
        """Whether plans are made one kernel: on a CPU, where only a simulator minds what its work-groups share."""
        return self.kind == "cpu" and "Oclgrind" not in self.platform

    @property
    def active(self) -> cl.CommandQueue:
        """The queue that work goes to now."""
        return self._active or self.queue

    def activate(self, queue: cl.CommandQueue) -> cl.CommandQueue:
        """Work goes to this queue from now on: what is under way on the other is finished first."""
        if queue is not self._active:
            with self.lock:
                if queue is not self.active:
                    self.active.finish()
                self._active = queue
        return queue

    def finish(self) -> None:
        """Wait for all work; `activate` leaves none on the queue that is not active."""
        with self.lock:
            self.active.finish()

    def cache(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key the first time; one thread makes, the others wait."""
        if key not in self._held:
            with self.lock:
                if key not in self._held:
                    self._held[key] = make()
        return cast("T", self._held[key])

    def allocate(self, nbytes: int) -> cl.Buffer:
        """A new buffer of device memory, counted in `allocations` and `allocated_bytes`."""
        if nbytes <= 0:
            raise ArgumentError(f"allocate: got {nbytes} bytes, wanted 1 or more")
        if nbytes > self.facts.max_allocation:
            raise self._no_room(nbytes, self.facts.max_allocation, "in one buffer")
        try:  # a context manager takes longer than all else here, and a call allocates each of its results
            buffer = cl.Buffer(self.context, cl.mem_flags.READ_WRITE, nbytes)
        except cl.Error as error:
            self._check_memory(error, nbytes)
            raise
        self.allocations += 1
        self.allocated_bytes += nbytes
        return buffer

    def upload(self, array: np.ndarray[Any, Any], buffer: cl.Buffer | None = None) -> cl.Buffer:
        """Copy the array's elements in row-major order into the buffer, or into a new one; returns when done."""
        array = np.ascontiguousarray(array)
        if buffer is None:
            buffer = self.allocate(array.nbytes)
        try:
            with self.lock:
                cl.enqueue_copy(self.active, buffer, array, is_blocking=True)
        except cl.Error as error:
            self._check_memory(error, array.nbytes)
            raise
        return buffer

    def download(self, buffer: cl.Buffer, array: np.ndarray[Any, Any]) -> None:
        """Copy the buffer's first array.nbytes bytes into the contiguous array; returns when done."""
        with self.lock:
            cl.enqueue_copy(self.active, array, buffer, is_blocking=True)

    def copy(self, source: cl.Buffer, target: cl.Buffer) -> None:
        """Copy one buffer into another of its size; only enqueues."""
        with self.lock:
            cl.enqueue_copy(self.active, target, source)

    def _make_context(self) -> cl.Context:
        context = self._given_context or cl.Context([self.cl_device, *_serial_siblings(self.cl_device)])
        for cl_device in context.devices:
            name_processor(cl_device)
        _known.setdefault(context.int_ptr, self)
        return context

    def _make_queue(self, cl_device: cl.Device, properties: int = 0) -> cl.CommandQueue:
        queue = cl.CommandQueue(self.context, cl_device, cast("Any", properties))
        _known[queue.int_ptr] = self
        return queue

    def _make_serial_queue(self) -> cl.CommandQueue:
        serial = [d for d in self.context.devices if _is_serial(d) and d != self.cl_device]
        if serial:
            return self._make_queue(serial[0])
        if self._given_queue is None and LOCAL_THREAD in self.cl_device.extensions.split():
            return self._make_queue(self.cl_device, LOCAL_THREAD_PROPERTY)
        return self.queue

    def _check_memory(self, error: cl.Error, wanted: int) -> None:
        """Raise what says the bytes, if too little memory is what the error means."""
        if error.code in _OUT_OF_MEMORY:
            raise self._no_room(wanted, self.facts.memory, "in all") from error

    def _no_room(self, wanted: int, available: int, where: str) -> DeviceMemoryError:
        message = f"{self}: {wanted:,} bytes wanted, the device has {available:,} {where}"
        return DeviceMemoryError(message, wanted=wanted, available=available)


_OUT_OF_MEMORY = {
    cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
    cl.status_code.OUT_OF_RESOURCES,
    cl.status_code.OUT_OF_HOST_MEMORY,
    cl.status_code.INVALID_BUFFER_SIZE,
}
# The Device of a context or queue, by its handle: the Device keeps both alive, so no handle here is ever a stale one.
_known: WeakValueDictionary[int, Device] = WeakValueDictionary()
_made: WeakSet[Device] = WeakSet()  # all of them: a forked process must use none


class _Forked:
    """The lock of a device that this process has from its parent, whose driver's threads it has not: it would wait for
    them, and never end."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def __enter__(self) -> NoReturn:
        raise DeviceError(
            f"{self._device}: this process was forked from one that had found the device, which no driver survives; "
            'start processes by multiprocessing.get_context("spawn")'
        )

    def __exit__(self, *error: object) -> None: ...


def _lock_out() -> None:
    for device in _made:
        device.lock = _Forked(device)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock_out)


def devices() -> list[Device]:
    """The devices found, best first: GPUs, then more units, then PyPI's PoCL; a simulator (Oclgrind) last.

    Asks the drivers anew at each call. The same device is the same object each time.
    """
    found = [listed for platform in _platforms() for listed in _list(platform)]
    _tell_apart(found)
    return sorted(found, key=_rank)


def device(which: object = None) -> Device:
    """The device that `which` names.

    None: what CLNET_DEVICE names, else the best. "cpu" or "gpu", an index into `devices()`, or part of the name or
    version of a platform, a driver or a device, case ignored (platforms are looked at first: "intel" is Intel's
    runtime, not PoCL on Intel's processor). A pyopencl Context or CommandQueue is wrapped, a Device returned as it is.
    """
    if isinstance(which, Device):
        return which
    if isinstance(which, cl.CommandQueue):
        return _adopt_queue(which)
    if isinstance(which, cl.Context):
        return _adopt_context(which)
    if which is None:
        which = os.environ.get("CLNET_DEVICE") or 0
    if not isinstance(which, (str, int)) or isinstance(which, bool):
        raise ArgumentError(f"device: got {which!r}, wanted a name, an index, a pyopencl Context or CommandQueue")
    found = devices()
    if not found:
        seen = ", ".join(p.name.strip() for p in _platforms()) or "none"
        raise NoDeviceError(f"No OpenCL device found (platforms that list none: {seen}).\n{THREE_WAYS}")
    return _at(found, int(which)) if isinstance(which, int) or which.isdigit() else _named(found, which)


def _tell_apart(found: list[Device]) -> None:
    """Two cards of one name become `name #1` and `name #2`."""
    for (platform, name), count in Counter((d.platform, d.name) for d in found).items():
        twins = [d for d in found if (d.platform, d.name) == (platform, name)] if count > 1 else []
        for number, twin in enumerate(twins, 1):
            twin.name = f"{name} #{number}"


def _at(found: list[Device], index: int) -> Device:
    if not 0 <= index < len(found):
        raise NoDeviceError(f"device: got index {index}, there are {len(found)}: {found}")
    return found[index]


def _named(found: list[Device], part: str) -> Device:
    wanted = part.strip().casefold()
    for names in zip(*map(_names, found), strict=True):  # all platforms first, then all drivers, ...
        for candidate, name in zip(found, names, strict=True):
            if wanted in name.casefold():
                return candidate
    raise NoDeviceError(f"device: none is named like {part!r}, there are {found}.\n{THREE_WAYS}")


def _names(device: Device) -> tuple[str, ...]:
    """What a device may be called by, the most telling first."""
    return (device.kind, device.platform, device.facts.driver, device.facts.version, device.name, device.facts.vendor)


def _platforms() -> list[cl.Platform]:
    try:
        return cl.get_platforms()
    except cl.Error:  # no driver at all
        return []


def _list(platform: cl.Platform) -> list[Device]:
    try:
        listed = platform.get_devices(cl.device_type.CPU | cl.device_type.GPU)
        return [_listed(d) for d in _parallel([d for d in listed if d.available and d.compiler_available])]
    except cl.Error:  # clover lists a platform without devices and fails when asked
        return []


def _is_serial(device: cl.Device) -> bool:  # from PoCL 4 on `basic` is called cpu-minimal
    return "pocl" in device.version.lower() and device.name.startswith(("basic", "cpu-minimal"))


def _parallel(devices: Sequence[cl.Device]) -> Sequence[cl.Device]:
    """Without PoCL's single-core device, unless that is all there is."""
    return [d for d in devices if not _is_serial(d)] or devices


def _serial_siblings(device: cl.Device) -> list[cl.Device]:
    if _is_serial(device) or not device.type & cl.device_type.CPU:
        return []
    return [d for d in device.platform.get_devices() if _is_serial(d)]


def _rank(device: Device) -> tuple[bool | int, ...]:
    facts = device.facts
    return (
        "Oclgrind" in device.platform,
        device.kind != "gpu",
        -facts.units,
        facts.driver != PYPI_POCL,
        "PoCL" not in facts.version,
    )


@cache
def _listed(cl_device: cl.Device) -> Device:
    return Device(cl_device)


def _adopt_queue(queue: cl.CommandQueue) -> Device:
    if queue.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE:
        raise ArgumentError("device: the queue is out of order, clnet wants one in order")
    return _known.get(queue.int_ptr) or Device(queue.device, context=queue.context, queue=queue)


def _adopt_context(context: cl.Context) -> Device:
    return _known.get(context.int_ptr) or Device(_parallel(context.devices)[0], context=context)
