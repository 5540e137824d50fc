"""Callbacks, driven by hand with the logs of a training that needs no device."""

import io

import numpy as np
import pytest

from clnet import callbacks, schedules
from clnet.callbacks import Run
from clnet.errors import ArgumentError
from clnet.optim import SGD


class Number:
    """A variable without a device."""

    def __init__(self, value):
        self.value = np.float32(value)

    def numpy(self):
        return self.value.copy()

    def assign(self, value):
        self.value = np.float32(value)


class Trainee:
    """A model that trains by being told what came out."""

    def __init__(self):
        self.optimizer = SGD(0.8)
        self.stop_training = False
        self.weight = Number(0)
        self.saved = []

    def variables(self):
        return {"weight": self.weight}

    def save(self, path):
        self.saved.append(path)


def train(callback, losses, *, epochs=None, name="val_loss"):
    """Epoch i ends with losses[i] and weight i; gives the model and the number of epochs."""
    model = Trainee()
    callback.model, callback.run = model, Run(epochs or len(losses), 4)
    callback.on_train_begin()
    done = 0
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        model.weight.assign(epoch)
        callback.on_window(epoch, 2, {"loss": loss})
        callback.on_epoch_end(epoch, {"loss": loss, name: loss})
        done += 1
        if model.stop_training:
            break
    callback.on_train_end()
    return model, done


def test_history_keeps_everything():
    history = callbacks.History()
    train(history, [3.0, 2.0])
    assert history.history == {"loss": [3.0, 2.0], "val_loss": [3.0, 2.0]}
    assert history.epochs == [0, 1]
    assert len(history.seconds) == 2


def test_history_draws_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    history = callbacks.History()
    train(history, [3.0, 2.0])
    history.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_a_bar_on_a_terminal_or_a_line_an_epoch():
    bar, lines, file = Terminal(), Terminal(), io.StringIO()
    train(callbacks.ProgressBar(verbose=1, file=bar), [3.0, 2.0])
    train(callbacks.ProgressBar(verbose=2, file=lines), [3.0, 2.0])
    train(callbacks.ProgressBar(verbose=1, file=file), [3.0, 2.0])
    assert "\repoch 1/2 [##########          ] loss 3.0000" in bar.getvalue()
    assert lines.getvalue().count("\n") == file.getvalue().count("\n") == 2
    assert "\r" not in lines.getvalue() + file.getvalue()
    assert "epoch 2/2 0.00 s loss 2.0000  val_loss 2.0000" in lines.getvalue()


def test_early_stopping_waits_and_restores():
    losses = [5.0, 3.0, 4.0, 3.5, 3.0, 2.0]
    model, done = train(callbacks.EarlyStopping(patience=3, restore_best_weights=True), losses)
    assert done == 5
    assert model.weight.value == 1
    model, done = train(callbacks.EarlyStopping(patience=4), losses)
    assert done == 6
    assert model.weight.value == 5


def test_early_stopping_by_what_shall_rise_and_by_how_much():
    stop = callbacks.EarlyStopping("accuracy", patience=1)
    assert train(stop, [0.5, 0.6, 0.6, 0.9], name="accuracy")[1] == 3
    assert stop.best == 0.6
    assert train(callbacks.EarlyStopping(patience=1, min_delta=0.5), [3.0, 2.8, 1.0])[1] == 2
    assert train(callbacks.EarlyStopping(patience=1, mode="max"), [3.0, 4.0, 1.0, 5.0])[1] == 3


def test_checkpoints_of_the_best_and_of_each():
    model, _ = train(callbacks.ModelCheckpoint("best", save_best_only=True), [3.0, 4.0, 2.0])
    assert model.saved == ["best", "best"]
    model, _ = train(callbacks.ModelCheckpoint("net-{epoch}-{val_loss:.1f}"), [3.0, 4.0])
    assert model.saved == ["net-1-3.0", "net-2-4.0"]
    keep = callbacks.ModelCheckpoint("net", save_best_only=True, interrupt_path="stopped")
    keep.model = Trainee()
    keep.on_interrupt()
    assert keep.model.saved == ["stopped"]


def test_rates_by_epoch():
    model, _ = train(callbacks.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1)), [1.0, 1.0])
    assert model.optimizer.learning_rate == 0.4


def test_rates_by_schedule(device):
    scheduler = callbacks.LearningRateScheduler(schedules.StepDecay(0.8, every=1))
    scheduler.model = Trainee()
    scheduler.model.device = device
    scheduler.on_epoch_begin(2)
    assert scheduler.model.optimizer.learning_rate == pytest.approx(0.2)


def test_rates_fall_on_a_plateau():
    model, _ = train(callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.3), [3.0] * 4)
    assert model.optimizer.learning_rate == 0.4
    model, _ = train(callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.3), [3.0] * 9)
    assert model.optimizer.learning_rate == 0.3


def test_nielsens_halving_ends_at_a_128th():
    model, epochs = train(callbacks.HalveOnPlateau("val_loss", patience=2), [3.0] * 40)
    assert model.optimizer.learning_rate == 0.8 / 64
    assert epochs == 1 + 2 * 7
    with pytest.raises(ArgumentError, match="lowest is 2"):
        callbacks.HalveOnPlateau(lowest=2)


def test_refusals():
    with pytest.raises(ArgumentError, match="EarlyStopping: monitors 'val_accuracy', training has loss, val_loss"):
        train(callbacks.EarlyStopping("val_accuracy"), [1.0])
    with pytest.raises(ArgumentError, match="mode is 'best'"):
        callbacks.EarlyStopping(mode="best")
    with pytest.raises(ArgumentError, match="factor is 2"):
        callbacks.ReduceLROnPlateau(factor=2)
    plateau = callbacks.ReduceLROnPlateau(patience=1)
    plateau.model = Trainee()
    plateau.model.optimizer = SGD(schedules.Constant(0.1))
    plateau.on_train_begin()
    plateau.on_epoch_end(0, {"val_loss": 1.0})
    with pytest.raises(ArgumentError, match="has a schedule already"):
        plateau.on_epoch_end(1, {"val_loss": 1.0})
