"""Microseconds a training step of recurrent networks and a transformer: clnet's Model.fit beside PyTorch's eager loop.

Usage: python tests/bench/sequences.py [--peer-python PYTHON] [--cases LSTM,GRU,encoder] [--sides clnet,torch] [--json]

Adam, softmax cross-entropy on the last step's state or the mean over steps, the same first weights, batches from a
shuffled set. The losses over the first steps must agree before any side is timed.
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

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """`kind` is LSTM, GRU, SimpleRNN or encoder; sequences (samples, steps, features)."""

    kind: str
    samples: int
    steps: int
    features: int
    batch: int
    units: int  # of a state; of the hidden layers of an encoder
    layers: int = 1
    heads: int = 0

    @property
    def name(self) -> str:
        inside = f"{self.layers} x {self.features}, {self.heads} heads, {self.units}" if self.heads else f"{self.units}"
        return f"{self.kind} {inside}, {self.steps} steps of {self.features}, batch {self.batch}, adam"

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Sequences whose mean tells half of the labels, and the weights in clnet's layout by clnet's paths."""
        random = np.random.default_rng(seed)
        x = random.standard_normal((self.samples, self.steps, self.features), np.float32)
        y = np.argmax(x.mean(axis=1)[:, :CLASSES], axis=1).astype(np.int32)
        y[::2] = random.integers(0, CLASSES, len(y[::2]))
        shapes = self._encoder() if self.heads else self._recurrent()
        weights = {path: random.uniform(-0.1, 0.1, shape).astype(np.float32) for path, shape in shapes.items()}
        weights |= {path: np.ones_like(value) for path, value in weights.items() if path.endswith("gamma")}
        return {"x": x, "y": y, **weights}

    def _recurrent(self) -> dict[str, tuple[int, ...]]:
        columns = self.units * {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}[self.kind]
        shapes = {"0/weight": (self.features, columns), "0/recurrent_weight": (self.units, columns)}
        shapes |= {"0/bias": (columns,)} | ({"0/recurrent_bias": (columns,)} if self.kind == "GRU" else {})
        return shapes | {"1/weight": (self.units, CLASSES), "1/bias": (CLASSES,)}

    def _encoder(self) -> dict[str, tuple[int, ...]]:
        d, hidden, shapes = self.features, self.units, {}
        for i in range(self.layers):
            own = {"attention/input_weight": (d, 3 * d), "attention/input_bias": (3 * d,)}
            own |= {"attention/output_weight": (d, d), "attention/output_bias": (d,)}
            own |= {"hidden/weight": (d, hidden), "hidden/bias": (hidden,)}
            own |= {"output/weight": (hidden, d), "output/bias": (d,)}
            own |= {f"norms/{n}/{part}": (d,) for n in (0, 1) for part in ("gamma", "beta")}
            shapes |= {f"{i}/{path}": shape for path, shape in own.items()}
        return shapes | {f"{self.layers + 1}/weight": (d, CLASSES), f"{self.layers + 1}/bias": (CLASSES,)}


CASES = [
    Case("LSTM", samples=512, steps=64, features=64, batch=32, units=128),
    Case("GRU", samples=512, steps=64, features=64, batch=32, units=128),
    Case("SimpleRNN", samples=512, steps=64, features=64, batch=32, units=128),
    Case("encoder", samples=64, steps=128, features=128, batch=16, units=512, layers=4, heads=4),
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--cases", default="", help="parts of names, with commas: LSTM,encoder (all)")
    options = parser.parse_args(arguments)
    rows = []
    for case in CASES:
        if any(part.strip() in case.name for part in options.cases.split(",")):
            task: dict[str, Any] = asdict(case) | {"device": options.device, "check_samples": 2 * case.batch}
            sides = [
                Side(name, HERE / "sides" / f"{name}_sequences.py", python, name)
                for name, python in (("clnet", sys.executable), ("torch", options.peer_python))
                if name in (options.sides or "clnet,torch").split(",")
            ]
            results = compare(sides, task, case.arrays(), timing=timing_of(options))
            rows.append({"case": case.name, "sides": [result.as_json() for result in results]})
            print(line(case, results), flush=True)
    if options.json:
        print(json.dumps({"cores": len(os.sched_getaffinity(0)), "unit": "microseconds a step", "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
