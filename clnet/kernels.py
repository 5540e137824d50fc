"""A program is a text: sources and `#define`s joined, built once a device, its kernels bound to buffers."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyopencl as cl
from pyopencl.characterize import has_src_build_cache

from clnet import cache as disk
from clnet.device import Device
from clnet.errors import ArgumentError, BuildError

# Numbers below 1e-38 become 0: the gradients of a saturated sigmoid are such, and each costs a CPU 150 cycles. A step
# of 784-30-10 in its third epoch took 108 us with them, and takes 46 without.
OPTIONS = ("-cl-denorms-are-zero",)
DOUBLE = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"  # before the first `double` of a text
HALF = "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n"
_HERE = Path(__file__).parent


@cache
def read(name: str) -> str:
    """kernels_cl/<name>, preceded by a `#line` so that compilers name the file."""
    inside = _HERE / "kernels_cl" / name  # a wheel carries the folder in the package, a checkout beside it
    path = inside if inside.is_file() else _HERE.parent / "kernels_cl" / name
    return f'#line 1 "{name}"\n{path.read_text(encoding="utf-8")}\n'


def define(**parameters: int | float | str) -> str:
    """One `#define NAME value` a line, in the order given."""
    return "".join(f"#define {name} {value}\n" for name, value in parameters.items())


def build(device: Device, source: str, *, name: str = "", queue: cl.CommandQueue | None = None) -> cl.Program:
    """The program of this text, built once for the OpenCL device behind `queue` (default: `device.queue`) and no other.

    Raises BuildError with the compiler's log.
    """
    # For one device alone: PoCL compiles again for `basic`, 0.45 s for the first program and 0.1 s for each other.
    # Most of what a program costs there is 100 ms of headers: nine kernels in one text take 0.8 s, in nine texts 1.8 s.
    target = (queue or device.queue).device
    return device.cache(("program", target, source), lambda: _quietly(device.context, target, source, name))


@dataclass(frozen=True)
class Launch:
    """One kernel with everything but its buffers.

    Numpy scalars among `arguments` are passed as they are, bytes as a buffer of the kernel's own that begins with them;
    anything else is a slot that `bind` asks a buffer for.
    """

    source: str
    name: str
    arguments: tuple[Hashable, ...]
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Bound:
    """A kernel of its own with all arguments set: arguments live in the kernel, so it is never shared.

    `tables`: the buffers that were made for it, which drivers do not keep alive.
    """

    kernel: cl.Kernel
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None
    queue: cl.CommandQueue
    tables: tuple[cl.Buffer, ...] = ()

    @property
    def nbytes(self) -> int:
        """Of its tables."""
        return sum(table.size for table in self.tables)


def bind(
    device: Device,
    launch: Launch,
    buffer: Callable[[Hashable], cl.Buffer],
    *,
    queue: cl.CommandQueue | None = None,
) -> Bound:
    """A kernel of the launch's program for `queue` (default: `device.queue`), its slots filled by `buffer`."""
    queue = queue or device.queue
    kernel = _kernel(build(device, launch.source, name=launch.name, queue=queue), launch.name)
    if kernel.num_args != len(launch.arguments):
        raise ArgumentError(f"{launch.name}: got {len(launch.arguments)} arguments, wants {kernel.num_args}")
    tables = []
    for index, argument in enumerate(launch.arguments):
        try:
            if isinstance(argument, bytes):
                tables.append(device.upload(np.frombuffer(argument, np.uint8)))
                kernel.set_arg(index, tables[-1])
            else:
                kernel.set_arg(index, argument if isinstance(argument, np.generic) else buffer(argument))
        except cl.Error as error:
            raise ArgumentError(f"{launch.name}: argument {index} cannot be {argument!r}: {error}") from error
    return Bound(kernel, launch.global_size, launch.local_size, queue, tuple(tables))


def enqueue(queue: cl.CommandQueue, bound: Bound) -> None:
    """Start it and return at once: 1-3 us, where `kernel(queue, ...)` takes 13-19. On the queue it was bound for."""
    if queue is not bound.queue:
        raise ArgumentError("enqueue: the kernel was bound for another queue")  # PoCL would end the process
    cl.enqueue_nd_range_kernel(queue, bound.kernel, bound.global_size, bound.local_size)


def _kernel(program: cl.Program, name: str) -> cl.Kernel:
    try:
        return cl.Kernel(program, name)
    except cl.Error as error:
        if name in program.kernel_names.split(";"):
            raise BuildError(f"kernel {name!r} cannot be made: {error}") from error
        there = program.kernel_names or "none"
        raise BuildError(
            f"no kernel {name!r} in a program of {there}; a builtin's name (`step`) is no kernel's"
        ) from error


def _quietly(context: cl.Context, target: cl.Device, source: str, name: str) -> cl.Program:
    with warnings.catch_warnings():  # pyopencl warns of a log without an error, and of what `_from_source` does
        warnings.simplefilter("ignore")
        return _build(context, target, source, name)


def _build(context: cl.Context, target: cl.Device, source: str, name: str) -> cl.Program:
    if has_src_build_cache(target):
        # PoCL and NVIDIA keep what they built. Taking binaries from PoCL compiles each kernel again, 40-220 ms, and
        # saves 30 ms at the next start.
        return _from_source(context, target, source, name)
    file = _file(target, source)
    program = _restore(context, target, disk.read(file))
    if program is None:
        program = _from_source(context, target, source, name)
        binary = program.binaries[program.devices.index(target)]
        disk.write(file, hashlib.sha256(binary).digest() + binary)
    return program


def _from_source(context: cl.Context, target: cl.Device, source: str, name: str) -> cl.Program:
    program = cl.Program(context, source)
    program.int_ptr  # noqa: B018  (pyopencl leaves its own cache out where a program was asked for its handle)
    try:
        program.build(OPTIONS, devices=[target])
    except cl.Error as error:
        log = program.get_build_info(target, cl.program_build_info.LOG).strip()  # type: ignore[no-untyped-call]
        what = f"kernel {name!r}" if name else "a program"
        raise BuildError(f"{what} does not compile on {target.name.strip()}:", log=log or str(error)) from error
    return program


def _restore(context: cl.Context, target: cl.Device, content: bytes | None) -> cl.Program | None:
    """The program of a file that `_build` wrote: 1.3 ms on Intel's runtime, from source 35-110. None if damaged."""
    if content is None or hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    try:
        program = cl.Program(context, [target], [content[32:]])
        program.build(OPTIONS, devices=[target])
    except cl.Error:  # of a driver that changed without changing its version
        return None
    return program


def _file(target: cl.Device, source: str) -> str:
    parts = (source, OPTIONS, target.name, target.driver_version, target.platform.name, target.platform.version)
    return f"programs/{hashlib.sha256(repr(parts).encode()).hexdigest()}"
