"""Plan: a graph frozen for one set of shapes; running it enqueues launches whose arguments were bound before."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyopencl as cl

from clnet import gemm, kernels
from clnet.device import Device
from clnet.errors import ArgumentError
from clnet.graph import Contraction, Copy, Held, Input, Node, Pointwise, count, topological
from clnet.plan import generate, runs
from clnet.plan.fusion import Demands, Group, base, fuse
from clnet.plan.memory import Lifetime, assign
from clnet.tensor import Tensor, empty

# Microseconds of a launch on all cores, where they have to be woken and joined, and on the calling thread; and work
# per microsecond of one core: multiply-adds of a product, elements times statements of generated kernels.
WAKE, CALL, PRODUCT_RATE, ELEMENT_RATE = 12.0, 1.5, 30_000.0, 3_000.0


@dataclass(frozen=True)
class Options:
    """What a user may say about a plan: who multiplies matrices, and which form kernels take."""

    gemm: str = "auto"
    form: Literal["auto", "cpu", "gpu"] = "auto"


@dataclass(frozen=True)
class Step:
    """One launch, for the summary: what it is, and the shape that it works on."""

    title: str
    shape: tuple[int, ...]
    detail: str


@dataclass
class Draft:
    """What `build` decides step by step."""

    groups: list[Group]
    forced: set[int]
    held: dict[int, int] = field(default_factory=dict)  # id of a Held leaf -> id of its tensor
    inplace: dict[int, Tensor] = field(default_factory=dict)  # id of a node -> the Variable whose memory it takes
    outputs: dict[int, int] = field(default_factory=dict)  # id of a node -> its number among the fresh results

    def storage(self, node: Node) -> Hashable:
        """Where a node lies: ("input", i), ("output", i), ("temporary", id), or in the memory of a Tensor."""
        node = base(node)
        if isinstance(node.op, Held):
            return node.op.tensor
        if isinstance(node.op, Input):
            return ("input", node.op.position)
        if id(node) in self.inplace:
            return self.inplace[id(node)]
        if id(node) in self.outputs:
            return ("output", self.outputs[id(node)])
        return ("temporary", id(node))


class Plan:
    """Launches with their buffers: `plan(*inputs)` runs once, `plan.replay(n)` n times more on the same inputs.

    A run allocates nothing but the results it returns, and waits for nothing. `nbytes`: what the plan asked the
    device for when it was built.
    """

    def __init__(
        self,
        device: Device,
        queue: cl.CommandQueue,
        outputs: Sequence[Node],
        draft: Draft,
        steps: Sequence[Step],
        launches: Sequence[tuple[Any, Hashable]],
        memory: dict[Hashable, cl.Buffer | None],
        nbytes: int,
        requests: int,
    ) -> None:
        self.device, self.nbytes, self.steps = device, nbytes, tuple(steps)
        self._queue, self._outputs, self._draft, self._memory = queue, tuple(outputs), draft, memory
        self._requests = requests
        self._lock = threading.Lock()
        self._held: dict[Hashable, cl.Buffer] = {}
        self._slots: dict[Hashable, list[tuple[cl.Kernel, int]]] = {}
        self._bound = [self._bind(launch) for launch, _ in launches]

    def _bind(self, launch: Any) -> Any:
        """Give a launch its buffers; remember where those go that change from run to run."""
        none = self._memory["none"]
        bound = kernels.bind(self.device, launch, lambda slot: self._memory.get(slot) or none, queue=self._queue)
        for position, slot in enumerate(launch.arguments):
            if isinstance(slot, tuple) and slot[0] in ("input", "output"):
                self._slots.setdefault(slot, []).append((bound.kernel, position))
        return bound

    def _set(self, slot: Hashable, buffer: cl.Buffer | None) -> None:
        if buffer is None or self._held.get(slot) is buffer:
            return
        for kernel, position in self._slots.get(slot, ()):
            kernel.set_arg(position, buffer)
        self._held[slot] = buffer

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run once. `inputs`: tensors of the traced shapes and dtypes, on the plan's device."""
        with self._lock:
            self.bind(*inputs)
            results = []
            for node in self._outputs:
                slot = self._draft.storage(node)
                if isinstance(slot, tuple) and slot[0] == "output":
                    fresh = empty(node.shape, node.dtype, self.device)
                    self._set(slot, fresh.buffer)
                    results.append(fresh)
                else:
                    results.append(self._unchanged(node, slot, inputs))
            self._enqueue(1)
        return tuple(results)

    def _unchanged(self, node: Node, slot: Hashable, inputs: Sequence[Tensor]) -> Tensor:
        """An input or a captured tensor that is a result too."""
        tensor = slot if isinstance(slot, Tensor) else inputs[slot[1]]  # type: ignore[index]
        return tensor if tensor.shape == node.shape else Tensor(node.shape, node.dtype, self.device, tensor.buffer)

    def bind(self, *inputs: Tensor) -> None:
        """Take these tensors as the inputs of later replays."""
        for position, tensor in enumerate(inputs):
            self._set(("input", position), tensor.buffer)

    def replay(self, times: int = 1) -> None:
        """Run `times` more on the inputs of the last run or `bind`: only enqueues. Results go where they went last."""
        with self._lock:
            missing = [slot for slot in self._slots if slot not in self._held]
            for slot in missing:
                if slot[0] == "input":  # type: ignore[index]
                    raise ArgumentError("Plan.replay: got no inputs yet, wanted plan(...) or plan.bind(...) first")
                self._set(slot, self._fresh(slot))
            self._enqueue(times)

    def _fresh(self, slot: Hashable) -> cl.Buffer | None:
        node = next(node for node in self._outputs if self._draft.storage(node) == slot)
        return empty(node.shape, node.dtype, self.device).buffer

    def _enqueue(self, times: int) -> None:
        queue = self.device.activate(self._queue)
        enqueue = kernels.enqueue
        for _ in range(times):
            for bound in self._bound:
                enqueue(queue, bound)

    @property
    def launches(self) -> int:
        """Kernels that one run enqueues."""
        return len(self._bound)

    @property
    def serial(self) -> bool:
        """Whether it runs on one core without synchronisation."""
        return self._queue is self.device.serial_queue and self._queue is not self.device.queue

    def summary(self) -> str:
        """A table of the launches with what was fused into each, and the bytes."""
        rows = [("launch", "shape", "what")]
        rows += [(step.title, "x".join(map(str, step.shape)) or "scalar", step.detail) for step in self.steps]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}".rstrip() for row in rows]
        where = "one core" if self.serial else "all cores"
        lines.append(
            f"{self.launches} launches on {self.device.name} ({where}); "
            f"{self.nbytes:,} bytes of intermediates in {len(self._memory) - 1} buffers "
            f"({self._requests:,} without reuse)"
        )
        return "\n".join(lines)


