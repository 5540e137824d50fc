"""Pace: how much work is in flight before the host looks again."""

from __future__ import annotations

import time
from collections.abc import Iterator

from clnet.plan import Plan

WINDOW = 0.05  # seconds: Ctrl-C and progress wait no longer, and each launch in flight takes about 1 KB of the host


class Pace:
    """How many steps make a window; learnt from the windows before."""

    def __init__(self) -> None:
        self.steps = 1

    def windows(self, plan: Plan, times: int) -> Iterator[int]:
        """Replay the plan so many times; after each window, the device idle, gives its number of steps."""
        while times:
            count = min(times, self.steps)
            start = time.perf_counter()
            plan.replay(times=count)
            plan.device.finish()
            if count == self.steps:
                fits = WINDOW * count / max(time.perf_counter() - start, 1e-9)
                self.steps = max(1, min(int(fits), 8 * count))
            times -= count
            yield count
