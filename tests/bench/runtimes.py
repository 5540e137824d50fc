"""The same training on every device found: bits that repeat, losses that agree, dropout masks that are the same.

Usage: python tests/bench/runtimes.py [--json]

784-30-10, sigmoid, dropout, batch 10, 100 steps, twice on each device. Promised: the same bits twice, losses within
1e-4 of each other, and no difference between the masks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import clnet
from clnet import nn, ops, optim

STEPS, BATCH = 100, 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    rows = []
    for device in clnet.devices():
        (loss, bits), again = train(device), train(device)
        repeats = (loss, bits) == again
        row = {"device": repr(device), "loss": loss, "repeats": repeats, "mask": mask(device)}
        rows.append(row)
        print(f"{device!r}: loss {loss:.7f}, {'the same' if repeats else 'OTHER'} bits twice, mask {row['mask']}")
    losses = [row["loss"] for row in rows]
    spread = (max(losses) - min(losses)) / min(losses)
    masks = len({row["mask"] for row in rows})
    told = "the same masks" if masks == 1 else f"{masks} different masks"
    print(f"losses differ by {spread:.1e} of their value; {told}")
    if options.json:
        print(json.dumps({"devices": rows, "spread": spread, "masks": masks}))
    return 0 if spread < 1e-4 and masks == 1 and all(row["repeats"] for row in rows) else 1


def train(device: clnet.Device) -> tuple[float, str]:
    """Loss on the samples after STEPS, and a digest of the weights."""
    random = np.random.default_rng(0)
    x = random.random((STEPS * BATCH, 784), np.float32)
    y = random.integers(0, 10, len(x), np.int32)
    net = nn.Sequential(nn.Dense(30, activation="sigmoid"), nn.Dropout(0.2), nn.Dense(10))
    model = clnet.Model(net, "softmax_cross_entropy", optim.SGD(learning_rate=0.1), device=device, seed=0)
    model.fit(x, y, epochs=1, batch_size=BATCH, verbose=0)
    digest = hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in net.variables().values()))
    return model.evaluate(x, y)["loss"], digest.hexdigest()


def mask(device: clnet.Device) -> str:
    """A digest of what dropout leaves of 100,000 ones."""
    ones = clnet.tensor(np.ones(100_000, np.float32), device=device)
    kept = ops.dropout(ones, 0.3, key=ops.Key(1, 2, 3)).numpy() > 0
    return hashlib.sha256(np.packbits(kept).tobytes()).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