def build(
    outputs: Sequence[Node], assignments: Sequence[tuple[Tensor, Node]], device: Device, options: Options = Options()
) -> Plan:
    """Freeze a graph: what it returns, and what it assigns to the memory of Variables when all reads are over."""
    stored = [*outputs, *(value for _, value in assignments)]
    gpu = options.form == "gpu" or (options.form == "auto" and device.kind == "gpu")
    runs.cut(topological(stored), gpu)
    order = topological(stored)
    held = {id(node): id(node.op.tensor) for node in order if isinstance(node.op, Held)}
    draft = Draft(fuse(order, stored), _forced(order, stored), held)
    _commit(draft, assignments)
    draft.groups = _sorted([group for group in draft.groups if any(count(node.shape) for node in group.outputs)])
    fresh = [base(node) for node in outputs if not isinstance(base(node).op, Input | Held)]
    draft.outputs = {key: number for number, key in enumerate(dict.fromkeys(id(node) for node in fresh))}
    return _lower(draft, outputs, device, options, gpu)


def _forced(order: Sequence[Node], stored: Sequence[Node]) -> set[int]:
    """Nodes that must be in memory: results, and operands of products."""
    operands = [source for node in order if isinstance(node.op, Contraction) for source in node.inputs]
    return {id(base(node)) for node in [*stored, *operands]}


def _commit(draft: Draft, assignments: Sequence[tuple[Tensor, Node]]) -> None:
    """Let each assigned value take its Variable's memory where every read of the old one comes before or with it.

    Elsewhere the value keeps its own memory until a copy at the end.
    """
    for variable, value in assignments:
        value = base(value)
        group = next(group for group in draft.groups if id(value) in group.members)
        readers = [other for other in draft.groups if other is not group and _leaves(draft, other, variable)]
        if not any(reader.runs_after(group) for reader in readers) and _updates_safely(draft, group, value, variable):
            group.after.update(readers)
            draft.inplace[id(value)] = variable
        else:
            copy = Node(Copy(), (value,), value.spec, value.device)
            late = Group(copy.shape, sources={id(value)}, after={group, *readers}, outputs=[copy])
            late.add(copy)
            if value not in group.outputs:
                group.outputs.append(value)
            draft.groups.append(late)
            draft.inplace[id(copy)] = variable


def _leaves(draft: Draft, group: Group, variable: Tensor) -> set[int]:
    """Ids of the leaves through which a group reads a Variable."""
    return {leaf for leaf, tensor in draft.held.items() if tensor == id(variable) and leaf in group.sources}


def _updates_safely(draft: Draft, group: Group, value: Node, variable: Tensor) -> bool:
    """Whether a kernel reads of the Variable only the element that it is about to write."""
    leaves = _leaves(draft, group, variable)
    if not leaves:
        return True
    if group.anchor is not None and any(id(base(source)) in leaves for source in group.anchor.inputs):
        return False
    demands = Demands(draft.forced)
    for node in group.nodes:
        if node is group.anchor:
            continue
        probe = node.inputs[0] if not isinstance(node.op, Pointwise) else node
        index = group.at(probe)
        assert index is not None
        found = demands.of(node, index) if probe is node else _seen(demands, probe, index)
        for leaf, where in found:
            late = group.axes is not None and count(leaf.shape) == count(
                group.shape
            )  # a later pass would read it again
            if id(leaf) in leaves and (late or where != group.at(leaf)):
                return False
    return True


