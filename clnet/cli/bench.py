"""clnet bench: what this device does at best, what a launch costs, and what the products of matrices get of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass

import click
import numpy as np
import pyopencl as cl

import clnet
from clnet import gemm, kernels, ops
from clnet.cli import options
from clnet.cli.devices import table
from clnet.device import Device

CHAINS = 12
SHAPES = "10x30x784,10x100x784,128x512x784,128x1024x1024,512x512x512,1024x1024x1024"
SECONDS = 0.1  # of one timing; the best of TIMINGS counts
TIMINGS = 5


@dataclass(frozen=True)
class Figure:
    """One measured value; `of` is the kernel, memory or form of product that it was measured on."""

    what: str
    of: str
    value: float
    unit: str


@click.command("bench", short_help="Measure a device.")
@options.device
@click.option("--shapes", default=SHAPES, show_default=True, metavar="MxNxK,...", help="Products (m, k) @ (k, n).")
@click.option("--forms", is_flag=True, help="Every form of clnet's own product, not only the one that it chooses.")
@options.as_json
def command(device: clnet.Device | None, shapes: str, forms: bool, as_json: bool) -> None:
    """Measure a device: peak rate, bandwidth, launch cost, and matrix products by shape and by provider."""
    sizes = [parse(shape) for shape in shapes.split(",")]
    chosen = clnet.device(device)
    figures = []
    if not as_json:
        click.echo(options.label(chosen))
    for figure in measure(chosen, sizes, all_forms=forms):
        figures.append(figure)
        if not as_json:
            click.echo(
                table([(f"{figure.what:18}", f"{figure.of:34}", f"{three_digits(figure.value):>9} {figure.unit}")])
            )
    if as_json:
        options.echo_json({"device": options.label(chosen), "figures": [asdict(figure) for figure in figures]})


def three_digits(value: float) -> str:
    """1,234 or 123 or 1.23: never an exponent."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def parse(shape: str) -> tuple[int, int, int]:
    """(m, n, k) of `MxNxK`."""
    try:
        m, n, k = (int(part) for part in shape.split("x"))
    except ValueError:
        raise click.BadParameter(f"{shape!r} is not MxNxK", param_hint="--shapes") from None
    if min(m, n, k) < 1:
        raise click.BadParameter(f"{shape!r}: sizes are 1 or more", param_hint="--shapes")
    return m, n, k


def measure(device: Device, sizes: Sequence[tuple[int, int, int]], *, all_forms: bool) -> Iterator[Figure]:
    yield peak(device)
    yield from bandwidths(device)
    yield from launch_costs(device)
    for m, n, k in sizes:
        yield from products(device, m, n, k, all_forms=all_forms)


