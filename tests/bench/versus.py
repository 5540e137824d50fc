"""clnet beside PyTorch, JAX, NumPy and scikit-learn: the same work on the same cores, results checked before times.

Usage: python tests/bench/versus.py [--suite steps] [--peer-python PYTHON] [--only 784-30-10 LSTM] [--seed 7] [--json]

Suites: steps (training through `Model.fit`, and answers of compiled functions to tensors: workloads.py), gemm and
convolution (operations.py), startup, memory, growth. In the steps every side starts from the same weights, picks
batches from a shuffled set that lies on the device, sums the loss and reads it once an epoch; the losses of the first
epochs must agree before any side is timed. The ratio is the median over the rounds of the best peer's time over
clnet's; that to JAX's scanned epoch is told apart. The floor: the longer of operations at the device's peak rate and
bytes at its bandwidth, and clnet's launches at their cost, all as `clnet bench` measures them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from peers import add_options
from processes import ROOT

sys.path.insert(0, str(ROOT))

from suites import OPTIONAL, SUITES
from workloads import cliffs

Row = dict[str, Any]
SIDES = ["clnet", "torch", "torch.channels_last", "torch.compile", "jax", "jax.scan", "numpy", "sklearn", *OPTIONAL]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    rows: list[Row] = []
    for path in options.load:
        rows += json.loads(Path(path).read_text().splitlines()[-1])["rows"]
    if not options.load:
        for row in SUITES[options.suite](options):
            rows.append(row)
            print(line(row), file=sys.stderr)
    print(table(rows), *summary(options.suite, rows), sep="\n")
    if options.plot:
        import picture  # wants matplotlib

        (picture.growth if options.suite == "growth" else picture.ratios)(rows, options.plot)
    if options.json:
        print(json.dumps({"suite": options.suite, "cores": len(os.sched_getaffinity(0)), "rows": rows}))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--suite", choices=SUITES, default="steps")
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="of names: LSTM 784-30-10 (all)")
    parser.add_argument("--seed", type=int, help="draw four more classifiers, or ten products")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that all sides agree")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the ratios, or how cost grows")
    parser.add_argument("--load", metavar="FILE", nargs="+", default=[], help="what --json wrote, instead of runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.patience = 1, 0.05, 0.0
    unknown = {name.partition("@")[0] for name in filter(None, (options.sides or "").split(","))} - {*SIDES}
    if unknown:
        parser.error(f"no side {', '.join(sorted(unknown))}; there are {', '.join(SIDES)}, clnet@DEVICE")
    return options


def line(row: Row) -> str:
    """One line a workload, as it is done: each side's figure, or why there is none."""
    cells = [f"{name} {found.get('skipped') or number(figure(found))}" for name, found in row["sides"].items()]
    return f"{row['workload']}: " + "; ".join(cells)


def figure(found: Row) -> float | None:
    """What is compared: microseconds, or where no times were taken, bytes."""
    return found.get("microseconds", found.get("bytes"))


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a workload, a column a side, the ratio to the best of the peers, and what is wanted."""
    columns = {"": [row["workload"] for row in rows]}
    for name in dict.fromkeys((*SIDES, *(name for row in rows for name in row["sides"]))):
        columns[name] = [number(figure(row["sides"].get(name, {}))) for row in rows]
    columns["best peer"] = [row.get("best", "") for row in rows]
    columns["ratio"] = [marked(row) for row in rows]
    columns["wanted"] = [f"{row['wanted']:g}" if "ratio" in row else "" for row in rows]
    columns["over scan"] = [number(row.get("scan"), 2) for row in rows]
    columns["floor"] = [number(row.get("floor")) for row in rows]
    columns["of the floor"] = [f"{row['reached']:.0%}" if "reached" in row else "" for row in rows]
    kept = [[name, "---", *cells] for name, cells in columns.items() if any(cells)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in zip(*kept, strict=True))


def marked(row: Row) -> str:
    """The ratio, bold where it is under what is wanted."""
    ratio = number(row.get("ratio"), 2)
    return f"**{ratio}**" if ratio and row["ratio"] < row["wanted"] else ratio


def number(value: float | None, digits: int | None = None) -> str:
    """With so many digits behind the point; else as many as make three."""
    if value is None:
        return ""
    return f"{value:.{digits}f}" if digits is not None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def summary(suite: str, rows: Sequence[Row]) -> list[str]:
    """The mean and the least of the ratios; of growth, where a size costs more than half more than a rounder one."""
    if suite == "growth":
        times = {row["workload"]: figure(row["sides"]["clnet"]) for row in rows}
        return [f"a cliff: {one} takes {ratio:.2f} times as long as {other}" for one, other, ratio in cliffs(times)]
    counted = {row["workload"]: row["ratio"] for row in rows if "ratio" in row and row.get("counts", True)}
    if not counted:
        return []
    worst = min(counted, key=counted.__getitem__)
    short = sum(row["ratio"] < row["wanted"] for row in rows if row["workload"] in counted)
    return [
        f"geometric mean of {len(counted)} ratios {geometric_mean(counted.values()):.2f}, "
        f"the least {counted[worst]:.2f} ({worst}), {short} under what is wanted"
    ]


if __name__ == "__main__":
    sys.exit(main())
