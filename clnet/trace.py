"""Trace: the graph that grows while a function runs on tensors without values.

`apply` is where every op enters: inside a trace it makes a node, or finds the equal one that is there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from clnet.device import Device
from clnet.errors import ArgumentError, TraceError
from clnet.graph import Broadcast, Constant, Copy, Held, Input, Leaf, Node, Op, Spec
from clnet.plan.fusion import base
from clnet.tensor import Tensor, check_dtype, tensor

_active: ContextVar[Trace | None] = ContextVar("clnet trace", default=None)


class Trace:
    """The nodes made so far, each once; the assignments to Variables; how often each owner was called."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.products_in_half = False  # whether they take float32 operands as float16
        self.assignments: dict[int, tuple[Tensor, Node]] = {}
        self._nodes: dict[Hashable, Node] = {}
        self._calls: dict[int, int] = {}
        self._keep: list[object] = []  # what is known by its id must stay alive

    def node(self, op: Op, *inputs: Node) -> Node:
        """The node of this op on these inputs: an equal one is the same one, and may simplify to another."""
        key = (op, *map(id, inputs))
        found = self._nodes.get(key)
        if found is None:
            found = op.simplify(inputs)
            if found is None:
                spec = op.infer(*(source.spec for source in inputs))
                check_dtype(spec.dtype, self.device, op.name)
                found = Node(op, inputs, spec, self.device)
            self._nodes[key] = found
        return found

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Node:
        """A number as a node of shape ()."""
        number = dtype.type(value)
        text = repr(float(number)) if dtype.kind == "f" else str(int(number))
        return self.node(Constant(text, dtype))

    def filled(self, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Node:
        """A node of this shape that is one number everywhere."""
        return self.node(Broadcast(shape), self.constant(value, dtype))

    def lift(self, value: Tensor) -> Node:
        """A tensor as a node: nodes are, others are held."""
        if isinstance(value, Node):
            return value
        if value.device is not self.device:
            raise ArgumentError(f"trace: got a tensor on {value.device.name}, wanted one on {self.device.name}")
        return self.node(Held(value))

    def assign(self, variable: Tensor, value: Node) -> None:
        """Note that the variable is to hold this value when all reads of the old one are over."""
        self.assignments[id(variable)] = (variable, value)
        self._keep.append(variable)

    def call_of(self, owner: object) -> int:
        """0 for the first call of an owner in this trace, 1 for the second: tells the random numbers of both apart."""
        number = self._calls.get(id(owner), 0)
        self._calls[id(owner)] = number + 1
        self._keep.append(owner)
        return number

    def finish(self, outputs: list[Node]) -> tuple[list[Node], list[tuple[Tensor, Node]]]:
        """Outputs and assignments, with a copy where two of them cannot share memory."""
        taken: set[int] = set()
        assignments = []
        for variable, value in self.assignments.values():
            if isinstance(base(value).op, Leaf) or id(base(value)) in taken:
                value = self._copy(value)
            taken.add(id(base(value)))
            assignments.append((variable, value))
        return [self._result(node, taken) for node in outputs], assignments

    def _result(self, node: Node, taken: set[int]) -> Node:
        """A result of its own memory, but for an input, which is returned as it is."""
        root = base(node)
        held = isinstance(root.op, Constant) or (isinstance(root.op, Held) and hasattr(root.op.tensor, "assign"))
        return self._copy(node) if held or id(root) in taken else node

    def _copy(self, node: Node) -> Node:
        return Node(Copy(), (node,), node.spec, self.device)


def current() -> Trace | None:
    """The trace that is going on, if there is one."""
    return _active.get()


@contextmanager
def tracing(device: Device) -> Iterator[Trace]:
    """A new trace in which ops make nodes; inside another trace ops go there again afterwards."""
    trace = Trace(device)
    token = _active.set(trace)
    try:
        yield trace
    finally:
        _active.reset(token)


@contextmanager
def products_in_half(wanted: bool) -> Iterator[None]:
    """Inside, the trace's products and convolutions take float32 operands as float16, if that is wanted."""
    trace = _active.get()
    assert trace is not None
    before, trace.products_in_half = trace.products_in_half, wanted
    try:
        yield
    finally:
        trace.products_in_half = before


def apply(op: Op, *inputs: Any, like: Tensor | None = None) -> Node:
    """The node of an op. Arguments that are Python numbers take the dtype of `like` (default: of the other tensors)."""
    trace = _active.get()
    if trace is None:
        raise TraceError(f"{op.name}: no trace is going on")
    return trace.node(op, *(as_node(value, like) for value in inputs))


def as_node(value: Any, like: Tensor | None = None) -> Node:
    """A tensor, an array or a number as a node of the trace that is going on."""
    trace = _active.get()
    assert trace is not None
    if isinstance(value, Tensor):
        return trace.lift(value)
    if isinstance(value, (bool, int, float, np.generic)) and not (isinstance(value, np.generic) and like is None):
        dtype = like.dtype if like is not None else np.dtype({bool: "?", int: "i4"}.get(type(value), "f4"))
        return trace.constant(value, dtype)
    return trace.lift(tensor(value, device=trace.device))


def widened(node: Node, networks: int) -> Node:
    """The same value for each of many networks, their axis first."""
    return apply(Broadcast((networks, *node.shape)), node)


def all_widened(inputs: Sequence[Node], many: Sequence[bool], networks: int) -> list[Node]:
    """Inputs of an op's rule for many networks, each with their axis."""
    return [node if own else widened(node, networks) for node, own in zip(inputs, many, strict=True)]


def pending(variable: Tensor) -> Tensor:
    """What the trace that is going on has assigned to a Variable so far; the Variable itself if nothing."""
    trace = _active.get()
    return variable if trace is None else trace.assignments.get(id(variable), (variable, variable))[1]


def input_node(trace: Trace, position: int, value: Tensor) -> Node:
    """Argument number `position` of the traced function."""
    return trace.node(Input(position, Spec(value.shape, value.dtype)))
