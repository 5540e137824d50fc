"""The regression networks of Dragan Djuric's series, Deep Learning from Scratch to GPU (parts 12 to 16).

4-16-64-8-1 and 4-4-8-1, sigmoid and tanh, learn sin(x0) + cos(x1) + tanh(x2) + x3 squared from 10,000 points in one
batch: a step is an epoch.

python examples/djuric_regression.py [--device cpu] [--epochs 2000]
"""

import argparse
import time

import numpy as np

import clnet
from clnet import nn, optim


def target(x: np.ndarray) -> np.ndarray:
    """(n, 4) to (n, 1)."""
    return (np.sin(x[:, 0]) + np.cos(x[:, 1]) + np.tanh(x[:, 2]) + np.square(x[:, 3]))[:, np.newaxis]


def large() -> nn.Sequential:
    return nn.Sequential(
        nn.Dense(16, activation="sigmoid"),
        nn.Dense(64, activation="tanh"),
        nn.Dense(8, activation="tanh"),
        nn.Dense(1),
    )


def small() -> nn.Sequential:
    return nn.Sequential(nn.Dense(4, activation="sigmoid"), nn.Dense(8, activation="tanh"), nn.Dense(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--epochs", type=int, default=2000)
    options = parser.parse_args()
    device = clnet.device(options.device)

    random = np.random.default_rng(0)
    x = random.random((11_000, 4), np.float32)
    y = target(x)
    optimizers = {
        "plain": lambda: optim.SGD(learning_rate=0.05),
        "momentum 0.9, weight decay 1e-4": lambda: optim.SGD(learning_rate=0.02, momentum=0.9, weight_decay=1e-4),
    }
    for net in (large, small):
        for name, optimizer in optimizers.items():
            model = clnet.Model(net(), loss="mean_squared_error", optimizer=optimizer(), device=device, seed=0)
            start = time.perf_counter()
            model.fit(x[:10_000], y[:10_000], epochs=options.epochs, batch_size=10_000, shuffle=False, verbose=0)
            seconds = time.perf_counter() - start
            error = np.abs(model.predict(x[10_000:]) - y[10_000:]).mean()
            millis = seconds / options.epochs * 1e3
            print(f"{net.__name__}, {name}: mean error {error:.4f} of values 1 to 3.6; {millis:.2f} ms a step")


if __name__ == "__main__":
    main()
