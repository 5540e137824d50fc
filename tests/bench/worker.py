"""The process of one side: obeys one JSON object a line on stdin, and answers each with one on stdout.

Usage (by processes.py only): PYTHON worker.py SCRIPT
SCRIPT defines `prepare(task, arrays)`. Its result, the work, has `check()`, which gives the figures that all sides must
agree on or an array of which they are made, `run() -> int`, which does a stretch of work to its end and gives the
number of units done, and `facts() -> dict` where a comparison asks for that. The words are {"word": "prepare",
"task": {...}, "arrays": path of an npz}, {"word": "check"}, {"word": "run", "times": n} and {"word": "facts"}.
It runs under interpreters without clnet: it, the peers' scripts and nets.py need NumPy alone.
"""

import json
import os
import runpy
import sys
import time
from typing import Any

import numpy as np


class Worker:
    """The script's work, and what can be asked of it."""

    def __init__(self, script: str) -> None:
        self.begin = runpy.run_path(script)["prepare"]
        self.work: Any = None

    def prepare(self, task: dict[str, Any], arrays: str) -> dict[str, Any]:
        self.work = None  # its memory goes before the next one's comes
        with np.load(arrays) as held:
            self.work = self.begin(task, dict(held))
        return {}

    def check(self) -> dict[str, Any]:
        found = self.work.check()
        return {"figures": figures(found) if isinstance(found, np.ndarray) else found}

    def run(self, times: int) -> dict[str, Any]:
        start = time.perf_counter()
        units = sum(self.work.run() for _ in range(times))
        return {"seconds": time.perf_counter() - start, "units": units}

    def facts(self) -> dict[str, Any]:
        return {"facts": self.work.facts()}


def figures(result: np.ndarray) -> list[float]:
    """What tells a result from a wrong one: the sum of magnitudes, and two waves through the values around it."""
    values = result.astype(np.float64).ravel()
    total = np.abs(values).sum()
    return [float(total + np.sin(frequency * np.arange(values.size)) @ values) for frequency in (0.0, 0.1, 0.37)]


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")  # what a library prints must not mix with the replies
    os.dup2(2, 1)
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        words = json.loads(line)
        try:
            reply = getattr(worker, words.pop("word"))(**words)
        except Exception as error:  # any failure of a side is a result of the comparison, told in one line
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
