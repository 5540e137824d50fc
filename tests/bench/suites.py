"""The suites of versus.py: each measures, and gives a row, a dict that JSON can hold, for each thing compared."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import startup
from floor import Floor, measured
from operations import convolutions, products
from peers import Result, Team, Timing, timing_of
from processes import HERE, Side
from workloads import FURTHER, TABLE, Workload, drawn, grown

OPTIONAL = ("torch.fused",)  # sides that run where they are asked for, beside those of the workload
Row = dict[str, Any]


def steps(options: argparse.Namespace) -> Iterator[Row]:
    """Training steps and answers, each side in a process of its own."""
    floor = measured(options.device)
    for work in asked_for([*TABLE, *FURTHER, *([] if options.seed is None else drawn(options.seed))], options):
        with team_for([work], options) as team:
            yield timed(team, work, floor, options)


def gemm(options: argparse.Namespace) -> Iterator[Row]:
    """Products of matrices."""
    return together(products(options.seed or 0), options)


def convolution(options: argparse.Namespace) -> Iterator[Row]:
    """Convolutions and their gradients."""
    return together(convolutions(), options)


def growth(options: argparse.Namespace) -> Iterator[Row]:
    """clnet's steps by batch, and by width."""
    options.sides = options.sides or "clnet"
    return together(grown(), options)


def together(works: Sequence[Any], options: argparse.Namespace) -> Iterator[Row]:
    """Many small works one after another in the same processes."""
    floor, works = measured(options.device), asked_for(works, options)
    with team_for(works, options) as team:
        for work in works:
            yield timed(team, work, floor, options)


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """Bytes of tensors alive at once in a step: a plan's with weights and state, and what PyTorch's ops give."""
    options.sides = options.sides or "clnet,torch,torch.channels_last"
    for work in asked_for([each for each in (*TABLE, *FURTHER) if each.work == "fit"], options):
        with team_for([work], options) as team:
            results = team.compare(work.task(options.device), work.arrays(), timing=Timing(rounds=0))
            sides = {result.side: team.facts(result) | result.as_json() for result in results}
        kept = {name: found["bytes"] for name, found in sides.items() if "bytes" in found}
        own = kept.pop("clnet", None)
        row: Row = {"workload": work.label, "wanted": 1.25, "aim": 1.6, "sides": sides}
        if own and kept:
            row["best"] = min(kept, key=kept.__getitem__)
            row["ratio"] = round(kept[row["best"]] / own, 3)
        yield row


def first_step(options: argparse.Namespace) -> Iterator[Row]:
    """Seconds from the start of a process to the end of its first trained step, with warm caches."""
    own, theirs = startup.warm_seconds(options.device, options.peer_python, options.rounds)
    row: Row = {"workload": "784-100-10, batch 10, first step", "wanted": 2.0, "aim": 3.0, "best": "torch"}
    times = {"clnet": own, "torch": theirs}
    row["sides"] = {name: {"microseconds": statistics.median(taken) * 1e6} for name, taken in times.items()}
    row["ratio"] = round(statistics.median(b / a for a, b in zip(own, theirs, strict=True)), 3)
    yield row


SUITES: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "steps": steps,
    "gemm": gemm,
    "convolution": convolution,
    "growth": growth,
    "memory": memory,
    "startup": first_step,
}


def asked_for(works: Sequence[Any], options: argparse.Namespace) -> list[Any]:
    return [work for work in works if any(part in work.label for part in options.only)]


def team_for(works: Sequence[Any], options: argparse.Namespace) -> Team:
    """The sides that can do the works, and are asked for."""
    able = list(dict.fromkeys(name for work in works for name in work.sides))
    wanted = options.sides.split(",") if options.sides else able
    names = [name for name in wanted if name.partition("@")[0] in (*able, *OPTIONAL)]
    return Team([side(name, options) for name in names])


def side(name: str, options: argparse.Namespace) -> Side:
    """`torch.compile` is of torch.py, and so on."""
    family = name.partition("@")[0].partition(".")[0]
    python = sys.executable if family in ("clnet", "numpy") else options.peer_python
    return Side(name, HERE / "sides" / f"{family}.py", python, family)


def timed(team: Team, work: Workload | Any, floor: Floor, options: argparse.Namespace) -> Row:
    """Every side's time for the work, the ratio to the best of the peers, and what of the floor is reached."""
    results = team.compare(work.task(options.device), work.arrays(), timing=timing_of(options))
    row: Row = {"workload": work.label, "wanted": work.wanted, "aim": work.aim}
    row |= {"counts": getattr(work, "counts", True), "sides": {result.side: result.as_json() for result in results}}
    own = next((result for result in results if result.side == "clnet"), None)
    if own is None or own.failure:
        return row
    ratios = {each.side: ratio(each, own) for each in results if not (each.failure or each.side.startswith("clnet"))}
    row["scan"] = ratios.pop("jax.scan", None)
    if ratios:
        row["best"] = min(ratios, key=ratios.__getitem__)
        row["ratio"] = ratios[row["best"]]
    row["facts"] = facts = team.facts(own)
    if facts:
        least = floor.microseconds(work.operations, work.bytes, facts["launches"])
        row |= {"floor": round(least, 2), "reached": round(least / own.microseconds, 3)}
    return row


def ratio(peer: Result, own: Result) -> float:
    """The median over the rounds of the peer's time over clnet's in the same round."""
    pairs = zip(peer.turns, own.turns, strict=False)
    return round(statistics.median(theirs.microseconds / ours.microseconds for theirs, ours in pairs), 3)
