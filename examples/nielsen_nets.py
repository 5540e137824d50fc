"""The networks of Nielsen's book, and what fig/overfitting.py in its repository draws at random for 784-30-10."""

import functools
import random
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from clnet import callbacks, nn

SEED = 12345678  # of fig/overfitting.py


def wide(hidden: int, last: str | None = None) -> Callable[[], nn.Layer]:
    """Chapters 1 and 3, with the latter's first weights: with chapter 1's, quadratic-100 spreads from 77 to 97 %."""
    dense = functools.partial(nn.Dense, weight_initializer="lecun_normal", bias_initializer="normal")
    return lambda: nn.Sequential(nn.Flatten(), dense(hidden, activation="sigmoid"), dense(10, activation=last))


def chapter_6(activation: str, filters: tuple[int, ...], *units: int, dropout: float = 0.0) -> Callable[[], nn.Layer]:
    """5 x 5 convolutions with pools of 2 x 2, hidden layers, softmax (in the loss); dropout before each dense layer."""
    first = nn.initializers.VarianceScaling(16.0 if activation == "sigmoid" and filters else 2.0)
    settings = {"activation": activation, "weight_initializer": first}

    def net() -> nn.Layer:
        pools = [layer for each in filters for layer in (nn.Conv2D(each, 5, **settings), nn.MaxPool2D(2))]
        dense = *(nn.Dense(each, **settings) for each in units), nn.Dense(10)
        dropped = [layer for each in dense for layer in (nn.Dropout(dropout), each)]
        return nn.Sequential(*pools, nn.Flatten(), *dropped)

    return net


def drawn() -> nn.Layer:
    """784-30-10 with the first weights of fig/overfitting.py, N(0, 1)."""
    draw = np.random.RandomState(SEED).randn
    for _ in range(2):  # default weights, then large ones over them
        biases = [draw(size) for size in (30, 10)]
        weights = [draw(*shape).T for shape in ((30, 784), (10, 30))]
    hidden, last = (
        {"weight_initializer": lambda *_, w=w: w, "bias_initializer": lambda *_, b=b: b}
        for w, b in zip(weights, biases, strict=True)
    )
    return nn.Sequential(nn.Flatten(), nn.Dense(30, activation="sigmoid", **hidden), nn.Dense(10, **last))


def shuffled(samples: int) -> Iterator[np.ndarray]:
    """The order of the pictures in each epoch of fig/overfitting.py, by Python 2's random.shuffle."""
    draw, order = random.Random(SEED).random, list(range(samples))
    while True:
        for last in range(samples - 1, 0, -1):
            chosen = int(draw() * (last + 1))
            order[last], order[chosen] = order[chosen], order[last]
        yield np.array(order)


class Enough(callbacks.Callback):
    """Stops training after the first epoch whose accuracy is `wanted` or more."""

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        if logs["val_accuracy"] > self.wanted - 1e-6:
            self.model.stop_training = True
