"""Callbacks: what happens beside training, at the end of an epoch or of a window of steps.

    model.fit(x, y, epochs=100, validation_data=(xv, yv),
              callbacks=[callbacks.EarlyStopping(patience=5, restore_best_weights=True)])

Epochs are counted from 0, as in Keras. A window is about 50 ms of steps: callbacks run when the device has finished it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from clnet.device import Device
from clnet.errors import ArgumentError, MissingExtraError
from clnet.optim import Optimizer
from clnet.schedules import Schedule
from clnet.variable import Variable

__all__ = [
    "Callback",
    "EarlyStopping",
    "HalveOnPlateau",
    "History",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "Run",
    "Trainee",
]

Logs = Mapping[str, float]
Mode = Literal["auto", "min", "max"]
RISING = ("accuracy", "precision", "recall", "f1", "r2")  # metrics that are the better the larger they are


class Trainee(Protocol):
    """What a callback may do with the model that is trained."""

    device: Device
    optimizer: Optimizer
    stop_training: bool

    def variables(self) -> dict[str, Variable]: ...
    def save(self, path: str | Path) -> None: ...


@dataclass(frozen=True)
class Run:
    """One call of `fit`: ends before epoch number `epochs`; `steps` in an epoch, None where the data does not say."""

    epochs: int
    steps: int | None


class Callback:
    """Does nothing at each of these moments; `run` is the training that goes on, `model` the model in training.

    `logs` has "loss" and each metric, means over the samples of the epoch so far, and at an epoch's end "val_loss" ...
    """

    model: Trainee
    run: Run

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch."""

    def on_window(self, epoch: int, step: int, logs: Logs) -> None:
        """After a window, the device idle: `step` steps of the epoch are done."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation; set `self.model.stop_training` to make it the last."""

    def on_interrupt(self) -> None:
        """After Ctrl-C, the device idle, between two steps."""

    def on_train_end(self) -> None:
        """After the last epoch, and after whatever else ended training: an error, Ctrl-C."""


