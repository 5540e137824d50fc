"""PyTorch: eager, as its tutorials write the loop."""

import os
from typing import Any

import numpy as np
import torch
from torch import nn

torch.set_num_threads(len(os.sched_getaffinity(0)))
ORDER = {"GRU": [1, 0, 2]}  # its gates are r, z, n, clnet's z, r, n


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Net(nn.Module):
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.is_encoder, d, units = bool(task["heads"]), task["features"], task["units"]
        if self.is_encoder:
            layer = nn.TransformerEncoderLayer(d, task["heads"], units, 0.0, batch_first=True)
            self.body: nn.Module = nn.TransformerEncoder(layer, task["layers"])
            values = [arrays[f"{i}/{path}"] for i in range(task["layers"]) for path in ENCODER]
            last = task["layers"] + 1
        else:
            self.body = getattr(nn, {"SimpleRNN": "RNN"}.get(task["kind"], task["kind"]))(d, units, batch_first=True)
            values, last = recurrent(task["kind"], arrays), 1
        self.head = nn.Linear(d if self.is_encoder else units, 10)
        values += [arrays[f"{last}/weight"], arrays[f"{last}/bias"]]
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value.T))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean(1) if self.is_encoder else self.body(x)[0][:, -1])


ENCODER = [
    *(f"attention/{part}" for part in ("input_weight", "input_bias", "output_weight", "output_bias")),
    *("hidden/weight", "hidden/bias", "output/weight", "output/bias"),
    *("norms/0/gamma", "norms/0/beta", "norms/1/gamma", "norms/1/beta"),
]


def recurrent(kind: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """clnet's (inputs, gates) weights, and its biases, in the order of PyTorch's parameters and gates."""
    bias = arrays["0/bias"]
    values = [arrays["0/weight"], arrays["0/recurrent_weight"], bias, arrays.get("0/recurrent_bias", 0 * bias)]
    order = ORDER.get(kind, [0])
    return [np.concatenate([np.split(each, len(order), -1)[gate] for gate in order], -1) for each in values]


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task = task
        self.x, self.y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]).long()
        self.net = Net(task, arrays)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def check(self) -> list[float]:
        order = torch.arange(self.task["check_samples"])
        return [self._epoch(order) for _ in range(2)]

    def run(self) -> int:
        self._epoch(torch.randperm(len(self.x)))
        return len(self.x) // self.task["batch"]

    def _epoch(self, order: torch.Tensor) -> float:
        total, batches = torch.zeros(()), order.split(self.task["batch"])
        for indices in batches:
            self.optimizer.zero_grad()
            loss = self.loss(self.net(self.x[indices]), self.y[indices])
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return float(total) / len(batches)
