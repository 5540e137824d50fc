"""The rows of examples/nielsen.py: networks, costs and rates as the book's text and programs give them."""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from nielsen_nets import Enough, chapter_6, drawn, shuffled, wide

import clnet
from clnet import nn, optim

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Row:
    """One network of the book. `book`: its figure in percent; `decay`: L2 times the samples, chapter 3's lambda;
    `orders` gives that of the pictures in each epoch where the book's own is known.
    """

    name: str
    book: float
    what: str
    net: Callable[[], nn.Layer]
    loss: str
    rate: float
    epochs: int
    decay: float = 0.0
    samples: int = 50_000
    validation: bool = False
    expanded: bool = False
    votes: int = 1
    orders: Callable[[int], Iterator[np.ndarray]] | None = None

    def model(self, samples: int, device: clnet.Device, seed: int) -> clnet.Model:
        optimizer = optim.SGD(learning_rate=self.rate, l2=self.decay / samples)
        return clnet.Model(self.net(), self.loss, optimizer, ["accuracy"], device=device, seed=seed)

    def fit(self, model: clnet.Model, learned: Pair, judged: Pair, epochs: int, until_book: bool) -> float:
        """Train, and return the accuracy of the best epoch; `until_book`: stop where it reaches the book's figure."""
        enough = [Enough(self.book / 100)] * until_book
        settings = {"batch_size": 10, "validation_data": judged, "verbose": 0, "callbacks": enough}
        if self.orders is None:
            return max(model.fit(*learned, epochs=epochs, **settings).history["val_accuracy"])
        orders = itertools.islice(self.orders(len(learned[0])), epochs)
        wanted = itertools.takewhile(lambda _: not model.stop_training, orders)
        epoch = (model.fit(*(each[order] for each in learned), shuffle=False, **settings) for order in wanted)
        return max(history.history["val_accuracy"][-1] for history in epoch)


SIGMOID, SOFTMAX, TWO = "sigmoid_cross_entropy", "softmax_cross_entropy", (20, 40)
relu = functools.partial(chapter_6, "relu", TWO)
DROPOUT = relu(1000, 1000, dropout=0.5)
# fmt: off
ROWS = (
    Row("quadratic-30", 95.42, "784-30-10, quadratic cost", wide(30, "sigmoid"), "quadratic", 3.0, 30),
    Row("quadratic-100", 96.59, "784-100-10, quadratic cost", wide(100, "sigmoid"), "quadratic", 3.0, 30),
    Row("cross-entropy-30", 95.49, "784-30-10, cross-entropy", drawn, SIGMOID, 0.5, 30, orders=shuffled),
    Row("cross-entropy-100", 96.82, "784-100-10, cross-entropy", wide(100), SIGMOID, 0.5, 30),
    Row("few", 82.27, "784-30-10 on 1,000 pictures", drawn, SIGMOID, 0.5, 400, samples=1000, orders=shuffled),
    Row("few-l2", 87.1, "the same with L2", drawn, SIGMOID, 0.5, 400, 0.1, samples=1000, orders=shuffled),
    Row("l2-30", 96.49, "784-30-10, L2", drawn, SIGMOID, 0.5, 30, 5.0, orders=shuffled),
    Row("l2-100", 97.92, "784-100-10, L2; validation", wide(100), SIGMOID, 0.5, 30, 5.0, validation=True),
    Row("l2-100-slow", 98.04, "the same, rate 0.1; validation", wide(100), SIGMOID, 0.1, 60, 5.0, validation=True),
    Row("softmax-100", 97.80, "784-100-10, softmax", chapter_6("sigmoid", (), 100), SOFTMAX, 0.1, 60),
    Row("conv", 98.78, "convolution 20, pool, 100", chapter_6("sigmoid", (20,), 100), SOFTMAX, 0.1, 60),
    Row("conv-2", 99.06, "convolutions 20 and 40, pools, 100", chapter_6("sigmoid", TWO, 100), SOFTMAX, 0.1, 60),
    Row("relu", 99.23, "the same with ReLU and L2", relu(100), SOFTMAX, 0.03, 60, 1.0),
    Row("expanded-100", 99.37, "100 hidden, expanded", relu(100), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("expanded-300", 99.46, "300 hidden", relu(300), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("expanded-1000", 99.43, "1,000 hidden", relu(1000), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("expanded-100-100", 99.43, "two layers of 100", relu(100, 100), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("expanded-300-300", 99.48, "two layers of 300", relu(300, 300), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("expanded-1000-1000", 99.47, "two layers of 1,000", relu(1000, 1000), SOFTMAX, 0.03, 60, 1.0, expanded=True),
    Row("dropout", 99.60, "the last with dropout", DROPOUT, SOFTMAX, 0.03, 40, expanded=True),
    Row("vote", 99.67, "five of those vote", DROPOUT, SOFTMAX, 0.03, 40, expanded=True, votes=5),
)