class History(Callback):
    """What `fit` returns. `history`: name -> value of each epoch; `epochs` their numbers, `seconds` their times."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epochs.append(epoch)
        self.seconds.append(time.perf_counter() - self._start)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def plot(self, path: str | Path) -> None:
        """Write a picture of the learning curves, a panel for the loss and one a metric; needs the extra "plot"."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise MissingExtraError("History.plot", "plot") from error
        names = [name for name in self.history if not name.startswith("val_")]
        figure = Figure(figsize=(5.0 * max(1, len(names)), 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        for place, name in enumerate(names, 1):
            axes = figure.add_subplot(1, len(names), place)
            for label, key in (("training", name), ("validation", f"val_{name}")):
                if key in self.history:
                    axes.plot([epoch + 1 for epoch in self.epochs], self.history[key], label=label)
            axes.set(xlabel="epoch", title=name.replace("_", " "))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        figure.savefig(path, dpi=150)


class ProgressBar(Callback):
    """A line that moves with the steps (verbose=1, on a terminal), or a line an epoch (verbose=2, and in a file)."""

    WIDTH = 20

    def __init__(self, *, verbose: Literal[1, 2] = 1, file: TextIO | None = None) -> None:
        self.verbose = verbose
        self.file = file

    @property
    def _moves(self) -> bool:
        return self.verbose == 1 and (self.file or sys.stdout).isatty()

    def on_epoch_begin(self, epoch: int) -> None:
        self._start = time.perf_counter()

    def on_window(self, epoch: int, step: int, logs: Logs) -> None:
        if self._moves:
            done = "" if self.run.steps is None else "#" * int(self.WIDTH * step / self.run.steps)
            bar = f"[{done:<{self.WIDTH}}]" if self.run.steps is not None else f"step {step}"
            self._print(f"\r{self._label(epoch)} {bar} {self._text(logs)}", end="")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        seconds = time.perf_counter() - self._start
        start, padding = ("\r", " " * (self.WIDTH + 3)) if self._moves else ("", "")  # covers the rest of the bar
        self._print(f"{start}{self._label(epoch)} {seconds:.2f} s {self._text(logs)}{padding}", end="\n")

    def on_interrupt(self) -> None:
        self._print("", end="\n")

    def _label(self, epoch: int) -> str:
        return f"epoch {epoch + 1:>{len(str(self.run.epochs))}}/{self.run.epochs}"

    def _text(self, logs: Logs) -> str:
        return "  ".join(f"{name} {np.mean(value):.4f}" for name, value in logs.items())

    def _print(self, text: str, *, end: str) -> None:
        print(text, end=end, file=self.file or sys.stdout, flush=True)


class Monitor(Callback):
    """What callbacks share that compare one value of the logs with its best so far."""

    def __init__(self, monitor: str = "val_loss", *, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"{type(self).__name__}: mode is {mode!r}, wants 'auto', 'min' or 'max'")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta

    def on_train_begin(self) -> None:
        rises = self.mode == "max" or (self.mode == "auto" and any(name in self.monitor for name in RISING))
        self._sign = -1.0 if rises else 1.0
        self.best = math.inf * self._sign
        self.best_epoch: int | None = None

    def improves(self, epoch: int, logs: Logs) -> bool:
        """Whether this epoch is the best so far, which is then remembered."""
        if self.monitor not in logs:
            raise ArgumentError(f"{type(self).__name__}: monitors {self.monitor!r}, training has {', '.join(logs)}")
        value = float(np.mean(logs[self.monitor]))  # of all networks of an ensemble
        if not self._sign * value < self._sign * self.best - self.min_delta:
            return False
        self.best, self.best_epoch = value, epoch
        return True


class EarlyStopping(Monitor):
    """Stops when `monitor` has not got better, by more than min_delta, for `patience` epochs.

    restore_best_weights: at the end of training, however it ended, the variables get their values of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode=mode, min_delta=min_delta)
        self.patience = patience
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._waited = 0
        self._weights: dict[str, NDArray[Any]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._waited += 1
        if self.improves(epoch, logs):
            self._waited = 0
            if self.restore_best_weights:
                self._weights = {path: variable.numpy() for path, variable in self.model.variables().items()}
        elif self._waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self) -> None:
        for path, value in self._weights.items():
            self.model.variables()[path].assign(value)


class ModelCheckpoint(Monitor):
    """Saves the model after every epoch, or with save_best_only after those where `monitor` got better.

    path may hold {epoch} (counted from 1) and names of the logs: "net-{epoch}-{val_loss:.3f}.safetensors". An epoch
    whose loss became NaN does not end, so it never replaces a file. on_interrupt: another path, saved at Ctrl-C.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        monitor: str = "val_loss",
        mode: Mode = "auto",
        save_best_only: bool = False,
        interrupt_path: str | Path | None = None,
    ) -> None:
        super().__init__(monitor, mode=mode)
        self.path = path
        self.save_best_only = save_best_only
        self.interrupt_path = interrupt_path

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improves(epoch, logs):
            means = {name: float(np.mean(value)) for name, value in logs.items()}
            self.model.save(str(self.path).format(epoch=epoch + 1, **means))

    def on_interrupt(self) -> None:
        if self.interrupt_path is not None:
            self.model.save(self.interrupt_path)


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch: (epoch, rate) -> rate, or a `Schedule`, which then counts epochs."""

    def __init__(self, schedule: Callable[[int, float], float] | Schedule) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        if isinstance(self.schedule, Schedule):
            optimizer.learning_rate = self.schedule.at(epoch, device=self.model.device)
        else:
            optimizer.learning_rate = self.schedule(epoch, _rate(optimizer, "LearningRateScheduler"))


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when `monitor` has not got better for `patience` epochs.

    It never falls below min_lr. After `factor` applied, `patience` counts anew.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        min_lr: float = 0.0,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, mode=mode, min_delta=min_delta)
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor is {factor}, wants 0 < factor < 1")
        self.factor = factor
        self.patience = patience
        self.min_lr = min_lr

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._waited = 0 if self.improves(epoch, logs) else self._waited + 1
        if self._waited >= max(1, self.patience):
            optimizer = self.model.optimizer
            optimizer.learning_rate = max(self.min_lr, self.factor * _rate(optimizer, "ReduceLROnPlateau"))
            self._waited = 0


class HalveOnPlateau(Monitor):
    """Halves the learning rate when `monitor` has not got better for `patience` epochs; stops at 1/128 of the first.

    Nielsen, chapter 3, "How to choose a neural network's hyper-parameters?": the halving that would reach `lowest` of
    the rate at the beginning ends training instead.
    """

    def __init__(
        self,
        monitor: str = "val_accuracy",
        *,
        patience: int = 10,
        lowest: float = 1 / 128,
        min_delta: float = 0.0,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, mode=mode, min_delta=min_delta)
        if not 0 < lowest < 1 or patience < 1:
            raise ArgumentError(
                f"HalveOnPlateau: lowest is {lowest}, patience {patience}; wants 0 < lowest < 1 and epochs, 1 or more"
            )
        self.patience = patience
        self.lowest = lowest

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._waited = 0
        self._first = _rate(self.model.optimizer, "HalveOnPlateau")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._waited = 0 if self.improves(epoch, logs) else self._waited + 1
        if self._waited >= self.patience:
            self._waited = 0
            rate = _rate(self.model.optimizer, "HalveOnPlateau") / 2
            if rate <= self.lowest * self._first:
                self.model.stop_training = True
            else:
                self.model.optimizer.learning_rate = rate


def _rate(optimizer: Optimizer, who: str) -> float:
    if callable(optimizer.learning_rate):
        raise ArgumentError(f"{who}: the optimizer has a schedule already, {optimizer.learning_rate}")
    return optimizer.learning_rate