def peak(device: Device) -> Figure:
    """Multiply-adds on registers alone, two operations each: the better of a whole vector and half of one.

    PoCL 3.0 does not know every processor with AVX-512 as one, and then spills what it takes for 16 long registers.
    """
    items, group = (device.facts.units, 1) if device.kind == "cpu" else (device.facts.units * 2048, 256)
    rounds = 100_000 if device.kind == "cpu" else 10_000
    arguments = ("outs", np.int32(rounds), np.float32(0.5), np.float32(0.25))
    rates = {}
    for width in {device.facts.vector_width, max(1, device.facts.vector_width // 2)}:
        run = runner(device, kernels.Launch(source(width), "peak", arguments, (items,), (group,)))
        rates[width] = 2 * CHAINS * width * rounds * items / seconds(device, run)
    width = max(rates, key=rates.__getitem__)
    return Figure("peak", f"multiply-add, float32 x {width}", rates[width] / 1e9, "GFLOP/s")


def bandwidths(device: Device) -> Iterator[Figure]:
    """a = b + c * s over three arrays that together fit a core's cache, all cores', and none."""
    for kib in (192, 6 * 1024, 384 * 1024):
        size = kib * 1024 // 3
        if size <= device.facts.max_allocation // 4:
            yield Figure("bandwidth", f"triad over {kib / 1024:g} MiB", triad(device, size), "GB/s")


def triad(device: Device, size: int) -> float:
    """GB/s of a triad over arrays of `size` bytes, as often in one launch as makes it long."""
    items, group = (device.facts.units, 1) if device.kind == "cpu" else (device.facts.units * 2048, 256)
    count = size // (4 * device.facts.vector_width)
    block = -(-count // items)
    first, span, stride = (block, block, 1) if device.kind == "cpu" else (1, count, items)
    rounds = max(1, (1 << 26) // size)
    numbers = map(np.int32, (count, first, span, stride, rounds))
    arguments = ("outs", "as", "bs", *numbers, np.float32(0.5))
    run = runner(
        device, kernels.Launch(source(device.facts.vector_width), "triad", arguments, (items,), (group,)), size
    )
    return 3 * size * rounds / seconds(device, run) / 1e9


def launch_costs(device: Device) -> Iterator[Figure]:
    """Microseconds of an empty kernel, enqueued behind others and waited for, on each of the device's queues."""
    queues = {"all cores": device.queue} | (
        {} if device.serial_queue is device.queue else {"one core": device.serial_queue}
    )
    for name, queue in queues.items():
        run = runner(
            device, kernels.Launch(source(device.facts.vector_width), "nothing", ("outs",), (1,), (1,)), queue=queue
        )

        def waited(run: Callable[[], None] = run, queue: cl.CommandQueue = queue) -> None:
            run()
            queue.finish()

        where = name if device.kind == "cpu" else "device"
        yield Figure("launch", f"{where}, behind others", seconds(device, run) * 1e6, "us")
        yield Figure("launch", f"{where}, waited for", seconds(device, waited) * 1e6, "us")
    device.activate(device.queue)


def products(device: Device, m: int, n: int, k: int, *, all_forms: bool) -> Iterator[Figure]:
    """(m, k) @ (k, n) by the form that clnet chooses, or by all of its own, and by reikna."""
    problem = gemm.Problem(m, n, k, 1, False, False, False, False, np.dtype(np.float32))
    chosen = gemm.measure(device, problem)
    a, b = (clnet.tensor(np.ones(shape, np.float32), device=device) for shape in ((m, k), (k, n)))
    for form in [*(gemm.forms(device, problem) if all_forms else [chosen]), "reikna"]:
        plan = clnet.compile(ops.matmul, device=device, gemm=form).plan(a, b)
        name = f"{form} (chosen)" if form == chosen else form
        yield Figure(f"{m}x{n}x{k}", name, 2 * m * n * k / seconds(device, plan.replay) / 1e9, "GFLOP/s")


def source(width: int) -> str:
    return kernels.define(WIDTH=width, CHAINS=CHAINS) + kernels.read("bench.cl")


def runner(
    device: Device, launch: kernels.Launch, size: int = 4096, *, queue: cl.CommandQueue | None = None
) -> Callable[[], None]:
    """Enqueues the launch, each of its slots a zeroed buffer of `size` bytes."""
    active = device.activate(queue or device.queue)
    slots = [slot for slot in launch.arguments if isinstance(slot, str)]
    buffers: dict[Hashable, cl.Buffer] = {slot: device.upload(np.zeros(size, np.uint8)) for slot in slots}
    bound = kernels.bind(device, launch, buffers.__getitem__, queue=active)

    def run(held: object = buffers) -> None:  # a kernel does not keep its buffers alive
        kernels.enqueue(active, bound)

    return run


def seconds(device: Device, run: Callable[[], object]) -> float:
    """Seconds of one run among many enqueued together: the best of some timings of about SECONDS each."""
    repeats, best = 1, float("inf")
    run()
    device.finish()
    for _ in range(TIMINGS):
        taken = _timed(device, run, repeats)
        while taken < SECONDS / 4 and repeats < 100_000:
            repeats *= 4
            taken = _timed(device, run, repeats)
        best = min(best, taken / repeats)
    return best


def _timed(device: Device, run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    device.finish()
    return time.perf_counter() - start
