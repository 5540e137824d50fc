"""The networks of Dragan Djuric's series, Deep Learning from Scratch to GPU, each with its seconds.

python examples/djuric.py [ROW ...] [--quick] [--device cpu]

inference   10000-5000-1000-10 answers 10,000 samples at once; training: it learns 100 for 10 epochs, as in part 13
part-14     networks learn sin(a) + cos(b) + tanh(c) + d squared from 10,000 points in one batch; part-15: with weight
            decay; part-16: with momentum. Epochs, rates and first weights are those of the program behind the series.
"""

import argparse
import time
from itertools import groupby

import numpy as np

import clnet
from clnet import nn, optim

WIDE = "10000-5000 tanh-1000 sigmoid-10 sigmoid"
# fmt: off
LONG = [(1, 0.05)] * 2 + [(10, 0.05), (100, 0.05), (100, 0.03), (1000, 0.01),
                          (100, 0.03), (100, 0.01), (100, 0.005), (100, 0.001), (40_000, 0.05)]
ROWS = (  # name, network (no activation: linear), stages of (epochs, rate[, lambda[, momentum]])
    ("training", WIDE, [(10, 0.05)]),
    ("part-14", "4-16 sigmoid-64 tanh-8 tanh-1 sigmoid", [(1, 0.05), (1000, 0.03), (100, 0.01)]),
    ("part-14", "4-16 sigmoid-64 tanh-8 tanh-1", LONG),
    ("part-14", "4-8 sigmoid-16 tanh-4 tanh-1", [(40_000, 0.05)]),
    *(("part-14", f"4-{a} sigmoid-{b} tanh-1", [(4000, 0.05)]) for a, b in ((8, 4), (4, 8), (8, 8))),
    ("part-15", "4-32 sigmoid-16 tanh-1", [(100, 0.3)]),
    ("part-15", "4-32 sigmoid-16 tanh-1", [(epochs, 0.3, 0.9) for epochs in (15, 150, 1000, 1000)]),
    ("part-16", "4-32 sigmoid-16 tanh-1", [(50, 0.05, 0.1, 0.1), (1000, 0.05, 0.1, 0.1), (4000, 0.01, 0.01, 0.1)]),
    *(("part-16", "4-8 sigmoid-8 tanh-1", [(50, 0.2, *each)] * 8) for each in ((), (0.02,), (0.02, 0.01))),
)
# fmt: on


def network(text: str) -> nn.Layer:
    first = {"weight_initializer": lambda shape, rng: rng.normal(size=shape) / shape[0], "bias_initializer": "normal"}
    layers = (layer.split() for layer in text.split("-")[1:])
    return nn.Sequential(*(nn.Dense(int(units), activation=(*name, None)[0], **first) for units, *name in layers))


def infer(device: str | None) -> None:
    run, x = clnet.compile(network(WIDE), device=device), np.random.default_rng(0).random((10_000, 10_000), np.float32)
    for _ in range(2):  # the first builds it
        tensor, start = clnet.tensor(x, device=device), time.perf_counter()
        run(tensor).numpy()
    seconds = time.perf_counter() - start
    print(f"inference  {WIDE}, 10,000 samples: {seconds:.2f} s, {1101 / seconds:.0f} GFLOP/s")


def train(name: str, text: str, stages: list[tuple[float, ...]], device: str | None) -> None:
    random, samples = np.random.default_rng(0), 100 if name == "training" else 10_000
    x = random.random((samples + 1000, int(text.split("-")[0])), np.float32)
    y = np.sin(x[:, :1]) + np.cos(x[:, 1:2]) + np.tanh(x[:, 2:3]) + np.square(x[:, 3:4])
    y = np.tile(0.33, (len(x), 10)) if name == "training" else y
    net, start = network(text), time.perf_counter()
    for (decay, momentum), same in groupby(((*each, 0, 0)[:4] for each in stages), lambda each: each[2:]):
        optimizer = optim.SGD(momentum=momentum, l2=decay / samples)
        model = clnet.Model(net, "quadratic", optimizer, device=device)
        for epochs, optimizer.learning_rate, *_ in same:
            model.fit(x[:samples], y[:samples], epochs=epochs, batch_size=samples, shuffle=False, verbose=0)
    seconds, epochs = time.perf_counter() - start, sum(each[0] for each in stages)
    cost = model.evaluate(x[samples:], y[samples:], batch_size=1000)["loss"]
    print(f"{name:<10} {text}, {epochs} epochs: cost {cost:.5f} on 1,000 other points, {seconds:.1f} s")


if __name__ == "__main__":
    names = ["inference", *dict.fromkeys(name for name, *_ in ROWS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ROW", default=names, help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="the last network alone")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()
    if "inference" in options.names and not options.quick:
        infer(options.device)
    for row in ROWS[-1:] if options.quick else ROWS:
        if row[0] in options.names:
            train(*row, options.device)
