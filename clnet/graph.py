"""The graph: a `Node` is a tensor that a trace will compute, an `Op` says how; `gradients` builds graphs from graphs.

Ops are frozen dataclasses: their fields are what a call fixes (axes, a shape, a function's name), their equality is
what common subexpressions are found by. An op belongs to one of the kinds below, and that is all that a plan knows of
it:

    Leaf          nothing to compute: an input, a constant, the memory of a Variable
    Pointwise     each element is a C expression over elements of the inputs: fuses with everything
    Reduction     many elements become one, in an order that only the shape fixes
    Routine       kernels of its own, written by hand: a matrix product, a convolution, a recurrence
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np

from clnet.device import Device
from clnet.errors import ArgumentError, ShapeError, TraceError
from clnet.index import ZERO, Index
from clnet.lowering import Epilogue, Lowering, Target
from clnet.tensor import Tensor

if TYPE_CHECKING:
    import pyopencl as cl


@dataclass(frozen=True)
class Spec:
    """What an op's shape rule works with."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Op:
    """One operation with its static arguments."""

    def infer(self, *inputs: Spec) -> Spec:
        """Shape and dtype of the result; raises `ShapeError` or `DTypeError` that names the op."""
        raise NotImplementedError

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        """A node that already is the result, or None."""
        return None

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        """The gradient of a scalar for each input, given the one for the result; None where there is none."""
        return [None] * len(node.inputs)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """The op, and its inputs, that computes this one for many networks at once.

        Inputs of which `many` says so have the networks as a new first axis, the others serve all of them; the result
        has the axis.
        """
        raise ArgumentError(f"{self.name}: has no rule for many networks at once (Op.stacked), so no Ensemble has it")

    @property
    def networks(self) -> int:
        """How many networks there are, where it has a value for each by itself; else 0."""
        return 0

    @property
    def name(self) -> str:
        """What summaries and errors call it."""
        return type(self).__name__.lower()


class Leaf(Op):
    """A value that exists before the plan runs."""


class Emitter(Protocol):
    """What a pointwise op may ask of the kernel that it becomes a part of."""

    def value(self, node: Node, index: Index) -> str:
        """The C variable that holds this element of a node."""

    def code(self, index: Index, shape: tuple[int, ...]) -> str:
        """The C expression of a row-major position."""

    def scalar(self, value: Any, dtype: np.dtype[Any]) -> str:
        """The C name of a number that is passed to the kernel."""

    def define(self, library: str) -> None:
        """Ask for the functions of a file of kernels_cl/, or for a definition given as text."""


class Pointwise(Op):
    """result[index] is a C expression; `inline` says that computing it again is as cheap as loading it.

    `cheap`: that it is, where its inputs are at hand. `reads_once`: though its shape is another, it reads no element of
    its input twice.
    """

    inline = False
    cheap: bool = False
    reads_once: ClassVar[bool] = False

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        """The C expression of the element at `index`: one operation, so that fusing changes no bit."""
        raise NotImplementedError

    def leads(self, node: Node) -> bool:
        """Whether its elements are the first ones of its input, in their order: a routine can read them there."""
        return False


@dataclass(frozen=True)
class Inline(Pointwise):
    """An op that is computed again wherever its result is read, instead of being stored."""

    op: Pointwise
    inline = True

    @property
    def name(self) -> str:
        return self.op.name

    def infer(self, *inputs: Spec) -> Spec:
        return self.op.infer(*inputs)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        return self.op.simplify(inputs)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        return self.op.emit(node, index, emitter)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        op, sources = self.op.stacked(inputs, many, networks)
        return Inline(cast("Pointwise", op)), sources

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return self.op.gradient(node, dy)


@dataclass(frozen=True)
class Again(Inline):
    """An operand that a routine makes for itself, just before it runs, from what lies in memory then."""


class View(Pointwise):
    """The same elements in the same order under another shape: shares its input's memory."""

    inline = True


