"""clnet beside PyTorch, JAX, NumPy and scikit-learn: the same work on the same cores, results checked before times.

Usage: python tests/bench/versus.py [--peer-python PYTHON] [--only 784-30-10 LSTM] [--seed 7] [--json] [--plot FILE.png]

Training steps through `Model.fit`, and answers of compiled functions to tensors (workloads.py lists them). Every side
starts from the same weights, picks batches from a shuffled set that lies on the device, sums the loss and reads it once
an epoch; the losses of the first epochs must agree before any side is timed. The ratio is the median over the rounds of
the best peer's time over clnet's; that to JAX's scanned epoch is told apart. The floor: the longer of operations at
the device's peak rate and bytes at its bandwidth, and clnet's launches at their cost, all as `clnet bench` measures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peers import HERE, ROOT, Result, Side, Team, add_options, timing_of
from workloads import FURTHER, TABLE, Workload, drawn

sys.path.insert(0, str(ROOT))

SIDES = ["clnet", "torch", "torch.channels_last", "torch.compile", "jax", "jax.scan", "numpy", "sklearn"]
OPTIONAL = ["torch.fused"]
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    rows: list[Row] = []
    for path in options.load:
        rows += json.loads(Path(path).read_text().splitlines()[-1])["rows"]
    if not options.load:
        for row in measure(options):
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    print(table(rows))
    if options.plot:
        import picture

        picture.ratios(rows, options.plot)
    if options.json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), "unit": "microseconds", "rows": rows}))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="of names: LSTM 784-30-10 (all)")
    parser.add_argument("--seed", type=int, help="draw four more classifiers")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that all sides agree")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the ratios")
    parser.add_argument(
        "--load", metavar="FILE", nargs="+", default=[], help="what --json has written, instead of runs"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.patience = 1, 0.05, 0.0
    unknown = {name.partition("@")[0] for name in filter(None, (options.sides or "").split(","))} - {*SIDES, *OPTIONAL}
    if unknown:
        parser.error(f"no side {', '.join(sorted(unknown))}; there are {', '.join(SIDES + OPTIONAL)}, clnet@DEVICE")
    return options


def measure(options: argparse.Namespace) -> Iterator[Row]:
    from floor import measured

    floor = measured(options.device)
    workloads = [*TABLE, *FURTHER, *([] if options.seed is None else drawn(options.seed))]
    for workload in workloads:
        if any(part in workload.label for part in options.only):
            with Team([side(name, options) for name in chosen(workload, options)]) as team:
                results = team.compare(workload.task(options.device), workload.arrays(), timing=timing_of(options))
                own = next((result for result in results if result.side == "clnet"), None)
                facts = team.facts(own) if own is not None else {}
            yield row_of(workload, results, own, facts, floor)


def chosen(workload: Workload, options: argparse.Namespace) -> list[str]:
    """The sides that can do the workload, and are asked for."""
    if not options.sides:
        return workload.sides
    wanted = options.sides.split(",")
    return [name for name in wanted if name.partition("@")[0] in (*workload.sides, *OPTIONAL)]


def side(name: str, options: argparse.Namespace) -> Side:
    """`torch.compile` is of torch.py, and so on."""
    family = name.partition("@")[0].partition(".")[0]
    python = sys.executable if family in ("clnet", "numpy") else options.peer_python
    return Side(name, HERE / "sides" / f"{family}.py", python, family)


def row_of(workload: Workload, results: Sequence[Result], own: Result | None, facts: Row, floor: Any) -> Row:
    row: Row = {"workload": workload.label, "wanted": workload.wanted, "aim": workload.aim}
    row |= {"sides": {result.side: result.as_json() for result in results}, "facts": facts}
    if facts:
        sizes = workload.operations, workload.bytes, int(facts["launches"])
        row["floor"] = round(floor.microseconds(*sizes, serial=facts["serial"]), 2)
    if own is None or own.failure:
        return row
    ratios = {each.side: ratio(each, own) for each in results if not (each.failure or each.side.startswith("clnet"))}
    row["scan"] = ratios.pop("jax.scan", None)
    if ratios:
        row["best"] = min(ratios, key=ratios.__getitem__)
        row["ratio"] = ratios[row["best"]]
    row["reached"] = round(row["floor"] / own.microseconds, 3)
    return row


def ratio(peer: Result, own: Result) -> float:
    """The median over the rounds of the peer's time over clnet's in the same round."""
    pairs = zip(peer.turns, own.turns, strict=False)
    return round(statistics.median(theirs.microseconds / ours.microseconds for theirs, ours in pairs), 3)


def line(row: Row) -> str:
    """One line a workload, as it is done: each side's median, or why there is none."""
    cells = [
        f"{name} {found.get('skipped') or format(found['microseconds'], '.0f')}" for name, found in row["sides"].items()
    ]
    return f"{row['workload']}: " + "; ".join(cells)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a workload, microseconds a unit, ratios to the best of the peers, and what is wanted."""
    names = [name for name in SIDES + OPTIONAL if any(name in row["sides"] for row in rows)]
    names += sorted({name for row in rows for name in row["sides"]} - set(names))
    head = ["us", *names, "best peer", "ratio", "wanted", "over scan", "floor", "of the floor"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        times = [number(row["sides"].get(name, {}).get("microseconds")) for name in names]
        mark = "**" if row.get("ratio", row["wanted"]) < row["wanted"] else ""
        found = [row.get("best", ""), mark + number(row.get("ratio"), 2) + mark, f"{row['wanted']:g}"]
        part = row.get("reached")
        ends = [number(row.get("scan"), 2), number(row.get("floor")), "" if part is None else f"{part:.0%}"]
        lines.append([row["workload"], *times, *found, *ends])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float | None, digits: int | None = None) -> str:
    """With so many digits behind the point; else as many as make three."""
    if value is None:
        return ""
    return f"{value:.{digits}f}" if digits is not None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
