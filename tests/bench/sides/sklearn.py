"""scikit-learn's MLPClassifier: one partial_fit over the set is one epoch of mini-batches."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    """A unit is a step."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, arrays["x"], arrays["y"]
        *hidden, last = task["net"]
        self.net = MLPClassifier(
            hidden_layer_sizes=tuple(layer["units"] for layer in hidden),
            activation={"sigmoid": "logistic"}.get(hidden[0]["activation"], hidden[0]["activation"]),
            solver="adam" if task["optimizer"] == "adam" else "sgd",
            learning_rate_init=task["learning_rate"],
            batch_size=task["batch"],
            epsilon=task["epsilon"],
            alpha=0.0,
            momentum=0.9 if task["optimizer"] == "momentum" else 0.0,
            nesterovs_momentum=False,
            shuffle=False,
            random_state=0,
        )
        self.net.partial_fit(self.x[: task["batch"]], self.y[: task["batch"]], classes=np.arange(last["units"]))
        del self.net._optimizer  # made anew at the next call, without the moments of this one
        for i, bias in enumerate(self.net.intercepts_):
            self.net.coefs_[i][:] = arrays[f"{i}/weight"]
            bias[:] = 0

    def check(self) -> list[float]:
        samples = self.task["check"]
        figures = [float(self.net.partial_fit(self.x[:samples], self.y[:samples]).loss_) for _ in range(3)]
        self.net.shuffle = True
        return figures

    def run(self) -> int:
        self.net.partial_fit(self.x, self.y)
        return -(-len(self.x) // self.task["batch"])
