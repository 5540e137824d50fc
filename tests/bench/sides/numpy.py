"""NumPy by hand: dense networks with softmax cross-entropy; products."""

from typing import Any

import numpy as np


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    return {"fit": Training, "predict": Inference, "matmul": Product}[task["work"]](task, arrays)


def forward(task: dict[str, Any], weights: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """The inputs of each layer, then the outputs of the last."""
    activations = [x]
    for layer, w, b in zip(task["net"], weights[::2], weights[1::2], strict=True):
        z = activations[-1] @ w + b
        if layer["activation"] == "sigmoid":
            z = 1 / (1 + np.exp(-z))
        elif layer["activation"] == "relu":
            z = np.maximum(z, 0)
        activations.append(z)
    return activations


def weights_of(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[f"{i}/{name}"] for i in range(len(task["net"])) for name in ("weight", "bias")]


class Training:
    """Epochs of steps; a unit is a step."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, arrays["x"], arrays["y"]
        self.weights = weights_of(task, arrays)
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self.weights]
        self.steps = 0
        self.random = np.random.default_rng(0)

    def check(self) -> list[float]:
        return [self._epoch(np.arange(self.task["check"])) for _ in range(3)]

    def run(self) -> int:
        self._epoch(self.random.permutation(len(self.x)))
        return -(-len(self.x) // self.task["batch"])

    def _epoch(self, order: np.ndarray) -> float:
        batches = np.split(order, range(self.task["batch"], len(order), self.task["batch"]))
        return float(sum(self._step(self.x[b], self.y[b]) * len(b) for b in batches) / len(order))

    def _step(self, x: np.ndarray, y: np.ndarray) -> float:
        *inputs, z = forward(self.task, self.weights, x)
        z -= z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        rows = np.arange(len(x))
        loss = -log_p[rows, y].mean()
        dz = np.exp(log_p)
        dz[rows, y] -= 1
        dz /= np.float32(len(x))
        gradients: list[np.ndarray] = []
        for i in range(len(inputs) - 1, -1, -1):
            a = inputs[i]
            gradients = [a.T @ dz, dz.sum(axis=0), *gradients]
            if i:
                da = dz @ self.weights[2 * i].T
                dz = da * (a * (1 - a) if self.task["net"][i - 1]["activation"] == "sigmoid" else (a > 0))
        self._update(gradients)
        return float(loss)

    def _update(self, gradients: list[np.ndarray]) -> None:
        rate = np.float32(self.task["learning_rate"])
        self.steps += 1
        for p, g, (m, v) in zip(self.weights, gradients, self.moments, strict=True):
            if self.task["optimizer"] == "sgd":
                p -= rate * g
                continue
            if self.task["optimizer"] == "momentum":
                v *= np.float32(0.9)
                v -= rate * g
                p += v
                continue
            m += np.float32(0.1) * (g - m)
            v += np.float32(0.001) * (g * g - v)
            m_hat, v_hat = m / np.float32(1 - 0.9**self.steps), v / np.float32(1 - 0.999**self.steps)
            p -= rate * m_hat / (np.sqrt(v_hat) + np.float32(self.task["epsilon"]))


class Inference:
    """The network's outputs for one batch."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.weights = task, arrays["x"][: task["batch"]], weights_of(task, arrays)

    def check(self) -> np.ndarray:
        return forward(self.task, self.weights, self.x)[-1]

    def run(self) -> int:
        for _ in range(10):
            forward(self.task, self.weights, self.x)
        return 10


class Product:
    """a @ b, either of them transposed, into memory that is there."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        a, b = task["transposes"]
        self.a = arrays["a"].T if a == "T" else arrays["a"]
        self.b = arrays["b"].T if b == "T" else arrays["b"]
        self.out = np.empty((self.a.shape[0], self.b.shape[1]), np.float32)

    def check(self) -> np.ndarray:
        return self.a @ self.b

    def run(self) -> int:
        for _ in range(10):
            np.matmul(self.a, self.b, out=self.out)
        return 10
