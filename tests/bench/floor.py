"""The least time that work can take on a device: operations at its peak rate, bytes at its bandwidth, launches."""

from __future__ import annotations

from dataclasses import dataclass

import clnet
from clnet.cli import bench


@dataclass(frozen=True)
class Floor:
    """What `clnet bench` measures of a device."""

    peak: float  # GFLOP/s, all cores
    bandwidths: tuple[tuple[float, float], ...]  # (MiB worked on, GB/s of reads and writes together)
    launch: float  # us, behind others

    def microseconds(self, operations: float, moved: float, launches: int) -> float:
        """The longer of computing and moving, and the launches; a working set is what it moves."""
        rate = next((rate for mib, rate in self.bandwidths if moved <= mib * 2**20), self.bandwidths[-1][1])
        return max(operations / self.peak, moved / rate) / 1e3 + launches * self.launch


def measured(device: str) -> Floor:
    """By the code of `clnet bench`, which takes some seconds."""
    found = clnet.device(device or None)
    sizes = (0.1875, 6, 384)
    costs = {figure.of: figure.value for figure in bench.launch_costs(found)}
    return Floor(
        bench.peak(found).value,
        tuple((mib, bench.triad(found, int(mib * 2**20) // 3)) for mib in sizes),
        costs["all cores, behind others" if found.kind == "cpu" else "device, behind others"],
    )
