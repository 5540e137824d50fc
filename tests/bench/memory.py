"""What training keeps: device allocations and growth of the process over 20,000 steps, and the bytes of a plan.

Usage: python tests/bench/memory.py [--device DEVICE] [--steps 20000] [--json]

Promised: no device allocation after the first step, growth under 2 MB, and a plan that asks for exactly `plan.nbytes`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path
from typing import Any

import machine
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import clnet
from clnet import losses, nn, optim

STEPS_AN_EPOCH = 1_000
BATCH = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="", help="clnet's device, as for clnet.device (the best one)")
    parser.add_argument("--steps", type=int, default=20_000, help="training steps to watch")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    device = clnet.device(options.device or None)
    figures = training(device, options.steps) | plan_bytes(device)
    for name, value in figures.items():
        print(f"{name}: {value:,}")
    if options.json:
        print(json.dumps(figures))
    return 0 if kept(figures) else 1


def kept(figures: dict[str, int]) -> bool:
    return (
        figures["device allocations"] == 0
        and figures["growth of the process"] < 2_000_000
        and figures["plan.nbytes"] == figures["bytes asked of the device"]
    )


def data(device: clnet.Device) -> tuple[clnet.Tensor, clnet.Tensor]:
    random = np.random.default_rng(0)
    x = random.random((STEPS_AN_EPOCH * BATCH, 784), np.float32)
    return clnet.tensor(x, device=device), clnet.tensor(random.integers(0, 10, len(x), np.int32), device=device)


def training(device: clnet.Device, steps: int) -> dict[str, int]:
    """Fit 784-100-10; count from the end of a first fit, which has built all there is to build."""
    x, y = data(device)
    net = nn.Sequential(nn.Dense(100, activation="sigmoid"), nn.Dense(10))
    model = clnet.Model(net, loss="softmax_cross_entropy", optimizer=optim.Adam(), device=device, seed=0)

    def fit(epochs: int) -> None:
        model.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=0)
        gc.collect()

    fit(1)
    allocations, resident = device.allocations, machine.resident_bytes()
    fit(max(1, steps // STEPS_AN_EPOCH))
    return {
        "steps": max(1, steps // STEPS_AN_EPOCH) * STEPS_AN_EPOCH,
        "device allocations": device.allocations - allocations,
        "growth of the process": machine.resident_bytes() - resident,
    }


def plan_bytes(device: clnet.Device) -> dict[str, int]:
    """What a training step's plan says that it holds, and what the device was asked for while it was made."""
    x, y = (clnet.tensor(t.numpy()[:BATCH], device=device) for t in data(device))
    net, optimizer = nn.Sequential(nn.Dense(100, activation="relu"), nn.Dense(10)), optim.SGD(learning_rate=0.1)
    net.build((None, 784), seed=0, device=device)
    optimizer.build(net.trainable_variables())

    def step(x: Any, y: Any) -> Any:
        def loss_of() -> Any:
            return losses.softmax_cross_entropy(net(x, training=True), y)

        loss, gradients = clnet.value_and_grad(loss_of, wrt=net.variables())()
        optimizer.apply(gradients)
        return loss

    before = device.allocated_bytes
    plan = clnet.compile(step, device=device).plan(x, y)
    return {"plan.nbytes": plan.nbytes, "bytes asked of the device": device.allocated_bytes - before}


if __name__ == "__main__":
    sys.exit(main())
