"""An op of one's own: softsign, in one line of OpenCL C and one for its derivative, then used as an activation.

python examples/custom_op.py [--device cpu] [--epochs 10]
"""

import argparse

import numpy as np

import clnet
from clnet import data, nn, ops

# x is the input, dy the gradient of what follows; the compiler sees these lines inside whatever kernel they fuse into.
softsign = ops.elementwise("softsign", "x / (1 + fabs(x))", "dy / ((1 + fabs(x)) * (1 + fabs(x)))")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    device = clnet.device(options.device)

    x = clnet.tensor(np.linspace(-3, 3, 7, dtype=np.float32), device=device)
    print("softsign", softsign(x).numpy().round(3))
    _, slope = clnet.value_and_grad(lambda x: ops.sum(softsign(x)))(x)
    print("slope   ", slope.numpy().round(3))

    digits = data.load("digits")
    net = nn.Sequential(nn.Flatten(), nn.Dense(100, activation=softsign), nn.Dense(10))
    model = clnet.Model(net, loss="softmax_cross_entropy", metrics=["accuracy"], device=device, seed=0)
    model.fit(*digits.train, epochs=options.epochs, batch_size=32, verbose=0)
    print(f"digits with softsign: {model.evaluate(*digits.test)['accuracy']:.1%}")


if __name__ == "__main__":
    main()
