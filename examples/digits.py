"""Handwritten digits in seconds: a network of 64-100-10 learns the embedded pictures and shows what it gets wrong.

python examples/digits.py [--device cpu] [--epochs 20]
"""

import argparse

import numpy as np

import clnet
from clnet import data, nn, optim

SHADES = " .:-=+*#%@"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()

    digits = data.load("digits")
    net = nn.Sequential(nn.Flatten(), nn.Dense(100, activation="relu"), nn.Dense(10))
    model = clnet.Model(
        net,
        loss="softmax_cross_entropy",
        optimizer=optim.Adam(learning_rate=1e-3),
        metrics=["accuracy"],
        device=clnet.device(options.device),
        seed=0,
    )
    model.fit(*digits.train, epochs=options.epochs, batch_size=32, validation_data=digits.test, verbose=2)

    x, labels = digits.test
    guesses = np.argmax(model.predict(x), axis=1)
    wrong = np.flatnonzero(guesses != labels)
    print(f"{len(x) - len(wrong)} of {len(x)} held-out pictures right, {1 - len(wrong) / len(x):.1%}")
    for i in wrong[:2]:
        print(f"this {labels[i]} looks like a {guesses[i]}:")
        print("\n".join("".join(SHADES[int(9 * ink)] * 2 for ink in row) for row in x[i, :, :, 0]))


if __name__ == "__main__":
    main()
