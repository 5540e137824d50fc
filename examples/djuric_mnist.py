"""MNIST with the networks of Deep Diamond, the library that Dragan Djuric's series became, each with its seconds.

python examples/djuric_mnist.py [dense | conv] [--epochs 12] [--quick] [--device cpu]

dense   784-512-10: about 98 %; conv   convolutions of 32 and 64, pool, dropout, 128, dropout, 10: about 99.2 %
Batches of 128, Adam, cross-entropy. CLNET_DATA may name the folder of MNIST's four files.
"""

import argparse
import time

import clnet
from clnet import data, nn, optim


def dense() -> nn.Layer:
    return nn.Sequential(nn.Flatten(), nn.Dense(512, activation="relu"), nn.Dense(10))


def conv() -> nn.Layer:
    return nn.Sequential(
        nn.Conv2D(32, 3, activation="relu"),
        nn.Conv2D(64, 3, activation="relu"),
        nn.MaxPool2D(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Dense(128, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(10),
    )


def main() -> None:
    nets = {"dense": dense, "conv": conv}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list(nets), help="dense, conv")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="one epoch on 1,280 pictures")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()
    pictures = data.load("mnist")
    x, y = (each[: 1280 if options.quick else None] for each in pictures.train)
    for name in options.nets:
        model = clnet.Model(nets[name](), "softmax_cross_entropy", optim.Adam(), ["accuracy"], device=options.device)
        start = time.perf_counter()
        model.fit(x, y, epochs=1 if options.quick else options.epochs, batch_size=128)
        seconds = time.perf_counter() - start
        print(f"{name}: {model.evaluate(*pictures.test)['accuracy']:.2%} of the test pictures, {seconds:.1f} s")


if __name__ == "__main__":
    main()
