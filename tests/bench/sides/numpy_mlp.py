"""NumPy by hand: the reference that the other sides' losses are compared with."""

from typing import Any

import numpy as np


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, arrays["x"], arrays["y"]
        self.weights = [arrays[f"w{i}"] for i in range(len(task["sizes"]) - 1)]
        self.biases = [np.zeros(w.shape[1], w.dtype) for w in self.weights]
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in (*self.weights, *self.biases)]
        self.steps = 0
        self.random = np.random.default_rng(0)

    def check(self) -> list[float]:
        samples = self.task["check_samples"]
        return [self._epoch(np.arange(samples)) for _ in range(2)]

    def run(self) -> int:
        self._epoch(self.random.permutation(len(self.x)))
        return len(self.x) // self.task["batch"]

    def _epoch(self, order: np.ndarray) -> float:
        batch = self.task["batch"]
        batches = order[: len(order) // batch * batch].reshape(-1, batch)
        return float(sum(self._step(self.x[b], self.y[b]) for b in batches) / len(batches))

    def _step(self, x: np.ndarray, y: np.ndarray) -> float:
        activations = [x]
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = activations[-1] @ w + b
            activations.append(1 / (1 + np.exp(-z)) if self.task["activation"] == "sigmoid" else np.maximum(z, 0))
        z = activations[-1] @ self.weights[-1] + self.biases[-1]
        z -= z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        rows = np.arange(len(x))
        loss = -log_p[rows, y].mean()
        dz = np.exp(log_p)
        dz[rows, y] -= 1
        dz /= np.float32(len(x))
        dws, dbs = [], []
        for i in range(len(self.weights) - 1, -1, -1):
            a = activations[i]
            dws.insert(0, a.T @ dz)
            dbs.insert(0, dz.sum(axis=0))
            if i:
                da = dz @ self.weights[i].T
                dz = da * (a * (1 - a) if self.task["activation"] == "sigmoid" else (a > 0))
        self._update([*dws, *dbs])
        return float(loss)

    def _update(self, gradients: list[np.ndarray]) -> None:
        rate = np.float32(self.task["learning_rate"])
        self.steps += 1
        for p, g, (m, v) in zip((*self.weights, *self.biases), gradients, self.moments, strict=True):
            if self.task["optimizer"] == "sgd":
                p -= rate * g
                continue
            m += np.float32(0.1) * (g - m)
            v += np.float32(0.001) * (g * g - v)
            m_hat, v_hat = m / np.float32(1 - 0.9**self.steps), v / np.float32(1 - 0.999**self.steps)
            p -= rate * m_hat / (np.sqrt(v_hat) + np.float32(1e-8))
