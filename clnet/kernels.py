"""A program is a text: sources and `#define`s joined, built once a device, its kernels bound to buffers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyopencl as cl

from clnet.device import Device
from clnet.errors import BuildError

_HERE = Path(__file__).parent
_PROGRAM = object()  # keeps the keys of `build` apart from others' in device.cache


@cache
def read(name: str) -> str:
    """kernels_cl/<name>, preceded by a `#line` so that compilers name the file."""
    inside = _HERE / "kernels_cl" / name  # a wheel carries the folder in the package, a checkout beside it
    path = inside if inside.is_file() else _HERE.parent / "kernels_cl" / name
    return f'#line 1 "{name}"\n{path.read_text(encoding="utf-8")}\n'


def define(**parameters: int | float | str) -> str:
    """One `#define NAME value` a line, in the order given."""
    return "".join(f"#define {name} {value}\n" for name, value in parameters.items())


def build(device: Device, source: str, *, name: str = "") -> cl.Program:
    """The built program of this text; one for every text and device. Raises BuildError with the compiler's log."""
    return device.cache((_PROGRAM, source), lambda: _build(device, source, name))


def _build(device: Device, source: str, name: str) -> cl.Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.CompilerWarning)  # a log without an error is of no use to a user
        try:
            program: cl.Program = cl.Program(device.context, source).build()
            return program
        except cl.RuntimeError as error:
            raise BuildError(f"{name or 'program'} does not compile on {device}", log=str(error)) from error


@dataclass(frozen=True)
class Launch:
    """One kernel with everything but its buffers.

    Numpy scalars among `arguments` are passed as they are; anything else is a slot that `bind` asks a buffer for.
    """

    source: str
    name: str
    arguments: tuple[Hashable, ...]
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Bound:
    """A kernel of its own with all arguments set: arguments live in the kernel, so it is never shared."""

    kernel: cl.Kernel
    global_size: tuple[int, ...]
    local_size: tuple[int, ...] | None


def bind(device: Device, launch: Launch, buffer: Callable[[Hashable], cl.Buffer]) -> Bound:
    """Build the launch's program and set its kernel's arguments, slots by `buffer`."""
    kernel = cl.Kernel(build(device, launch.source, name=launch.name), launch.name)
    kernel.set_args(*(a if isinstance(a, np.generic) else buffer(a) for a in launch.arguments))
    return Bound(kernel, launch.global_size, launch.local_size)


def enqueue(queue: cl.CommandQueue, bound: Bound) -> None:
    """Start it, return at once."""
    cl.enqueue_nd_range_kernel(queue, bound.kernel, bound.global_size, bound.local_size)
