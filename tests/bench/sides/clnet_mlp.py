"""clnet: Model.fit on data that lies on the device."""

from typing import Any

import numpy as np

import clnet
from clnet import nn, optim


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, device = task, clnet.device(task["device"] or None)
        self.x, self.y = (clnet.tensor(arrays[name], device=device) for name in ("x", "y"))
        samples = task["check_samples"]
        self.check_data = [clnet.tensor(arrays[name][:samples], device=device) for name in ("x", "y")]
        *hidden, last = task["sizes"][1:]
        net = nn.Sequential(*(nn.Dense(n, activation=task["activation"]) for n in hidden), nn.Dense(last))
        make = optim.SGD if task["optimizer"] == "sgd" else optim.Adam
        optimizer = make(learning_rate=task["learning_rate"])
        self.model = clnet.Model(net, loss="softmax_cross_entropy", optimizer=optimizer, device=device, seed=0)
        net.build((None, task["sizes"][0]), seed=0, device=device)
        weights = [variable for variable in net.variables().values() if len(variable.shape) == 2]
        for i, weight in enumerate(weights):
            weight.assign(arrays[f"w{i}"])
        self.options: dict[str, Any] = {"batch_size": task["batch"], "verbose": 0}

    def check(self) -> list[float]:
        history = self.model.fit(*self.check_data, epochs=2, shuffle=False, **self.options)
        return [float(loss) for loss in history.history["loss"]]

    def run(self) -> int:
        self.model.fit(self.x, self.y, epochs=1, **self.options)
        return self.x.shape[0] // self.task["batch"]
