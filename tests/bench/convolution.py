"""Microseconds a training step of convolutional networks: clnet's Model.fit beside PyTorch on the same work.

Usage: python tests/bench/convolution.py [--peer-python PYTHON] [--cases conv-20,...] [--sides clnet,torch] [--json]

All sides start from the same weights, pick batches from a shuffled set that lies on the device, and sum the loss, which
they read once an epoch. Their losses over the first steps must agree before any is timed. "torch.channels_last" keeps
its pictures as clnet does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from peers import HERE, Side, add_options, compare, timing_of
from steps import line

SCRIPTS = {  # side: (script, module it needs)
    "clnet": ("clnet_conv.py", "clnet"),
    "torch": ("torch_conv.py", "torch"),
    "torch.channels_last": ("torch_conv.py", "torch"),
    "torch.compile": ("torch_conv.py", "torch"),
}


@dataclass(frozen=True)
class Case:
    """A net: ("conv", filters, kernel, padding), "norm", "pool" (2 x 2, maximum) and ("dense", units), in order.

    Convolutions and dense layers but the last have the activation after them, or after the norm that follows them.
    """

    name: str
    picture: tuple[int, int, int]
    layers: tuple[tuple[Any, ...], ...]
    batch: int
    activation: str = "relu"
    learning_rate: float = 0.01

    @property
    def samples(self) -> int:
        return 20 * self.batch

    def task(self, device: str) -> dict[str, Any]:
        return asdict(self) | {"check_samples": 5 * self.batch, "device": device}

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Pictures of noise, random labels, Glorot weights (kernel, kernel, inputs, outputs) or (inputs, outputs)."""
        random = np.random.default_rng(seed)
        arrays = {
            "x": random.standard_normal((self.samples, *self.picture), np.float32),
            "y": random.integers(0, 10, self.samples).astype(np.int32),
        }
        side, channels, number = self.picture[0], self.picture[2], 0
        for kind, *sizes in self.layers:
            if kind == "pool":
                side //= 2
            elif kind in ("conv", "dense"):
                window = (sizes[1], sizes[1]) if kind == "conv" else ()
                inputs = channels if kind == "conv" or not side else side * side * channels
                limit = np.sqrt(6 / ((inputs + sizes[0]) * np.prod(window)))
                shape = (*window, inputs, sizes[0])
                arrays[f"w{number}"] = random.uniform(-limit, limit, shape).astype(np.float32)
                channels, number = sizes[0], number + 1
                side = side + 2 * sizes[2] - sizes[1] + 1 if kind == "conv" else 0
        return arrays


NIELSEN = (("conv", 20, 5, 0), ("pool",), ("conv", 40, 5, 0), ("pool",), ("dense", 100), ("dense", 10))
CIFAR = (
    *(("conv", 32, 3, 1), ("norm",), ("conv", 32, 3, 1), ("norm",), ("pool",)),
    *(("conv", 64, 3, 1), ("norm",), ("conv", 64, 3, 1), ("norm",), ("pool",)),
    *(("dense", 256), ("dense", 10)),
)
CASES = [
    Case("conv-20, conv-40, sigmoid, batch 10", (28, 28, 1), NIELSEN, 10, "sigmoid"),
    Case("conv-20, conv-40, relu, batch 10", (28, 28, 1), NIELSEN, 10),
    Case("conv-20, conv-40, relu, batch 64", (28, 28, 1), NIELSEN, 64),
    Case("CIFAR, batch 64", (32, 32, 3), CIFAR, 64),
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--cases", default="", help="parts of names, with commas: relu,batch 64 (all)")
    options = parser.parse_args(arguments)
    names = (options.sides or "clnet,torch").split(",")
    unknown = set(names) - SCRIPTS.keys()
    if unknown:
        parser.error(f"no side {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    rows = []
    for case in CASES:
        if all(part.strip() in case.name for part in options.cases.split(",")):
            pythons = [sys.executable if name == "clnet" else options.peer_python for name in names]
            sides = [
                Side(name, HERE / "sides" / SCRIPTS[name][0], python, SCRIPTS[name][1])
                for name, python in zip(names, pythons, strict=True)
            ]
            results = compare(sides, case.task(options.device), case.arrays(), timing=timing_of(options))
            rows.append({"case": case.name, "sides": [result.as_json() for result in results]})
            print(line(case, results), flush=True)
    if options.json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), "unit": "microseconds a step", "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
