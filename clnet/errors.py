"""Every exception that clnet raises of its own.

ClnetError
├── DeviceError (RuntimeError)
│   ├── NoDeviceError
│   ├── BuildError
│   └── DeviceMemoryError (MemoryError)
├── ArgumentError (ValueError)
│   └── ShapeError
├── DTypeError (TypeError)
├── TraceError (RuntimeError)
├── DivergenceError (ArithmeticError)
├── DataError (ValueError)
│   └── CheckpointError
└── MissingExtraError (ImportError)

A message names who, what it got and what it wanted: `Dense: input has 20 features, weights want 32`.
"""

from __future__ import annotations


class ClnetError(Exception):
    """Anything that clnet refuses to do; catch this one to catch them all."""


class DeviceError(ClnetError, RuntimeError):
    """A device, its driver or its compiler cannot do what was asked."""


class NoDeviceError(DeviceError):
    """No OpenCL device is there, or none of the name that was asked for."""


class BuildError(DeviceError):
    """A kernel does not compile; `log` is the compiler's own text."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(f"{message}\n{log}" if log else message)
        self.log = log


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no room for `wanted` bytes; `available` is the most that it gives."""

    def __init__(self, message: str, *, wanted: int, available: int) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.available = available


class ArgumentError(ClnetError, ValueError):
    """An argument has a value that the function does not take."""


class ShapeError(ArgumentError):
    """Shapes do not fit each other, or the operation."""


class DTypeError(ClnetError, TypeError):
    """An argument has a dtype, or a type, that the function does not take."""


class TraceError(ClnetError, RuntimeError):
    """A traced function asked for a value that exists only when the plan runs."""


class DivergenceError(ClnetError, ArithmeticError):
    """The loss became NaN at `step` (counted from the first step of training) of `epoch`."""

    def __init__(self, message: str, *, step: int, epoch: int) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch


class DataError(ClnetError, ValueError):
    """A file or an array of data is not what it says, or nothing at all."""


class CheckpointError(DataError):
    """A checkpoint is damaged, of another schema, or of another network."""


class MissingExtraError(ClnetError, ImportError):
    """`feature` wants an optional package: says the extra that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs the extra "{extra}": pip install "clnet[{extra}]"')
        self.feature = feature
        self.extra = extra
