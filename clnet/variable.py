"""Variable: the memory that a network keeps; the only thing that a plan changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from clnet import trace
from clnet.device import device as find
from clnet.errors import ShapeError, TraceError
from clnet.graph import Node
from clnet.tensor import Tensor, tensor


class Variable(Tensor):
    """A tensor whose elements change by `assign`. `name`: its path; `trainable`: whether optimizers see it.

    In a traced function every read sees the value that the Variable had when the function was entered; what was
    assigned is there when the function has run.

    It may hold a value for each of many networks (`stack`): it keeps the shape that one network sees, `memory` is the
    Variable (networks, ...) of all of them, and functions that are compiled with it compute for all (`clnet.stacking`).
    """

    __slots__ = ("_many", "name", "trainable")

    def __init__(
        self, value: Any, *, device: Any = None, name: str = "", trainable: bool = True, dtype: Any = None
    ) -> None:
        start = tensor(value, device=find(device), dtype=dtype)
        if isinstance(start, Node):
            raise TraceError(f"Variable {name!r}: got a traced tensor, wanted values")
        memory = start.buffer
        if memory is not None and isinstance(value, Tensor) and memory is value.buffer:
            memory = start.device.allocate(start.nbytes)
            start.device.copy(value.buffer, memory)
        super().__init__(start.shape, start.dtype, start.device, memory)
        self.name = name
        self.trainable = trainable
        self._many: Variable | None = None

    def stack(self, values: int | np.ndarray[Any, Any]) -> None:
        """Hold a value for each of many networks: `values` (networks, ...), or so many copies of the one it has."""
        own = self.numpy()
        each = np.stack([own] * values) if isinstance(values, int) else values.astype(self.dtype)
        if self._many is not None or each.shape[1:] != self.shape:
            raise ShapeError(
                f"Variable {self.name!r}: got {each.shape} to stack, wanted once (networks, *{self.shape})"
            )
        self._many = Variable(each, device=self.device, name=self.name, trainable=self.trainable)
        self._buffer = None

    @property
    def memory(self) -> Variable:
        """The Variable (networks, ...) of all networks, where it holds values of many; else itself."""
        return self if self._many is None else self._many

    def numpy(self) -> Any:
        """The elements as a new NumPy array, (networks, ...) where it holds those of many; waits for the device."""
        return super().numpy() if self._many is None else self._many.numpy()

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, of all networks."""
        return super().nbytes if self._many is None else self._many.nbytes

    def assign(self, value: Any) -> None:
        """Take new elements of the same shape and dtype: at the end of a traced function, or at once outside.

        Outside, a Variable of many networks takes one value for all of them, or (networks, ...).
        """
        going_on = trace.current()
        if going_on is None and self._many is not None:
            self._many.assign(np.broadcast_to(np.asarray(value), self._many.shape))
            return
        if going_on is None:
            self._copy(value if isinstance(value, Tensor) else np.asarray(value))
            return
        node = trace.as_node(value, like=self)
        self._check(node.shape, node.dtype)
        going_on.assign(self, node)

    def _copy(self, value: Tensor | np.ndarray[Any, Any]) -> None:
        if isinstance(value, np.ndarray) and (value.ndim == 0 or value.dtype.kind == self.dtype.kind):
            value = value.astype(self.dtype)
        self._check(value.shape, value.dtype)
        if self.buffer is None:
            return
        if isinstance(value, Tensor) and value.device is self.device and value.buffer is not None:
            self.device.copy(value.buffer, self.buffer)
        else:
            self.device.upload(np.ascontiguousarray(value), self.buffer)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if (shape, dtype) != (self.shape, self.dtype):
            raise ShapeError(
                f"Variable {self.name!r}: got shape {shape} of {dtype}, wanted {self.shape} of {self.dtype}"
            )
