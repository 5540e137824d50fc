"""Many networks at once: an epoch of k small networks beside k epochs of one.

python tests/bench/many.py [--device cpu] [--sizes 784 30 10] [--batch 10] [--counts 1 5 10 25] [--one-seed]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

import clnet
from clnet import nn, optim

SAMPLES, ROUNDS = 50_000, 7


def model(device: clnet.Device, copies: int, sizes: list[int], one_seed: bool) -> clnet.Model:
    """One network, or an ensemble of several."""
    net = nn.Sequential(*(nn.Dense(size, activation="sigmoid") for size in sizes[1:-1]), nn.Dense(sizes[-1]))
    parts: dict[str, Any] = {
        "loss": "sigmoid_cross_entropy",
        "optimizer": optim.SGD(learning_rate=0.5),
        "device": device,
    }
    if not copies:
        return clnet.Model(net, **parts)
    return clnet.Ensemble(net, seeds=[0] * copies if one_seed else range(copies), **parts)


def seconds(one: clnet.Model, x: Any, y: Any, batch: int) -> float:
    """Of an epoch."""
    start = time.perf_counter()
    one.fit(x, y, batch_size=batch, verbose=0)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device")
    parser.add_argument("--sizes", type=int, nargs="+", default=[784, 30, 10])
    parser.add_argument("--one-seed", action="store_true", help="as in a grid search: one order of samples for all")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 5, 10, 25])
    options = parser.parse_args()
    device = clnet.device(options.device)
    rng = np.random.default_rng(0)
    part = 10_000
    x = rng.random((part, options.sizes[0]), np.float32) * (rng.random((part, options.sizes[0])) < 0.2)
    y = rng.integers(0, options.sizes[-1], part).astype(np.int32)
    x, y = clnet.tensor(x, device=device), clnet.tensor(y, device=device)
    models = {count: model(device, count, options.sizes, options.one_seed) for count in (0, *options.counts)}
    for each in models.values():
        seconds(each, x, y, options.batch)  # builds the plan
    times: dict[int, list[float]] = {count: [] for count in models}
    for _ in range(ROUNDS):
        for count, each in models.items():
            times[count].append(seconds(each, x, y, options.batch))
    alone = statistics.median(times[0])
    net = "-".join(map(str, options.sizes))
    print(f"{device.name}, {net}, batch {options.batch}, seconds of an epoch of {SAMPLES:,} samples")
    print("networks  together  one by one  times as fast  us a step")
    for count in options.counts:
        together = statistics.median(times[count])
        epochs = (each / part * SAMPLES for each in (together, count * alone))
        step = together / part * options.batch * 1e6
        print("{:8}  {:8.2f}  {:10.2f}".format(count, *epochs) + f"  {count * alone / together:13.2f}  {step:9.0f}")


if __name__ == "__main__":
    main()
