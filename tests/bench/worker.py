"""The process of one side: prepares its work, then obeys one word a line on stdin, with a JSON object a line on stdout.

Usage (by peers.py only): PYTHON worker.py SCRIPT TASK ARRAYS.npz
SCRIPT defines `prepare(task, arrays)`, whose result has `check() -> list[float]`, the figures that all sides must agree
on, and `run() -> int`, which does a stretch of work to its end and gives the number of units done. TASK is JSON.
It runs under interpreters that have neither clnet nor this folder, so it needs NumPy alone.
"""

import json
import os
import runpy
import sys
import time

import numpy as np


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")  # what a library prints must not mix with the replies
    os.dup2(2, 1)

    def reply(**values: object) -> None:
        print(json.dumps(values), file=replies, flush=True)

    try:
        with np.load(sys.argv[3]) as held:
            arrays = dict(held)
        work = runpy.run_path(sys.argv[1])["prepare"](json.loads(sys.argv[2]), arrays)
        reply(ready=True)
        for line in sys.stdin:
            if line.strip() == "check":
                reply(figures=work.check())
            else:
                start = time.perf_counter()
                units = work.run()
                reply(seconds=time.perf_counter() - start, units=units)
    except Exception as error:  # any failure of a side is a result of the comparison, told in one line
        reply(error=f"{type(error).__name__}: {error}".splitlines()[0])
        raise


if __name__ == "__main__":
    main()
