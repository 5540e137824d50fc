"""Microseconds a training step: clnet's Model.fit beside PyTorch, JAX, NumPy and scikit-learn on the same work.

Usage: python tests/bench/steps.py [--peer-python PYTHON] [--cases 784-30-10,...] [--sides clnet,torch,jax] [--json]

All sides start from the same weights, pick batches from a shuffled set that lies on the device, and sum the loss, which
they read once an epoch. Their losses over the first steps (in the set's own order) must agree before any is timed.
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
from peers import HERE, Result, Side, add_options, compare, timing_of

SCRIPTS = {  # side: (script, module it needs)
    "numpy": ("numpy_mlp.py", "numpy"),
    "clnet": ("clnet_mlp.py", "clnet"),
    "torch": ("torch_mlp.py", "torch"),
    "torch.compile": ("torch_mlp.py", "torch"),
    "jax": ("jax_mlp.py", "jax"),
    "jax.scan": ("jax_mlp.py", "jax"),
    "sklearn": ("sklearn_mlp.py", "sklearn"),
}
DEFAULT_SIDES = "numpy,clnet,torch,jax,sklearn"


@dataclass(frozen=True)
class Case:
    """A net with softmax cross-entropy, a batch size and an optimizer."""

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    activation: str = "relu"

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.sizes))} {self.activation}, batch {self.batch}, {self.optimizer}"

    @property
    def learning_rate(self) -> float:
        return 0.01 if self.optimizer == "sgd" else 1e-4

    @property
    def samples(self) -> int:
        return 20_000 // self.batch * self.batch

    def task(self, device: str) -> dict[str, Any]:
        check = min(self.samples, 50 * self.batch)
        return asdict(self) | {"learning_rate": self.learning_rate, "check_samples": check, "device": device}

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Pictures that are mostly black, as MNIST's are, Glorot weights, labels of which half can be learned.

        The other half keeps the loss from nearing 0, where denormal gradients would be what is timed: 2,700 against
        600 us a step of PyTorch's Adam.
        """
        random = np.random.default_rng(seed)
        x = random.random((self.samples, self.sizes[0]), np.float32)
        x *= random.random(x.shape, np.float32) < 0.2
        teacher = random.standard_normal((self.sizes[0], self.sizes[-1]), np.float32)
        y = np.argmax((x - x.mean()) @ teacher, axis=1).astype(np.int32)
        y[::2] = random.integers(0, self.sizes[-1], len(y[::2]))
        arrays = {"x": x, "y": y}
        for i, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            limit = np.sqrt(6 / (inputs + outputs))
            arrays[f"w{i}"] = random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        return arrays


CASES = [
    Case(sizes, batch, optimizer, activation)
    for sizes, batch, activation in [
        ((784, 30, 10), 10, "sigmoid"),
        ((784, 100, 10), 10, "sigmoid"),
        ((784, 128, 10), 64, "relu"),
        ((784, 512, 512, 10), 128, "relu"),
        ((784, 1024, 1024, 10), 128, "relu"),
    ]
    for optimizer in ("sgd", "adam")
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--cases", default="", help="parts of names, with commas: 784-30-10,adam (all)")
    options = parser.parse_args(arguments)
    names = (options.sides or DEFAULT_SIDES).split(",")
    unknown = set(names) - SCRIPTS.keys()
    if unknown:
        parser.error(f"no side {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    rows = []
    for case in CASES:
        if all(part.strip() in case.name for part in options.cases.split(",")):
            results = measure(case, names, options)
            rows.append({"case": case.name, "sides": [result.as_json() for result in results]})
            print(line(case, results), flush=True)
    if options.json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), "unit": "microseconds a step", "rows": rows}))
    return 0


def measure(case: Case, names: Sequence[str], options: argparse.Namespace) -> list[Result]:
    sides = []
    for name in names:
        script, needs = SCRIPTS[name]
        python = sys.executable if name in ("clnet", "numpy") else options.peer_python
        sides.append(Side(name, HERE / "sides" / script, python, needs))
    return compare(sides, case.task(options.device), case.arrays(), timing=timing_of(options))


def line(case: Case, results: Sequence[Result]) -> str:
    """One line a case: each side's median, and its ratio to clnet's (above 1: clnet is faster)."""
    own = next((r.microseconds for r in results if r.side == "clnet"), float("nan"))
    cells = []
    for result in results:
        if result.failure:
            cells.append(f"{result.side}: {result.failure}")
        elif result.side == "clnet" or np.isnan(own):
            cells.append(f"{result.side} {result.microseconds:.0f}")
        else:
            cells.append(f"{result.side} {result.microseconds:.0f} ({result.microseconds / own:.2f})")
    return f"{case.name}: " + "; ".join(cells)


if __name__ == "__main__":
    sys.exit(main())
