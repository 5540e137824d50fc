"""Many networks at once: a grid of learning rates and penalties, then a vote of five networks, each one plan.

python examples/ensemble.py [--device cpu] [--dataset digits | mnist] [--epochs 30] [--quick]
"""

import argparse
import time

import numpy as np

import clnet
from clnet import data, nn, optim

GRID = {"learning_rate": [0.03, 0.1, 0.3, 1.0], "l2": [0.0, 1e-4, 1e-3]}


def network(hidden: int) -> nn.Layer:
    """As Nielsen's, with a rectifier."""
    weights = nn.initializers.VarianceScaling()
    return nn.Sequential(
        nn.Flatten(),
        nn.Dense(hidden, activation="relu", weight_initializer=weights),
        nn.Dense(10, weight_initializer=weights),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--dataset", default="digits", help="digits, mnist or fashion-mnist")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="a small grid, one epoch")
    options = parser.parse_args()
    epochs, grid = (1, {"learning_rate": [0.1, 0.3]}) if options.quick else (options.epochs, GRID)
    pictures = data.load(options.dataset)
    parts = {"loss": "softmax_cross_entropy", "metrics": ["accuracy"], "device": clnet.device(options.device)}

    start = time.perf_counter()
    found = clnet.grid_search(
        network(30), *pictures.train, grid=grid, optimizer=optim.SGD(), epochs=epochs, batch_size=10,
        validation_split=0.2, **parts,
    )  # fmt: skip
    print(f"{len(found.settings)} networks searched in {time.perf_counter() - start:.1f} s, the best first:")
    print(found.table("val_accuracy"))

    best = found.settings[found.ranked("val_accuracy")[0]]
    start = time.perf_counter()
    five = clnet.Ensemble(network(100), optimizer=optim.SGD(**best), copies=5, **parts)
    five.fit(*pictures.train, epochs=epochs, batch_size=10, verbose=0)
    x, labels = pictures.test
    alone = ", ".join(f"{accuracy:.2%}" for accuracy in five.evaluate(x, labels)["accuracy"])
    print(f"five networks with {best}, {time.perf_counter() - start:.1f} s; each of them: {alone}")
    for how, answers in (("mean", five.predict(x).argmax(axis=1)), ("vote", five.predict(x, how="vote"))):
        print(f"their {how}: {np.mean(answers == labels):.2%} of {len(x)} held-out pictures")


if __name__ == "__main__":
    main()
