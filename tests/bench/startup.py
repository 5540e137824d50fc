"""Seconds to import clnet beyond its dependencies, and from process start to the first training step.

Usage: python tests/bench/startup.py [--device DEVICE] [--rounds 5] [--json]

The step is one of 784-100-10, batch 10, through Model.fit; cold with the caches of clnet, pyopencl and PoCL empty, warm
with what the cold run left there. Promised: 0.2 s for the import, 5 s cold, 1.5 s warm. `versus.py --suite startup` has
the warm one beside PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

from processes import environment

DEPENDENCIES = "import numpy, pyopencl, reikna"
TIMED = "import time; start = time.perf_counter(); {imports}; print(time.perf_counter() - start)"
FIRST_STEP = """
import time
import numpy as np
import clnet
from clnet import nn
net = nn.Sequential(nn.Dense(100, activation="sigmoid"), nn.Dense(10))
model = clnet.Model(net, loss="softmax_cross_entropy", device=clnet.device({device!r} or None), seed=0)
model.fit(np.ones((10, 784), np.float32), np.arange(10), epochs=1, batch_size=10, verbose=0)
print(time.time())
"""
TORCH_STEP = """
import time
import torch
from torch import nn
net = nn.Sequential(nn.Linear(784, 100), nn.Sigmoid(), nn.Linear(100, 10))
optimizer = torch.optim.Adam(net.parameters())
loss = nn.CrossEntropyLoss()(net(torch.ones(10, 784)), torch.arange(10))
loss.backward()
optimizer.step()
loss.item()
print(time.time())
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="", help="clnet's device, as for clnet.device (the best one)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    figures = {"import": import_seconds(options.rounds)} | first_step_seconds(options.device, options.rounds)
    for name, seconds in figures.items():
        print(f"{name}: {seconds:.2f} s")
    if options.json:
        print(json.dumps(figures))
    return 0


def import_seconds(rounds: int) -> float:
    """Median of `import clnet` less the median of importing what it stands on, in processes that take turns."""
    own, dependencies = [], []
    for _ in range(rounds):
        dependencies.append(float(python(TIMED.format(imports=DEPENDENCIES), {})))
        own.append(float(python(TIMED.format(imports="import clnet"), {})))
    return statistics.median(own) - statistics.median(dependencies)


def first_step_seconds(device: str, rounds: int) -> dict[str, float]:
    """Medians of the time from process start to the end of the first step, with empty caches and with warm ones."""
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            caches = {name: f"{folder}/{name}" for name in ("CLNET_CACHE", "XDG_CACHE_HOME", "POCL_CACHE_DIR")}
            for taken in (cold, warm):
                taken.append(since_start(FIRST_STEP.format(device=device), caches))
    return {"first step, cold": statistics.median(cold), "first step, warm": statistics.median(warm)}


def warm_seconds(device: str, peer: str, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds to the end of the first step, clnet's and PyTorch's, in turns, after one of each that fills caches."""
    scripts = (FIRST_STEP.format(device=device), sys.executable), (TORCH_STEP, peer)
    taken = [[since_start(script, {}, interpreter) for script, interpreter in scripts] for _ in range(rounds + 1)]
    own, theirs = zip(*taken[1:], strict=True)
    return list(own), list(theirs)


def since_start(script: str, variables: dict[str, str], interpreter: str = sys.executable) -> float:
    """Seconds from the start of the process to the moment that the script prints."""
    start = time.time()
    return float(python(script, variables, interpreter)) - start


def python(script: str, variables: dict[str, str], interpreter: str = sys.executable) -> str:
    """The last line that the script prints in a fresh interpreter."""
    command = [interpreter, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment() | variables)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
