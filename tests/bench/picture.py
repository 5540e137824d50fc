"""Pictures of what versus.py has measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

Row = dict[str, Any]


def ratios(rows: Sequence[Row], path: str) -> None:
    """A bar a workload: the best peer's time over clnet's; a mark where it is wanted to end."""
    found = [row for row in rows if "ratio" in row][::-1]
    figure, axes = plt.subplots(figsize=(8, 1 + 0.24 * len(found)))
    colors = ["tab:blue" if row["ratio"] >= row["wanted"] else "tab:red" for row in found]
    axes.barh(range(len(found)), [row["ratio"] for row in found], color=colors)
    axes.plot([row["wanted"] for row in found], range(len(found)), "k|", markersize=9, label="wanted")
    axes.set_yticks(range(len(found)), [f"{row['workload']} ({row['best']})" for row in found], fontsize=7)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.set_xlabel("time of the best peer (in brackets) over clnet's")
    axes.legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def growth(rows: Sequence[Row], path: str) -> None:
    """Microseconds a step by batch, and by width."""
    figure, axes = plt.subplots(figsize=(8, 5))
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        kind, _, size = row["workload"].partition(" ")
        series.setdefault(kind, []).append((int(size.split(",")[0]), row["sides"]["clnet"]["microseconds"]))
    for kind, points in series.items():
        axes.plot(*zip(*sorted(points), strict=True), ".-", markersize=4, label=kind)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("size")
    axes.set_ylabel("microseconds a step")
    axes.grid(visible=True, linewidth=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120, bbox_inches="tight")
