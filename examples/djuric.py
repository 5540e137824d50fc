"""The networks of Dragan Djuric's series, Deep Learning from Scratch to GPU, each with its seconds.

python examples/djuric.py [ROW ...] [--epochs N] [--quick] [--device cpu]

inference     10000-5000-1000-10 on 10,000 samples at once
regression    4-16-64-8-1 and 4-4-8-1 learn sin(a) + cos(b) + tanh(c) + d squared from 10,000 points in one batch
"""

import argparse
import time

import numpy as np

import clnet
from clnet import nn, optim

OPTIMIZERS = {
    "plain": lambda: optim.SGD(learning_rate=0.05),
    "weight decay": lambda: optim.SGD(learning_rate=0.05, weight_decay=1e-4),
    "momentum": lambda: optim.SGD(learning_rate=0.02, momentum=0.9, weight_decay=1e-4),
}


def inference(options: argparse.Namespace) -> None:
    sizes = [size // 20 if options.quick else size for size in (10_000, 5000, 1000)]
    net = nn.Sequential(nn.Dense(sizes[1], activation="relu"), nn.Dense(sizes[2], activation="sigmoid"), nn.Dense(10))
    x = clnet.tensor(np.random.default_rng(0).random((10_000, sizes[0]), np.float32), device=options.device)
    run = clnet.compile(net, device=options.device)
    run(x).numpy()  # builds it
    start = time.perf_counter()
    run(x).numpy()
    seconds = time.perf_counter() - start
    rate = 2e-5 * sum(a * b for a, b in zip(sizes, [*sizes[1:], 10], strict=True)) / seconds
    print(f"inference {'-'.join(map(str, sizes))}-10: {seconds:.2f} s for 10,000 samples, {rate:.0f} GFLOP/s")


def regression(options: argparse.Namespace) -> None:
    x = np.random.default_rng(0).random((11_000, 4), np.float32)
    y = (np.sin(x[:, 0]) + np.cos(x[:, 1]) + np.tanh(x[:, 2]) + np.square(x[:, 3]))[:, np.newaxis]
    for hidden in ((16, 64, 8), (4, 8)):
        for name, optimizer in OPTIMIZERS.items():
            layers = [nn.Dense(units, activation="tanh" if place else "sigmoid") for place, units in enumerate(hidden)]
            net = nn.Sequential(*layers, nn.Dense(1))
            model = clnet.Model(net, "mean_squared_error", optimizer(), device=options.device)
            epochs, start = 1 if options.quick else options.epochs, time.perf_counter()
            model.fit(x[:10_000], y[:10_000], epochs=epochs, batch_size=10_000, shuffle=False, verbose=0)
            seconds = time.perf_counter() - start
            error = np.abs(model.predict(x[10_000:]) - y[10_000:]).mean()
            what = f"regression {'-'.join(map(str, (4, *hidden, 1)))}, {name}"
            print(f"{what}: mean error {error:.4f} of values 1 to 3.6; {seconds:.1f} s")


ROWS = {"inference": inference, "regression": regression}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--epochs", type=int, default=4000, help="of the regressions")
    parser.add_argument("--quick", action="store_true", help="smaller layers, one epoch")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    chosen = parser.parse_args()
    for each in chosen.rows:
        ROWS[each](chosen)
