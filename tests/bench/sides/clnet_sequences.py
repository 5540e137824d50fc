"""clnet: Model.fit on sequences that lie on the device."""

from typing import Any

import numpy as np

import clnet
from clnet import nn, ops, optim


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, device = task, clnet.device(task["device"] or None)
        self.x, self.y = (clnet.tensor(arrays[name], device=device) for name in ("x", "y"))
        samples = task["check_samples"]
        self.check_data = [clnet.tensor(arrays[name][:samples], device=device) for name in ("x", "y")]
        if task["heads"]:
            options = {"feed_forward": task["units"], "dropout": 0.0}
            layers = [
                nn.TransformerEncoderLayer(task["features"], task["heads"], **options) for _ in range(task["layers"])
            ]
            net = nn.Sequential(*layers, lambda x: ops.mean(x, axis=1), nn.Dense(10))
        else:
            net = nn.Sequential(getattr(nn, task["kind"])(task["units"]), nn.Dense(10))
        net.build((None, *self.x.shape[1:]), device=device)
        for path, variable in net.trainable_variables().items():
            variable.assign(arrays[path])
        self.model = clnet.Model(net, "softmax_cross_entropy", optim.Adam(learning_rate=1e-3), device=device)
        self.options: dict[str, Any] = {"batch_size": task["batch"], "verbose": 0}

    def check(self) -> list[float]:
        history = self.model.fit(*self.check_data, epochs=2, shuffle=False, **self.options)
        return [float(loss) for loss in history.history["loss"]]

    def run(self) -> int:
        self.model.fit(self.x, self.y, epochs=1, **self.options)
        return self.x.shape[0] // self.task["batch"]