def _seen(demands: Demands, node: Node, index: Any) -> list[tuple[Node, Any]]:
    demands.found = []
    demands.value(node, index)
    return demands.found


def _sorted(groups: Sequence[Group]) -> list[Group]:
    """Groups in an order in which they can run, as near to the given one as possible."""
    order: list[Group] = []
    done: set[Group] = set()

    def visit(group: Group) -> None:
        stack = [group]
        while stack:
            top = stack[-1]
            waiting = [other for other in groups if other in top.after and other not in done]
            if waiting:
                stack.append(waiting[0])
            else:
                stack.pop()
                if top not in done:
                    done.add(top)
                    order.append(top)

    for group in groups:
        visit(group)
    return order


def _cost(group: Group) -> float:
    """Microseconds of one core, roughly."""
    if group.anchor is not None:
        problem = _problem(group.anchor)
        work = problem.batch * problem.m * problem.n * problem.k / PRODUCT_RATE
    else:
        work = 0.0
    statements = len(group.nodes) + len(group.outputs)
    return work + count(group.shape) * statements / ELEMENT_RATE


def _queue(groups: Sequence[Group], device: Device) -> cl.CommandQueue:
    """The queue on which a run takes less time: one core without synchronisation, or all of them."""
    if device.serial_queue is device.queue:
        return device.queue
    units = max(1, device.facts.units)
    alone = sum(CALL + _cost(group) for group in groups)
    together = sum(WAKE + _cost(group) / units for group in groups)
    return device.serial_queue if alone < together else device.queue


def _problem(node: Node) -> gemm.Problem:
    """The matrix product of a Contraction node."""
    op = node.op
    assert isinstance(op, Contraction)
    a, b = node.inputs
    k = a.shape[-2] if op.transpose_a else a.shape[-1]
    batch = count(node.shape[:-2])
    return gemm.Problem(
        m=node.shape[-2],
        n=node.shape[-1],
        k=k,
        batch=batch,
        transpose_a=op.transpose_a,
        transpose_b=op.transpose_b,
        a_batched=count(a.shape[:-2]) == batch and batch > 1,
        b_batched=count(b.shape[:-2]) == batch and batch > 1,
        dtype=node.dtype,
    )


def _lower(draft: Draft, outputs: Sequence[Node], device: Device, options: Options, gpu: bool) -> Plan:
    """Groups to launches, intermediates to buffers."""
    queue = _queue(draft.groups, device)
    items = 1 if queue is device.serial_queue and queue is not device.queue else 4 * device.facts.units
    launches: list[tuple[Any, Hashable]] = []
    steps: list[Step] = []
    lifetimes: dict[Hashable, Lifetime] = {}
    nbytes = {("temporary", id(node)): node.nbytes for group in draft.groups for node in group.outputs}
    for group in draft.groups:
        lowered, workspace = _launches(group, draft, device, options, generate.Target(gpu, items))
        for launch in lowered:
            now = len(launches)
            launches.append((launch, now))
            steps.append(Step(launch.name, group.shape, _detail(group)))
            for slot in launch.arguments:
                if isinstance(slot, tuple) and slot[0] in ("temporary", "workspace"):
                    size = workspace if slot[0] == "workspace" else nbytes.get(slot, 0)
                    if size:
                        lifetimes.setdefault(slot, Lifetime(size, now, now)).last = now
    place, sizes = assign(lifetimes)
    buffers = [device.allocate(size) for size in sizes]
    memory: dict[Hashable, cl.Buffer | None] = {key: buffers[number] for key, number in place.items()}
    for launch, _ in launches:
        memory |= {slot: slot.buffer for slot in launch.arguments if isinstance(slot, Tensor)}
    memory["none"] = device.cache(
        "clnet.plan: stands for the memory of empty tensors", lambda: cl.Buffer(device.context, 0, 16)
    )
    return Plan(
        device, queue, outputs, draft, steps, launches, memory, sum(sizes), sum(x.nbytes for x in lifetimes.values())
    )


def _launches(
    group: Group, draft: Draft, device: Device, options: Options, target: generate.Target
) -> tuple[Sequence[Any], int]:
    """The launches of a group and the bytes of their workspace."""
    if group.anchor is None:
        return [generate.kernel(group, draft.storage, draft.forced, target)], 0
    a, b = (draft.storage(source) for source in group.anchor.inputs)
    epilogue = generate.epilogue(group, draft.storage, draft.forced)
    lowering = gemm.lower(
        device, _problem(group.anchor), a, b, epilogue, form=None if options.gemm == "auto" else options.gemm
    )
    own = {gemm.WORKSPACE: ("workspace", id(group))}
    launches = [
        replace(
            launch,
            arguments=tuple(slot if isinstance(slot, np.generic) else own.get(slot, slot) for slot in launch.arguments),
        )
        for launch in lowering.launches
    ]
    return launches, lowering.workspace


def _detail(group: Group) -> str:
    """What a launch does, in ops."""
    return " ".join(node.op.name for node in group.nodes)
