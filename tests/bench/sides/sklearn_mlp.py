"""scikit-learn's MLPClassifier: one partial_fit over the set is one epoch of mini-batches."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, arrays["x"], arrays["y"]
        self.net = MLPClassifier(
            hidden_layer_sizes=tuple(task["sizes"][1:-1]),
            activation="logistic" if task["activation"] == "sigmoid" else "relu",
            solver=task["optimizer"],
            learning_rate_init=task["learning_rate"],
            batch_size=task["batch"],
            alpha=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=False,
            random_state=0,
        )
        self.net.partial_fit(self.x[: task["batch"]], self.y[: task["batch"]], classes=np.arange(task["sizes"][-1]))
        del self.net._optimizer  # made anew at the next call, without the moments of this one
        for i, bias in enumerate(self.net.intercepts_):
            self.net.coefs_[i][:] = arrays[f"w{i}"]
            bias[:] = 0

    def check(self) -> list[float]:
        samples = self.task["check_samples"]
        figures = [float(self.net.partial_fit(self.x[:samples], self.y[:samples]).loss_) for _ in range(2)]
        self.net.shuffle = True
        return figures

    def run(self) -> int:
        self.net.partial_fit(self.x, self.y)
        return len(self.x) // self.task["batch"]
