"""Tensor: a shape, a dtype and a buffer on a device; NumPy in, NumPy out, pyopencl's arrays without a copy.

The arithmetic operators are installed by `clnet.ops`, so that this module knows no op.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from clnet import device as devices
from clnet.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyopencl.array

# What memory can hold, and the name that OpenCL C has for it.
C_TYPES: dict[np.dtype[Any], str] = {
    np.dtype(name): c_type
    for name, c_type in {
        "bool": "uchar",
        "uint8": "uchar",
        "int8": "char",
        "uint16": "ushort",
        "int16": "short",
        "uint32": "uint",
        "int32": "int",
        "uint64": "ulong",
        "int64": "long",
        "float16": "half",
        "float32": "float",
        "float64": "double",
    }.items()
}


def value_type(dtype: np.dtype[Any]) -> str:
    """The C type in which kernels compute an element: float for half, in which it only lies in memory."""
    return "float" if dtype == np.float16 else C_TYPES[dtype]


def check_dtype(dtype: npt.DTypeLike, device: devices.Device, who: str = "tensor") -> np.dtype[Any]:
    """The NumPy dtype, if kernels of this device can compute with it; `DTypeError` otherwise."""
    kind = np.dtype(dtype)
    if kind not in C_TYPES:
        raise DTypeError(f"{who}: got dtype {kind}, wanted one of {', '.join(str(known) for known in C_TYPES)}")
    if not getattr(device.facts, str(kind), True):  # float16, float64
        raise DTypeError(f"{who}: got dtype {kind}, which {device.name} ({device.platform}) has not; use float32")
    return kind


class Tensor:
    """An array on a device: `shape` (tuple of int), `dtype`, `device`, `buffer` (None where there are no elements).

    A tensor's elements are row-major and contiguous, and never change: ops make new tensors. What changes is a
    `Variable`.
    """

    __slots__ = ("_buffer", "device", "dtype", "shape")
    __array_ufunc__ = None  # so that `array + tensor` asks the tensor

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], device: devices.Device, buffer: cl.Buffer | None
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self._buffer = buffer

    @property
    def buffer(self) -> cl.Buffer | None:
        """The pyopencl buffer that holds the elements; None for an empty tensor."""
        return self._buffer

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    if TYPE_CHECKING:  # what clnet.ops installs

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def sum(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, shape: Any) -> Tensor: ...
        def transpose(self, axes: Any = None) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...

    def numpy(self) -> npt.NDArray[Any]:
        """The elements as a new NumPy array; waits for the device."""
        array = np.empty(self.shape, self.dtype)
        if self.buffer is not None:
            self.device.download(self.buffer, array)
        return array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ArgumentError("Tensor: NumPy asked for its elements without a copy, but they are on the device")
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.size != 1:
            raise ArgumentError(f"Tensor.item: got shape {self.shape}, wanted exactly one element")
        return self.numpy().item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentError("Tensor: len() of a tensor without axes")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype}, device={self.device.name!r})"

    def to_pyopencl(self, queue: cl.CommandQueue | None = None) -> pyopencl.array.Array:
        """The same memory as a `pyopencl.array.Array` on `queue` (default: the device's own); nothing is copied."""
        import pyopencl.array

        if self.buffer is None:
            raise ArgumentError(f"Tensor.to_pyopencl: a tensor of shape {self.shape} has no memory to share")
        return pyopencl.array.Array(
            queue or self.device.activate(self.device.queue), self.shape, self.dtype, data=self.buffer
        )

    @classmethod
    def from_pyopencl(cls, array: pyopencl.array.Array, device: devices.Device | None = None) -> Tensor:
        """A tensor over the memory of a C-contiguous `pyopencl.array.Array`; nothing is copied."""
        if not array.flags.c_contiguous:
            raise ArgumentError(f"Tensor.from_pyopencl: got strides {array.strides}, wanted a C-contiguous array")
        home = device or devices.device(array.queue if array.queue is not None else array.context)
        dtype = check_dtype(array.dtype, home, "Tensor.from_pyopencl")
        data: Any = array.base_data
        if data is not None and array.offset:
            if array.offset % home.facts.alignment:
                raise ArgumentError(
                    f"Tensor.from_pyopencl: the array starts {array.offset} bytes into its buffer, "
                    f"wanted a multiple of {home.facts.alignment}, which {home.name} asks of a sub-buffer"
                )
            data = data.get_sub_region(array.offset, array.nbytes)
        return cls(tuple(int(extent) for extent in array.shape), dtype, home, data if array.size else None)


def tensor(array: Any, *, device: Any = None, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Copy an array to a device; its dtype stays, and Python numbers become float32, int32 or bool.

    `array`: anything NumPy makes an array of, a `Tensor`, or a `pyopencl.array.Array` (whose memory is shared if it
    lives in the device's context). `device`: a `Device`, or what `clnet.device` takes.
    """
    home = array.device if device is None and isinstance(array, Tensor) else devices.device(device)
    if isinstance(array, Tensor) and home is array.device and dtype in (None, array.dtype):
        return array
    if type(array).__module__ == "pyopencl.array" and array.context == home.context:
        return Tensor.from_pyopencl(array, home)
    host = np.asarray(array.get() if type(array).__module__ == "pyopencl.array" else array)
    if dtype is None and not isinstance(array, (np.ndarray, np.generic, Tensor)):
        dtype = {"f": np.float32, "i": np.int32, "b": np.bool_}.get(host.dtype.kind, host.dtype)
    kind = check_dtype(host.dtype if dtype is None else dtype, home)
    return upload(np.ascontiguousarray(host, kind).reshape(host.shape), home)


def upload(array: npt.NDArray[Any], device: devices.Device) -> Tensor:
    """A new tensor with the elements of a C-contiguous array."""
    return Tensor(array.shape, array.dtype, device, device.upload(array) if array.size else None)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], device: devices.Device) -> Tensor:
    """A new tensor with whatever its memory held."""
    nbytes = math.prod(shape) * dtype.itemsize
    return Tensor(shape, dtype, device, device.allocate(nbytes) if nbytes else None)
