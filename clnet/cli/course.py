"""Course: what the command line asked to train, and how it went."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from clnet import data, nn, optim
from clnet.callbacks import Callback, EarlyStopping, History
from clnet.data import Dataset
from clnet.device import Device
from clnet.losses import LossName
from clnet.model import Model
from clnet.nn.activation import ActivationName
from clnet.nn.initializers import InitializerName

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
}
WITH_MOMENTUM = ("sgd", "rmsprop")
OUTPUTS: dict[str, ActivationName] = {"quadratic": "sigmoid", "binary_cross_entropy": "sigmoid"}  # want (0, 1)


@dataclass(frozen=True)
class Course:
    """Each field is the option of that name of `clnet train`."""

    hidden: tuple[int, ...]
    activation: ActivationName
    initializer: InitializerName
    dropout: float
    loss: LossName | None
    optimizer: str
    learning_rate: float | None
    momentum: float | None
    l1: float
    l2: float
    lambda_: float
    weight_decay: float | None
    epochs: int
    batch_size: int
    validation: float
    patience: int | None
    seed: int

    def model(self, samples: Dataset, device: Device) -> Model:
        metrics = [metric(samples)]
        optimizer = self.optimizer_for(samples)
        return Model(self.network(samples), self.loss_for(samples), optimizer, metrics, device=device, seed=self.seed)

    def loss_for(self, samples: Dataset) -> LossName:
        return self.loss or ("softmax_cross_entropy" if samples.task == "classification" else "mean_squared_error")

    def network(self, samples: Dataset) -> nn.Sequential:
        layers: list[nn.Layer] = [nn.Flatten()] if len(samples.input_shape) > 1 else []
        for units in self.hidden:
            layers.append(nn.Dense(units, activation=self.activation, weight_initializer=self.initializer))
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
        output = OUTPUTS.get(self.loss_for(samples))
        layers.append(nn.Dense(samples.outputs, activation=output, weight_initializer=self.initializer))
        return nn.Sequential(*layers)

    def optimizer_for(self, samples: Dataset) -> optim.Optimizer:
        learning = len(samples.x_train) * (1 - self.validation)
        given = {
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "l1": self.l1,
            "l2": self.l2 + self.lambda_ / learning,
        }
        return OPTIMIZERS[self.optimizer](**{name: value for name, value in given.items() if value is not None})

    def fit(self, model: Model, samples: Dataset, *, verbose: Literal[0, 1, 2]) -> History:
        """Train; epochs are judged by the held-out samples, or by a share of the others."""
        learned, judged = samples.train, samples.test
        if self.validation:
            stratify = samples.task == "classification"
            learned, judged = data.split(*learned, fraction=self.validation, seed=self.seed, stratify=stratify)
        callbacks: list[Callback] = []
        if self.patience:
            callbacks.append(EarlyStopping(monitor="val_loss", patience=self.patience, restore_best_weights=True))
        return model.fit(
            *learned,
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation_data=judged,
            callbacks=callbacks,
            verbose=verbose,
        )

    def describe(self, samples: Dataset) -> str:
        sizes = "-".join(map(str, (math.prod(samples.input_shape), *self.hidden, samples.outputs)))
        return f"{samples.name}: {len(samples.x_train):,} samples to learn, {len(samples.x_test):,} held out; {sizes}"


def metric(samples: Dataset) -> Literal["accuracy", "mean_absolute_error"]:
    return "accuracy" if samples.task == "classification" else "mean_absolute_error"


def outcome(model: Model, samples: Dataset, history: History) -> dict[str, Any]:
    """What the held-out samples say of the model as it is now, and which epoch was the best by its validation."""
    name = metric(samples)
    judged = history.history[f"val_{name}"]
    best = (max if name == "accuracy" else min)(judged)
    values = model.evaluate(*samples.test)
    return {"epochs": len(judged), **values, "best_epoch": judged.index(best) + 1, f"best_{name}": best}


def in_words(outcome: dict[str, Any]) -> str:
    name = "accuracy" if "accuracy" in outcome else "mean_absolute_error"
    return (
        f"held out: loss {outcome['loss']:.4f}, {name.replace('_', ' ')} {outcome[name]:.4f}; "
        f"best epoch {outcome['best_epoch']}: {outcome[f'best_{name}']:.4f}; {outcome['seconds']:.1f} s"
    )