@dataclass(frozen=True)
class Reduction(Op):
    """Elements along `axes` (sorted, not kept) become one.

    A plan may cut long ones, if they are `divisible`: with `parts` > 1 there is one result a run along a new first
    axis, and reducing that axis gives the result.
    """

    axes: tuple[int, ...]
    parts: int = 1
    divisible: ClassVar[bool] = True

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return replace(self, axes=tuple(axis + 1 for axis in self.axes)), inputs

    def kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes that stay."""
        return tuple(axis for axis in range(len(shape)) if axis not in self.axes)

    def accumulators(self, dtype: np.dtype[Any]) -> Sequence[tuple[str, str]]:
        """(C type, initial value) of each accumulator."""
        raise NotImplementedError

    def update(self, state: Sequence[str], value: str, position: str) -> Sequence[str]:
        """What the accumulators become when an element at this position along the reduced axes joins them."""
        raise NotImplementedError

    def merge(self, left: Sequence[str], right: Sequence[str]) -> Sequence[str]:
        """What two sets of accumulators become together."""
        raise NotImplementedError

    def result(self, state: Sequence[str]) -> str:
        """The C expression of the result."""
        return state[0]


class Routine(Op):
    """Kernels of kernels_cl/ compute it from operands in memory, and hand each finished element to an epilogue.

    An epilogue knows an element by (batch, row, column): row-major positions in three runs of the result's axes.
    `fuses`: False where the kernels write the result themselves; their epilogue is then always a plain one.
    `fetches`: whether they fetch what the next run reads, if the epilogue tells them (`ahead`).
    """

    fuses: ClassVar[bool] = True
    fetches: ClassVar[bool] = False

    def runs(self, node: Node) -> tuple[int, int]:
        """Where the axes of a row begin, and those of a column."""
        return node.ndim - 2, node.ndim - 1

    def multiply_adds(self, node: Node) -> float:
        """About how many it takes: what decides between one core and all."""
        raise NotImplementedError

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        """The launches that compute it from the slots of its inputs."""
        raise NotImplementedError

    def tune(self, node: Node, seconds: float) -> None:
        """Measure which of its forms suits the shapes, where it has several: their bits are the same."""


class Node(Tensor):
    """A tensor of a trace: it has a shape, a dtype and a device, and its elements exist only while a plan runs."""

    __slots__ = ("inputs", "op")

    def __init__(self, op: Op, inputs: tuple[Node, ...], spec: Spec, device: Device) -> None:
        super().__init__(spec.shape, spec.dtype, device, None)
        self.op = op
        self.inputs = inputs

    @property
    def spec(self) -> Spec:
        """Shape and dtype."""
        return Spec(self.shape, self.dtype)

    @property
    def buffer(self) -> cl.Buffer | None:
        raise TraceError(
            f"{self.op.name}: the values of a traced tensor of shape {self.shape} are not known while its function "
            "is traced; return it, or compute with clnet.ops (ops.where instead of `if`)"
        )

    def numpy(self) -> Any:
        """Raises `TraceError`: a trace has no values."""
        return self.buffer

    item = numpy

    def __repr__(self) -> str:
        return f"Node({self.op.name}, shape={self.shape}, dtype={self.dtype})"


class Copy(Pointwise):
    """The same elements in memory of their own; two copies are never one."""

    def infer(self, *inputs: Spec) -> Spec:
        return inputs[0]

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        return emitter.value(node.inputs[0], index)


@dataclass(frozen=True)
class Broadcast(Pointwise):
    """x seen under a larger shape, by NumPy's rule: axes of extent 1, and missing first axes, repeat."""

    shape: tuple[int, ...]
    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        (x,) = inputs
        own = self.shape[len(self.shape) - len(x.shape) :]
        if len(own) != len(x.shape) or any(e not in (1, wide) for e, wide in zip(x.shape, own, strict=True)):
            raise ShapeError(f"broadcast_to: shape {x.shape} does not broadcast to {self.shape}")
        return Spec(self.shape, x.dtype)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        return inputs[0] if inputs[0].shape == self.shape else None

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        (x,) = node.inputs
        own = index[len(index) - len(x.shape) :]
        return emitter.value(x, tuple(ZERO if e == 1 else i for e, i in zip(x.shape, own, strict=True)))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        (x,) = inputs
        new = (1,) * (len(self.shape) - x.ndim + 1)
        return Broadcast((networks, *self.shape)), [cast("Node", x.reshape((networks, *new, *x.shape[1:])))]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        (x,) = node.inputs
        new = len(self.shape) - len(x.shape)
        repeated = [axis for axis in range(new) if self.shape[axis] != 1]
        repeated += [axis + new for axis, extent in enumerate(x.shape) if extent == 1 != self.shape[axis + new]]
        return [dy.sum(axis=tuple(repeated)).reshape(x.shape)]


@dataclass(frozen=True)
class Constant(Leaf):
    """A number, the same in every run."""

    text: str
    dtype: np.dtype[Any]

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((), self.dtype)

    @property
    def value(self) -> Any:
        """The number as a NumPy scalar."""
        return self.dtype.type(float(self.text) if self.dtype.kind == "f" else int(self.text))


@dataclass(frozen=True)
class Input(Leaf):
    """Argument number `position` of the traced function, flattened."""

    position: int
    spec: Spec

    def infer(self, *inputs: Spec) -> Spec:
        return self.spec


@dataclass(frozen=True, eq=False)
class Held(Leaf):
    """A tensor that the traced function found outside its arguments: a Variable, or a captured tensor."""

    tensor: Tensor

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(self.tensor.shape, self.tensor.dtype)

    @property
    def networks(self) -> int:
        memory: Tensor = getattr(self.tensor, "memory", self.tensor)  # a Variable's
        return 0 if memory is self.tensor else memory.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and other.tensor is self.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


def topological(roots: Sequence[Node]) -> list[Node]:
    """Every node that the roots depend on, inputs before users; the order is the same in every run."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(node.inputs))
    return order


def gradients(loss: Node, wrt: Sequence[Node], one: Node) -> list[Tensor | None]:
    """d loss / d node for each node of `wrt`, as new nodes; None where the loss does not depend on it.

    Reverse mode: nodes are visited users first, each adds to the gradients of its inputs. `one` is the gradient of
    the loss itself. Source: Griewank and Walther, Evaluating Derivatives, chapter 3.
    """
    order = topological([loss])
    wanted = {id(node) for node in wrt}
    needed = set(wanted)
    for node in order:
        if any(id(source) in needed for source in node.inputs):
            needed.add(id(node))
    found: dict[int, Tensor] = {id(loss): one}
    for node in reversed(order):
        dy = found.get(id(node)) if id(node) in wanted else found.pop(id(node), None)
        if dy is None or id(node) not in needed or not node.inputs:
            continue
        for source, dx in zip(node.inputs, node.op.gradient(node, dy), strict=True):
            if dx is not None and id(source) in needed and source.dtype.kind == "f":
                found[id(source)] = found[id(source)] + dx if id(source) in found else dx
    return [found.get(id(node)) for node in wrt]


def count(shape: Sequence[int]) -> int:
    """Number of elements."""
    return math.prod(shape)
