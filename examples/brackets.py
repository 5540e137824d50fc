"""Sequences of many lengths: an LSTM learns whether brackets of two kinds, like ([]()), are closed in the right order.

python examples/brackets.py [--epochs 8] [--device cpu] [--quick]
"""

import argparse

import numpy as np

import clnet
from clnet import nn, optim

LONGEST, BRACKETS = 24, "()[]"  # token 0 is padding, 1 to 4 are the brackets


class Judge(nn.Layer):
    """The chance, before the sigmoid, that each row of tokens (batch, steps) is right; `lengths` (batch,)."""

    def __init__(self, units: int) -> None:
        self.embedding = nn.Embedding(len(BRACKETS) + 1, 8)
        self.lstm = nn.Bidirectional(nn.LSTM(units))
        self.output = nn.Dense(1)

    def call(self, tokens: clnet.Tensor, lengths: clnet.Tensor, *, training: bool = False) -> clnet.Tensor:
        return self.output(self.lstm(self.embedding(tokens), lengths=lengths, training=training))


def line(random: np.random.Generator) -> list[int]:
    """Brackets that match: each step opens one, or closes the last that is open."""
    pairs, tokens, opened = int(random.integers(1, LONGEST // 2 + 1)), [], []
    while pairs or opened:
        if pairs and (not opened or random.random() < 0.5):
            opened.append(2 * int(random.integers(2)))
            tokens.append(opened[-1] + 1)
            pairs -= 1
        else:
            tokens.append(opened.pop() + 2)
    return tokens


def samples(count: int, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """((tokens, lengths), right): half of the lines have one bracket changed for another."""
    random = np.random.default_rng(seed)
    tokens, lengths = np.zeros((count, LONGEST), np.int32), np.zeros(count, np.int32)
    right = np.arange(count) % 2
    for row in range(count):
        written = line(random)
        lengths[row] = len(written)
        tokens[row, : lengths[row]] = written
        if not right[row]:
            place = random.integers(lengths[row])
            tokens[row, place] = (tokens[row, place] + random.integers(3)) % 4 + 1
    return (tokens, lengths), right[:, None].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="an epoch on few samples, to see that it runs")
    options = parser.parse_args()
    train, held_out = samples(256 if options.quick else 20_000, 0), samples(2000, 1)
    model = clnet.Model(
        Judge(32), "sigmoid_cross_entropy", optim.Adam(3e-3), ["accuracy"], device=clnet.device(options.device)
    )
    epochs = 1 if options.quick else options.epochs
    model.fit(*train, epochs=epochs, batch_size=64, validation_data=held_out, verbose=2)
    (tokens, lengths), _ = held_out
    for row, score in enumerate(model.predict((tokens[:6], lengths[:6]))[:, 0]):
        text = "".join(BRACKETS[token - 1] for token in tokens[row, : lengths[row]])
        print(f"{text:<{LONGEST}}  {'right' if score > 0 else 'wrong'}, chance {1 / (1 + np.exp(-score)):.1%}")


if __name__ == "__main__":
    main()
