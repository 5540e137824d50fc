"""PyTorch: convolutions as its tutorials write the loop; with pictures as channels_last; or under torch.compile."""

import os
from typing import Any

import numpy as np
import torch
from torch import nn

torch.set_num_threads(len(os.sched_getaffinity(0)))


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


def network(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> nn.Sequential:
    """The net of the task with its weights, (outputs, inputs, kernel, kernel) and pictures' channels first."""
    layers: list[nn.Module] = []
    activation = nn.Sigmoid if task["activation"] == "sigmoid" else nn.ReLU
    kinds = [kind for kind, *_ in task["layers"]]
    side, channels, number = task["picture"][0], task["picture"][2], 0
    for place, (kind, *sizes) in enumerate(task["layers"]):
        if kind == "norm":
            layers += [nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), activation()]
            continue
        if kind == "pool":
            layers.append(nn.MaxPool2d(2))
            side //= 2
            continue
        weight = torch.from_numpy(arrays[f"w{number}"])
        number += 1
        if kind == "conv":
            layers.append(nn.Conv2d(channels, sizes[0], sizes[1], padding=sizes[2]))
            weight = weight.permute(3, 2, 0, 1)
            side += 2 * sizes[2] - sizes[1] + 1
        else:
            if side:
                layers.append(nn.Flatten())
                weight = weight.reshape(side, side, channels, -1).permute(2, 0, 1, 3).reshape(-1, sizes[0])
            layers.append(nn.Linear(weight.shape[0], sizes[0]))
            weight, side = weight.T, 0
        with torch.no_grad():
            layers[-1].weight.copy_(weight)
            layers[-1].bias.zero_()
        channels = sizes[0]
        if place < len(kinds) - 1 and kinds[place + 1] != "norm":
            layers.append(activation())
    return nn.Sequential(*layers)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task = task
        self.x = torch.from_numpy(arrays["x"]).permute(0, 3, 1, 2).contiguous()
        self.y = torch.from_numpy(arrays["y"]).long()
        self.net = network(task, arrays)
        if task["side"] == "torch.channels_last":
            self.x = self.x.to(memory_format=torch.channels_last)
            self.net = self.net.to(memory_format=torch.channels_last)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=task["learning_rate"])
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
