"""Memory: which buffer holds which intermediate result, decided before the first run.

Intermediates share buffers where their lifetimes do not meet: greedy by size over shared objects, from Pisarchyk and
Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020), section 4.3. Whole buffers rather than offsets
into one arena: no alignment of sub-buffers, no limit of a single allocation, and a memory checker sees every bound.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass


@dataclass
class Lifetime:
    """An intermediate of `nbytes` that is written at step `first` and read until step `last`."""

    nbytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed at one time."""
        return self.first <= other.last and other.first <= self.last


def assign(lifetimes: Mapping[Hashable, Lifetime]) -> tuple[dict[Hashable, int], list[int]]:
    """(intermediate -> number of its buffer, bytes of each buffer); no two that meet share one."""
    tenants: list[list[Lifetime]] = []
    sizes: list[int] = []
    place: dict[Hashable, int] = {}
    for key, life in sorted(lifetimes.items(), key=lambda item: -item[1].nbytes):
        free = [number for number, others in enumerate(tenants) if not any(life.meets(other) for other in others)]
        if free:
            number = min(free, key=lambda candidate: sizes[candidate])
        else:
            number = len(tenants)
            tenants.append([])
            sizes.append(life.nbytes)
        tenants[number].append(life)
        place[key] = number
    return place, sizes
