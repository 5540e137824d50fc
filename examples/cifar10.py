"""CIFAR-10 with a small residual network, ten epochs.

python examples/cifar10.py [--epochs 10] [--batch-size 64] [--quick] [--device cpu]

Flips and shifts in training, batch normalization, one cycle of the learning rate with Nesterov's momentum (Page 2018).
Prints the seconds of each epoch. CLNET_DATA may name the folder that has cifar10/; see `clnet.data.cifar10`.
"""

import argparse
import time

import clnet
from clnet import data, nn, optim, schedules


def convolution(filters: int) -> nn.Layer:
    """3 x 3, normalized, ReLU."""
    return nn.Sequential(
        nn.Conv2D(filters, 3, padding="same", use_bias=False, weight_initializer="he_normal"),
        nn.BatchNorm(momentum=0.9),
        nn.Activation("relu"),
    )


def residual(filters: int) -> nn.Layer:
    return nn.Residual(nn.Sequential(convolution(filters), convolution(filters)))


def network() -> nn.Layer:
    return nn.Sequential(
        nn.RandomFlip(),
        nn.RandomTranslation(4),
        convolution(32),
        nn.MaxPool2D(),
        convolution(64),
        residual(64),
        nn.MaxPool2D(),
        convolution(128),
        residual(128),
        nn.MaxPool2D(),
        convolution(256),
        nn.GlobalMaxPool2D(),
        nn.Dense(10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="one epoch on 1,280 pictures")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()
    pictures = data.load("cifar10")
    mean, deviation = pictures.x_train.mean((0, 1, 2)), pictures.x_train.std((0, 1, 2))
    (x, y), test = (((x - mean) / deviation, y) for x, y in (pictures.train, pictures.test))
    if options.quick:
        x, y, test, options.epochs = x[:1280], y[:1280], (test[0][:512], test[1][:512]), 1
    steps = options.epochs * -(-len(x) // options.batch_size)
    optimizer = optim.SGD(schedules.OneCycle(0.05, steps), momentum=0.9, nesterov=True, l2=5e-4)
    model = clnet.Model(network(), "softmax_cross_entropy", optimizer, ["accuracy"], device=options.device)
    start = time.perf_counter()
    model.fit(x, y, epochs=options.epochs, batch_size=options.batch_size, validation_data=test)
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(*test)["accuracy"]
    print(f"{accuracy:.2%} of the test pictures; {seconds / options.epochs:.1f} s an epoch, validation included")


if __name__ == "__main__":
    main()
