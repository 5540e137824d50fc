"""The loop by hand: compile and value_and_grad, a step that updates its own weights, and the plan that it became.

python examples/by_hand.py [--device cpu] [--epochs 20]
"""

import argparse

import numpy as np

import clnet
from clnet import data, ops

RATE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    device = clnet.device(options.device)

    digits = data.load("digits")
    x, labels = digits.x_train.reshape(-1, 64), digits.y_train
    random = np.random.default_rng(0)
    weights = {
        name: clnet.Variable(random.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32), device=device)
        for name, inputs, outputs in [("hidden", 64, 50), ("output", 50, 10)]
    }

    def scores(x: clnet.Tensor) -> clnet.Tensor:
        return ops.tanh(x @ weights["hidden"]) @ weights["output"]

    @clnet.compile
    def step(x: clnet.Tensor, labels: clnet.Tensor) -> clnet.Tensor:
        def loss() -> clnet.Tensor:
            chosen = ops.one_hot(labels, 10, dtype=np.float32)
            return -ops.mean(ops.sum(chosen * ops.log_softmax(scores(x)), axis=-1))

        value, gradients = clnet.value_and_grad(loss, wrt=weights)()
        for name, weight in weights.items():
            weight.assign(weight - RATE * gradients[name])  # fused into the product that makes the gradient
        return value

    batches = [
        (clnet.tensor(x[i : i + 32], device=device), clnet.tensor(labels[i : i + 32], device=device))
        for i in range(0, len(x) - 31, 32)
    ]
    for epoch in range(options.epochs):
        losses = [step(*batch) for batch in batches]  # only enqueued; reading the values waits for them
        if epoch % 5 == 4 or epoch == options.epochs - 1:
            print(f"epoch {epoch + 1}: loss {np.mean([loss.item() for loss in losses]):.4f}")

    guesses = ops.argmax(clnet.compile(scores)(clnet.tensor(digits.x_test.reshape(-1, 64), device=device)), axis=-1)
    print(f"held out: {np.mean(guesses.numpy() == digits.y_test):.1%}")
    print(step.plan(*batches[0]).summary())


if __name__ == "__main__":
    main()
