"""The networks of Michael Nielsen's book, Neural Networks and Deep Learning, on MNIST.

python examples/nielsen_first.py                 784-30-10, quadratic cost, rate 3, 30 epochs (chapter 1): 95 % and more
python examples/nielsen_first.py --net second    784-100-10, cross-entropy, lambda 5, 60 epochs (chapter 3): 97.8 %

Both learn from 50,000 pictures in batches of 10 and are judged by 10,000 others. CLNET_DATA may name the folder that
MNIST's four files lie in.
"""

import argparse
import time

import numpy as np

import clnet
from clnet import data, nn, optim
from clnet.callbacks import History


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=["first", "second"], default="first")
    parser.add_argument("--epochs", type=int, help="instead of the book's 30 and 60")
    parser.add_argument("--dataset", default="mnist", help="mnist, fashion-mnist or digits")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()

    pictures = data.load(options.dataset)
    (x, y), _ = data.split(*pictures.train, fraction=1 / 6, seed=None)  # the book keeps the last 10,000 for other uses
    make = first if options.net == "first" else second
    model = make(samples=len(x), device=clnet.device(options.device))
    epochs = options.epochs or (30 if options.net == "first" else 60)
    start = time.perf_counter()
    history = model.fit(x, y, epochs=epochs, batch_size=10, validation_data=pictures.test, verbose=2)
    report(history, time.perf_counter() - start)


def first(samples: int, device: clnet.Device) -> clnet.Model:
    """Weights and biases from a normal distribution, sigmoid neurons throughout, half the squared error as cost."""

    def sigmoids(units: int) -> nn.Dense:
        return nn.Dense(units, activation="sigmoid", weight_initializer="normal", bias_initializer="normal")

    net = nn.Sequential(nn.Flatten(), sigmoids(30), sigmoids(10))
    return clnet.Model(net, "quadratic", optim.SGD(learning_rate=3.0), ["accuracy"], device=device, seed=0)


def second(samples: int, device: clnet.Device) -> clnet.Model:
    """Smaller first weights, 1 / sqrt(inputs), a cost whose gradient does not vanish, and a penalty on weights."""
    net = nn.Sequential(
        nn.Flatten(),
        nn.Dense(100, activation="sigmoid", weight_initializer="lecun_normal"),
        nn.Dense(10, weight_initializer="lecun_normal"),  # its sigmoid is in the loss
    )
    optimizer = optim.SGD(learning_rate=0.1, l2=5.0 / samples)  # the book's lambda is divided by the samples
    return clnet.Model(net, "sigmoid_cross_entropy", optimizer, ["accuracy"], device=device, seed=0)


def report(history: History, seconds: float) -> None:
    accuracies = history.history["val_accuracy"]
    best = int(np.argmax(accuracies))
    print(f"best epoch {best + 1}: {accuracies[best]:.2%} of the held-out pictures; {seconds:.1f} s")


if __name__ == "__main__":
    main()
