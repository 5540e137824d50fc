"""PyTorch: eager as its tutorials write the loop, or the same step under torch.compile."""

import os
from typing import Any

import numpy as np
import torch
from torch import nn

torch.set_num_threads(len(os.sched_getaffinity(0)))


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task = task
        self.x, self.y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]).long()
        hidden = nn.Sigmoid if task["activation"] == "sigmoid" else nn.ReLU
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip(task["sizes"], task["sizes"][1:], strict=False)):
            layers += [nn.Linear(inputs, outputs), hidden()]
            with torch.no_grad():
                layers[-2].weight.copy_(torch.from_numpy(arrays[f"w{i}"].T))
                layers[-2].bias.zero_()
        self.net = nn.Sequential(*layers[:-1])
        self.loss = nn.CrossEntropyLoss()
        make = torch.optim.SGD if task["optimizer"] == "sgd" else torch.optim.Adam
        self.optimizer = make(self.net.parameters(), lr=task["learning_rate"])
        self.step = torch.compile(self._step) if task["side"] == "torch.compile" else self._step

    def check(self) -> list[float]:
        order = torch.arange(self.task["check_samples"])
        return [self._epoch(order) for _ in range(2)]

    def run(self) -> int:
        self._epoch(torch.randperm(len(self.x)))
        return len(self.x) // self.task["batch"]

    def _epoch(self, order: torch.Tensor) -> float:
        batch = self.task["batch"]
        steps = len(order) // batch
        total = torch.zeros(())
        for i in range(steps):
            total += self.step(order[i * batch : (i + 1) * batch])
        return float(total) / steps

    def _step(self, indices: torch.Tensor) -> torch.Tensor:
        x, y = self.x.index_select(0, indices), self.y.index_select(0, indices)
        self.optimizer.zero_grad()
        loss = self.loss(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
