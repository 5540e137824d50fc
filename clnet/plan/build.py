"""Build: a graph becomes a plan. Cut long reductions, fuse, schedule, lower each group, place the intermediates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyopencl as cl

from clnet.device import Device
from clnet.errors import DeviceMemoryError
from clnet.graph import Held, Input, Node, Routine, count, topological
from clnet.kernels import Launch
from clnet.lowering import WORKSPACE, Epilogue, Lowering, Target
from clnet.plan import ahead, epilogues, maps, reductions, runs
from clnet.plan.fusion import Group, base, fuse, operand, stored_nodes
from clnet.plan.inlining import inline
from clnet.plan.joining import PART
from clnet.plan.memory import Lifetime, assign
from clnet.plan.plan import Cores, Memory, Plan, Result, Step
from clnet.plan.recompute import recompute
from clnet.plan.schedule import schedule
from clnet.plan.source import Places, program
from clnet.tensor import Tensor

# Microseconds until the other cores begin, as they have to be woken, and until all know that a launch is done; what a
# core does in one: bytes from another's cache (by the hour 1,000 to 3,000), multiply-adds of a routine, statements of
# other kernels, of which a scalar one counts as so many: rows too short for vectors have them. Steps on one core and on
# two, repeated: 65 and 65 us (784-100-10, batch 10), 90 and 110 (with Adam), 330 and 190 (784-128-10, batch 64), 1,780
# and 1,040 (two convolutions, batch 10).
WAKE, MEET, FETCHED, MULTIPLY_ADDS, STATEMENTS, SCALAR = 25.0, 0.5, 2_500.0, 59_000.0, 20_000.0, 16
CACHE = 1 << 20  # bytes of a core's own: a step that writes more finds nothing there of what it wrote


@dataclass(frozen=True)
class Options:
    """What a user may say about a plan: who multiplies matrices, and which form kernels take."""

    gemm: str = "auto"
    form: Literal["auto", "cpu", "gpu"] = "auto"


def build(
    outputs: Sequence[Node], assignments: Sequence[tuple[Tensor, Node]], device: Device, options: Options | None = None
) -> Plan:
    """Freeze a graph: what it returns, and what it assigns to the memory of Variables when all reads are over."""
    options = options or Options()
    gpu = options.form == "gpu" or (options.form == "auto" and device.kind == "gpu")
    stored = [*outputs, *(value for _, value in assignments)]
    runs.cut(topological(stored), gpu)
    order = topological(stored)
    forced = stored_nodes(order, stored)
    inline(order, forced)
    recompute(order, forced)
    order = topological(stored)
    forced = stored_nodes(order, stored)
    fresh = dict.fromkeys(id(base(node)) for node in outputs if not isinstance(base(node).op, Input | Held))
    found = schedule(fuse(order, forced), order, assignments, forced, fresh)
    numbers = {ident: number for number, ident in enumerate(fresh)}

    def storage(node: Node) -> Hashable:
        node = base(node)
        if isinstance(node.op, Held):
            return node.op.tensor
        if isinstance(node.op, Input):
            return ("input", node.op.position)
        if id(node) in found.inplace:
            old = found.inplace[id(node)]
            return storage(old) if isinstance(old, Node) else old
        return ("output", numbers[id(node)]) if id(node) in numbers else ("temporary", id(node))

    passed = _passed(found.groups, order, storage, CACHE * device.facts.units)
    cores = _cores(found.groups, passed, device)
    places, target = Places(storage, forced), Target(device, gpu, cores.repeated, options.gemm)
    every = [each for group in found.groups for each in (*group.operands, group)]
    others = [group for group in every if group.anchor is None]
    launches = {group: [launch] for group, launch in zip(others, _program(others, places, target), strict=True)}
    sizes = {("temporary", id(node)): node.nbytes for group in every for node in group.outputs}
    fetched = ahead.find(found.groups, places, _work) if target.units == 1 and not gpu else {}
    for group in found.groups:
        if group.anchor is not None:
            epilogue = epilogues.lower(group, places, fetched.get(group))
            lowering = _routine(group.anchor, epilogue, places, target)
            own = ("workspace", id(group))
            launches[group] = [_renamed(launch, WORKSPACE, own) for launch in lowering.launches]
            sizes[own] = lowering.workspace
    steps = [Step(launch, group.shape, _ops(group), _work(group)) for group in every for launch in launches[group]]
    results = [Result(storage(node), node.shape, node.dtype) for node in outputs]
    routines = [group.anchor for group in found.groups if group.anchor is not None]
    return Plan(device, cores, steps, _memory(steps, sizes, device), results, routines)


def _program(groups: Sequence[Group], places: Places, target: Target) -> list[Launch]:
    """The launches of maps and reductions."""
    return program([(maps if group.axes is None else reductions).lower(group, places, target) for group in groups])


def _routine(anchor: Node, epilogue: Epilogue, places: Places, target: Target) -> Lowering:
    """The launches of a routine and the bytes of their workspace."""
    assert isinstance(anchor.op, Routine)
    operands = [places.storage(operand(source)) for source in anchor.inputs]
    return anchor.op.lower(anchor, operands, epilogue, target)


def _renamed(launch: Launch, slot: Hashable, name: Hashable) -> Launch:
    """The launch with one slot under another name."""
    renamed = (name if not isinstance(each, np.generic) and each == slot else each for each in launch.arguments)
    return replace(launch, arguments=tuple(renamed))


def _memory(steps: Sequence[Step], sizes: dict[tuple[str, int], int], device: Device) -> Memory:
    """Buffers for every slot that the launches name, but for inputs and outputs, which change from call to call."""
    lifetimes: dict[Hashable, Lifetime] = {}
    buffers: dict[Hashable, cl.Buffer | None] = {}
    for now, step in enumerate(steps):
        for slot in step.launch.arguments:
            if isinstance(slot, Tensor):
                buffers[slot] = slot.buffer
            elif isinstance(slot, tuple) and sizes.get(slot, 0):
                lifetimes.setdefault(slot, Lifetime(sizes[slot], now, now)).last = now
    place, totals = assign(lifetimes)
    made = _allocate(totals, device)
    buffers |= {slot: made[number] for slot, number in place.items()}
    return Memory(buffers, totals, sum(life.nbytes for life in lifetimes.values()))


def _allocate(sizes: Sequence[int], device: Device) -> list[cl.Buffer]:
    """Buffers of these bytes; `DeviceMemoryError` with the bytes of all of them, because that is what to cut down."""
    total = sum(sizes)
    try:
        if total > device.facts.memory:
            raise DeviceMemoryError("more than all", wanted=total, available=device.facts.memory)
        return [device.allocate(size) for size in sizes]
    except DeviceMemoryError as error:
        raise DeviceMemoryError(
            f"plan: wants {total:,} bytes for its intermediates, the largest {max(sizes):,}; {device.name} has "
            f"{device.facts.memory:,}, in one buffer {device.facts.max_allocation:,}: try smaller batches",
            wanted=total,
            available=device.facts.memory,
        ) from error


def _passed(
    groups: Sequence[Group], order: Sequence[Node], storage: Callable[[Node], Hashable], room: int
) -> dict[Group, int]:
    """Bytes that each group writes for others to read, in this run or the next, perhaps on another core.

    None where all write more than there is `room` for in the cores' own caches: it has left them when it is read.
    Not those of routines with a batch (products of many matrices, convolutions): cores share them by its elements, so
    each finds its own again.
    """
    nodes = {id(node): node for node in order}
    readers: dict[Hashable, set[Group]] = {}
    written: dict[Hashable, int] = {}
    for group in groups:
        written |= {storage(node): node.nbytes for node in group.outputs}
        for ident in group.sources:
            readers.setdefault(storage(nodes[ident]), set()).add(group)
    if sum(written.values()) > room:
        return dict.fromkeys(groups, 0)
    return {
        group: sum(node.nbytes for node in group.outputs if readers.get(storage(node), set()) - {group})
        if group.anchor is None or len(group.shape) == 2
        else 0
        for group in groups
    }


def _cores(groups: Sequence[Group], passed: Mapping[Group, int], device: Device) -> Cores:
    """How many take less time: one, without synchronisation, or all of them, which fetch what the others wrote."""
    units = device.facts.units
    if not device.joins:
        return Cores(units, units)
    work = {group: _work(group) for group in groups}
    fetched = sum(passed[group] for group, each in work.items() if each >= PART)
    together = sum(MEET + (each if each < PART else each / units) for each in work.values()) + fetched / FETCHED / units
    alone = sum(work.values())
    return Cores(units if WAKE + together < alone else 1, units if together < alone else 1)


def _work(group: Group) -> float:
    """Microseconds of one core, roughly."""
    if group.anchor is None:
        rate = STATEMENTS / SCALAR if reductions.is_scalar(group) else STATEMENTS
        return count(group.shape) * (len(group.nodes) + len(group.outputs)) / rate
    assert isinstance(group.anchor.op, Routine)
    epilogue = count(group.shape) * (len(group.nodes) - 1) / STATEMENTS
    return epilogue + group.anchor.op.multiply_adds(group.anchor) / MULTIPLY_ADDS


def _ops(group: Group) -> str:
    """The ops of a group, in order."""
    return " ".join(node.op.name for node in group.nodes)
