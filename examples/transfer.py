"""Transfer: what a network learnt of the digits 0 to 4 helps it to learn 5 to 9 from a few pictures of each.

A convolutional network is trained on 0 to 4; its layers are frozen, and a new last layer is trained on the others.
Beside it, the same network learns from the same few pictures from the beginning.

python examples/transfer.py [--data mnist] [--few 5] [--quick]
"""

import argparse

import numpy as np

import clnet
from clnet import data, nn, optim


def some(x: np.ndarray, y: np.ndarray, labels: range, each: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of these labels, counted from 0; of each label the first so many."""
    chosen = [np.flatnonzero(y == label)[:each] for label in labels]
    rows = np.sort(np.concatenate(chosen))
    return x[rows], y[rows] - labels.start


def base() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2D(16, 3, padding="same", use_bias=False), nn.BatchNorm(momentum=0.9), nn.Activation("relu")),
        nn.MaxPool2D(),
        *(nn.Conv2D(32, 3, padding="same", use_bias=False), nn.BatchNorm(momentum=0.9), nn.Activation("relu")),
        *(nn.MaxPool2D(), nn.Flatten()),
    )


def classifier(net: nn.Sequential, options: argparse.Namespace) -> clnet.Model:
    return clnet.Model(
        nn.Sequential(net, nn.Dense(5)),
        loss="softmax_cross_entropy",
        optimizer=optim.Adam(learning_rate=2e-3),
        metrics=["accuracy"],
        device=clnet.device(options.device),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="mnist, fashion-mnist, or digits, which is embedded")
    parser.add_argument("--few", type=int, default=5, help="pictures of each of the new digits")
    parser.add_argument("--quick", action="store_true", help="the embedded digits, shortly")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()
    digits = data.load("digits" if options.quick else options.data)
    test = some(*digits.test, range(5, 10))
    few = some(*digits.train, range(5, 10), options.few)

    net = base()
    old = classifier(net, options)
    epochs = 3 if len(digits.x_train) > 10_000 else 10
    old.fit(*some(*digits.train, range(5)), epochs=epochs, batch_size=64, verbose=2)
    print(f"0 to 4: {old.evaluate(*some(*digits.test, range(5)))['accuracy']:.2%} of the test pictures right")

    net.trainable = False
    new, fresh = classifier(net, options), classifier(base(), options)
    for name, model in (("frozen layers and a new last one", new), ("a network that knows nothing", fresh)):
        model.fit(*few, epochs=100, batch_size=10, verbose=0)
        right, trained = model.evaluate(*test)["accuracy"], model.net.trainable_variables().values()
        print(f"5 to 9 from {options.few} of each, {name}: {right:.2%} right, {sum(v.size for v in trained):,} trained")


if __name__ == "__main__":
    main()
