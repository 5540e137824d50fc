"""Matrix products: a compiled plan replayed, beside NumPy's OpenBLAS in the same process.

Usage: python tests/bench/gemm.py [--device pocl] [--seed 0] [--seconds 0.5] [--form auto] [--only 128x512x784] [--json]

Four transposes of shapes from 1x1x1 to 2048 cubed: odd ones, those of the networks in DESIGN's table of peers, and ten
drawn from the seed. Every result is compared with float64 before anything is timed. Of the products with 64x64x64
multiply-adds or more, the geometric mean of NumPy's time over clnet's is wanted at 0.9 or more, and none under 0.7
(PoCL from PyPI; on Intel's runtime a mean of 0.7).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import geometric_mean, median

import numpy as np

import clnet
from clnet import ops

SMALL = ["1x1x1", "1x2x3", "5x3x7", "16x16x16", "17x19x23", "33x31x65", "10x10x30", "10x30x10", "30x10x10", "10x30x784"]
ODD = ["131x517x391", "255x257x1023", "65x1000x63", "1000x1000x1000", "333x77x1500", "1x1024x1024", "1024x1x1024"]
SQUARE = ["64x64x64", "128x128x128", "256x256x256", "512x512x512", "1024x1024x1024", "2048x2048x2048"]
NETWORKS = [  # batch x outputs x inputs, and its transposes in the backward pass
    "10x100x784",
    "784x100x10",
    "64x128x784",
    "784x128x64",
    "128x512x784",
    "128x512x512",
    "784x512x128",
    "128x10x512",
    "128x1024x1024",
    "1024x1024x128",
    "512x2048x784",
    "512x2048x2048",
    "2048x10x512",
    "5760x20x25",  # 20@5x5 on 24x24 pictures, batch 10
    "640x40x500",
    "25x20x5760",
    "65536x32x27",  # CIFAR's first convolution, batch 64
    "16384x64x288",
    "32x128x512",  # LSTM, 128 hidden
    "32x512x128",
    "2048x128x128",  # transformer, 16 x 128 tokens
    "2048x512x128",
    "2048x128x512",
]
LEAST = 64**3  # multiply-adds from which a ratio counts
TURNS = 7  # of each side, one after the other


@dataclass(frozen=True)
class Row:
    """One product: microseconds by clnet and by NumPy, and NumPy's over clnet's: medians of the turns."""

    shape: str
    transposes: str
    serial: bool
    clnet: float
    numpy: float
    ratio: float
    counts: bool


def shapes(seed: int) -> list[str]:
    """Everything listed, and ten with sides drawn evenly on a logarithmic scale."""
    random = np.random.default_rng(seed)
    drawn = ["x".join(str(int(side)) for side in np.exp(random.uniform(0, np.log(1500), 3))) for _ in range(10)]
    return list(dict.fromkeys(SMALL + ODD + SQUARE + NETWORKS + drawn))


def operands(shape: tuple[int, int, int], transposes: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    m, n, k = shape
    return (
        random.standard_normal((m, k) if transposes[0] == "N" else (k, m), np.float32),
        random.standard_normal((k, n) if transposes[1] == "N" else (n, k), np.float32),
    )


def check(result: np.ndarray, a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Within rounding: each of k steps adds up to 2**-24 of the sum so far, at random: four times what is likely."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    error, bound = np.abs(result - a @ b), 2**-22 * np.sqrt(a.shape[1] + 1) * (np.abs(a) @ np.abs(b))
    if not np.all(error <= bound):
        sys.exit(f"{what}: wrong by {error.max()}")


def timed(run: Callable[[int], None], seconds: float) -> float:
    """Seconds of one of many runs: 200, or as many as fit; the first half of them wakes the processors, not timed."""
    start = time.perf_counter()
    run(1)
    times = max(1, min(200, int(seconds / max(time.perf_counter() - start, 1e-9))))
    run(times // 2)
    start = time.perf_counter()
    run(times)
    return (time.perf_counter() - start) / times


def measure(device: clnet.Device, shape: str, transposes: str, options: argparse.Namespace) -> Row:
    m, n, k = (int(side) for side in shape.split("x"))
    left, right = operands((m, n, k), transposes)
    flip_a, flip_b = (each == "T" for each in transposes)
    product = clnet.compile(
        lambda x, y: ops.matmul(x, y, transpose_a=flip_a, transpose_b=flip_b), device=device, gemm=options.form
    )
    x, y = clnet.tensor(left, device=device), clnet.tensor(right, device=device)
    a, b = left.T if flip_a else left, right.T if flip_b else right
    check(product(x, y).numpy(), a, b, f"{shape} {transposes}")
    plan, out = product.plan(x, y), np.empty((m, n), np.float32)

    def ours(times: int) -> None:
        plan.replay(times)
        device.finish()

    def theirs(times: int) -> None:
        for _ in range(times):
            np.matmul(a, b, out=out)

    turns = []
    for _ in range(TURNS):
        turns.append([timed(run, options.seconds / TURNS) * 1e6 for run in (ours, theirs)])
        time.sleep(0.2)  # OpenBLAS's threads spin for 0.13 s after their work, on the cores that clnet would use
    clnet_time, numpy_time = (median(side) for side in zip(*turns, strict=True))
    ratio = median(other / own for own, other in turns)  # of neighbours, because a machine has slow seconds
    return Row(shape, transposes, plan.serial, clnet_time, numpy_time, ratio, m * n * k >= LEAST)


def rows(options: argparse.Namespace, device: clnet.Device) -> Iterator[Row]:
    for shape in [options.only] if options.only else shapes(options.seed):
        for transposes in options.transposes.split(","):
            row = measure(device, shape, transposes, options)
            if not options.json:
                where = "one core" if row.serial else "all cores"
                mark = "" if row.counts else "  (too small to count)"
                print(
                    f"{row.shape:>16} {row.transposes}  clnet {row.clnet:10.1f} us  numpy {row.numpy:10.1f} us  "
                    f"ratio {row.ratio:5.2f}  {where}{mark}",
                    flush=True,
                )
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="3.0-rc2", help="part of a device's or driver's name (PyPI's PoCL)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--form", default="auto")
    parser.add_argument("--only", help="one shape, such as 128x512x784")
    parser.add_argument("--transposes", default="NN,NT,TN,TT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = clnet.device(options.device)
    found = list(rows(options, device))
    ratios = [row.ratio for row in found if row.counts]
    mean, worst = (geometric_mean(ratios), min(ratios)) if ratios else (None, None)
    if options.json:
        print(
            json.dumps({"device": repr(device), "mean": mean, "worst": worst, "rows": [asdict(row) for row in found]})
        )
    elif ratios:
        print(f"{device}: geometric mean of {len(ratios)} ratios {mean:.3f}, worst {worst:.3f}")


if __name__ == "__main__":
    main()
