"""clnet: Model.fit on pictures that lie on the device."""

from typing import Any

import numpy as np

import clnet
from clnet import nn, optim


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


def network(task: dict[str, Any]) -> nn.Sequential:
    """The net of the task: an activation inside the layer, or after its norm."""
    layers: list[nn.Layer] = []
    kinds = [kind for kind, *_ in task["layers"]]
    last = len(kinds) - 1
    for place, (kind, *sizes) in enumerate(task["layers"]):
        normed = place < last and kinds[place + 1] == "norm"
        activation = None if normed or place == last else task["activation"]
        if kind == "conv":
            layers.append(nn.Conv2D(sizes[0], sizes[1], padding=sizes[2], activation=activation))
        elif kind == "norm":
            layers += [nn.BatchNorm(), nn.Activation(task["activation"])]
        elif kind == "pool":
            layers.append(nn.MaxPool2D())
        else:
            flat = [] if "dense" in kinds[:place] else [nn.Flatten()]
            layers += [*flat, nn.Dense(sizes[0], activation=activation)]
    return nn.Sequential(*layers)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, device = task, clnet.device(task["device"] or None)
        self.x, self.y = (clnet.tensor(arrays[name], device=device) for name in ("x", "y"))
        samples = task["check_samples"]
        self.check_data = [clnet.tensor(arrays[name][:samples], device=device) for name in ("x", "y")]
        net = network(task)
        optimizer = optim.SGD(learning_rate=task["learning_rate"])
        self.model = clnet.Model(net, loss="softmax_cross_entropy", optimizer=optimizer, device=device, seed=0)
        net.build((None, *task["picture"]), seed=0, device=device)
        weights = [variable for path, variable in net.variables().items() if path.endswith("weight")]
        for i, weight in enumerate(weights):
            weight.assign(arrays[f"w{i}"])
        self.options: dict[str, Any] = {"batch_size": task["batch"], "verbose": 0}

    def check(self) -> list[float]:
        history = self.model.fit(*self.check_data, epochs=2, shuffle=False, **self.options)
        return [float(loss) for loss in history.history["loss"]]

    def run(self) -> int:
        self.model.fit(self.x, self.y, epochs=1, **self.options)
        return self.x.shape[0] // self.task["batch"]
