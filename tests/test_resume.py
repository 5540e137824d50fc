"""Model, stopped and gone on with: saved and loaded, interrupted, restored; always the same bits."""

import os
import signal
import threading

import numpy as np
import pytest
from networks import problem, same, small, weights

from clnet import Model, callbacks, checkpoint, losses, nn, ops, optim
from clnet.checkpoint import Checkpoint
from clnet.errors import ArgumentError, CheckpointError


def dropping(device):
    """A model with every kind of state: Adam's, a counter of dropout, a metric."""
    return small(device, dropout=0.3, optimizer=optim.Adam(0.01, l2=1e-3), metrics=["accuracy"], seed=5)


def everything(model):
    return weights(model) | {path: each.numpy() for path, each in model.optimizer.variables().items()}


def fit(model, epochs, **options):
    x, y = problem()
    return model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, **options)


def test_stopped_and_resumed_gives_the_bits_of_never_stopped(device, tmp_path):
    never, stopped = dropping(device), dropping(device)
    whole = fit(never, 5).history["loss"]
    first = fit(stopped, 3).history["loss"]
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=device)
    assert resumed.epoch == 3
    rest = fit(resumed, 5, initial_epoch=resumed.epoch).history["loss"]
    assert first + rest == whole
    assert resumed.epoch == never.epoch == 5
    same(everything(never), everything(resumed))


class StopAfter(callbacks.Callback):
    """Ctrl-C after so many windows of all, by a signal or by hand."""

    def __init__(self, windows, by_signal):
        self.windows, self.by_signal = windows, by_signal
        self.calls = []

    def on_window(self, epoch, step, logs):
        self.windows -= 1
        if self.windows == 0:
            if not self.by_signal:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    def on_interrupt(self):
        self.calls.append("interrupt")

    def on_train_end(self):
        self.calls.append("end")


@pytest.mark.parametrize("by_signal", [True, False], ids=["signal", "raise"])
def test_interrupted_in_an_epoch_and_resumed(device, tmp_path, by_signal, monkeypatch):
    monkeypatch.setattr("clnet.training.pace.WINDOW", 0.0)  # a step a window
    never, stopped = dropping(device), dropping(device)
    whole = fit(never, 3).history
    stop = StopAfter(7, by_signal)  # in the second epoch of five steps
    saver = callbacks.ModelCheckpoint(tmp_path / "net", interrupt_path=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 3, callbacks=[stop, saver])
    assert stop.calls == ["interrupt", "end"]
    assert stopped.epoch == 1
    assert stopped.history.history["loss"] == whole["loss"][:1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    loaded = Model.load(tmp_path / "stopped", device=device)
    for model in (stopped, loaded):
        rest = fit(model, 3, initial_epoch=1).history
        assert rest == {name: values[1:] for name, values in whole.items()}
        same(everything(never), everything(model))


def test_interrupted_after_the_last_step_of_an_epoch(device, monkeypatch):
    monkeypatch.setattr("clnet.training.pace.WINDOW", 0.0)
    never, stopped = dropping(device), dropping(device)
    whole = fit(never, 2).history
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 2, callbacks=[StopAfter(5, True)])
    assert stopped.epoch == 0
    assert fit(stopped, 2).history == whole
    same(everything(never), everything(stopped))


def test_interrupted_at_the_very_end(device):
    class Late(StopAfter):
        def on_epoch_end(self, epoch, logs):
            os.kill(os.getpid(), signal.SIGINT)

    model, late = dropping(device), Late(0, True)
    with pytest.raises(KeyboardInterrupt):
        fit(model, 1, callbacks=[late])
    assert late.calls == ["interrupt", "end"]
    assert model.epoch == 1


def test_training_works_beside_the_main_thread(device):
    model, other = dropping(device), dropping(device)
    thread = threading.Thread(target=fit, args=(model, 2))
    thread.start()
    thread.join()
    fit(other, 2)
    same(weights(model), weights(other))


def test_a_loaded_model_is_the_saved_one(device, tmp_path):
    x, y = problem()
    model = small(device, metrics=["accuracy"], optimizer=optim.SGD(0.5, momentum=0.9))
    fit(model, 1)
    model.optimizer.learning_rate = 0.125
    model.save(tmp_path / "net")
    loaded = Model.load(tmp_path / "net", device=device)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.evaluate(x, y) == model.evaluate(x, y)
    assert (loaded.seed, loaded.epoch, loaded.loss) == (model.seed, 1, "softmax_cross_entropy")
    assert loaded.optimizer.learning_rate == 0.125
    assert loaded.optimizer.momentum == 0.9
    same(everything(model), everything(loaded))


def test_frozen_parts_stay_frozen_and_keep_the_optimizers_state(device, tmp_path):
    x, y = problem()
    model = small(device, optimizer=optim.Adam(0.01))
    fit(model, 1)
    model.net.layers[0].trainable = False
    fit(model, 1)
    model.save(tmp_path / "net")
    loaded = Model.load(tmp_path / "net", device=device)
    assert list(loaded.net.trainable_variables()) == ["2/weight", "2/bias"]
    for each in (model, loaded):
        each.fit(x, y, verbose=0)
        each.net.layers[0].trainable = True
        each.fit(x, y, verbose=0)
    same(everything(model), everything(loaded))


def test_a_model_that_was_never_trained_has_no_optimizer_state(device, tmp_path):
    model = small(device)
    model.predict(problem()[0])
    model.save(tmp_path / "net")
    assert not checkpoint.read(tmp_path / "net").below("optimizer")
    assert fit(Model.load(tmp_path / "net", device=device), 1).history == fit(model, 1).history


def test_a_model_may_move_between_devices(devices_found, tmp_path):
    x, _ = problem()
    model = small(devices_found[0])
    model.predict(x)
    model.save(tmp_path / "net")
    for device in devices_found[1:]:
        np.testing.assert_allclose(Model.load(tmp_path / "net", device=device).predict(x), model.predict(x), rtol=1e-4)


@pytest.fixture
def devices_found():
    import clnet

    found = clnet.devices()
    if len(found) < 2:
        pytest.skip("there is one device")
    return found


class Own(nn.Layer):
    def __init__(self):
        self.out = nn.Dense(3)

    def call(self, x, *, training=False):
        return self.out(ops.tanh(x))


def test_networks_and_losses_of_the_users_own(device, tmp_path):
    x, y = problem()

    def own_loss(predictions, targets, *, weights=None):
        return losses.softmax_cross_entropy(predictions, targets, weights=weights)

    model = Model(Own(), own_loss, metrics=["accuracy"], device=device)
    fit(model, 1)
    model.save(tmp_path / "net")
    with pytest.raises(CheckpointError, match=r"cannot make its net \(.*Own is not clnet's\); give Model.load"):
        Model.load(tmp_path / "net", device=device)
    loaded = Model.load(tmp_path / "net", Own(), device=device)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    with pytest.raises(ArgumentError, match="has no loss"):
        loaded.fit(x, y, verbose=0)
    whole = Model.load(tmp_path / "net", Own(), loss=own_loss, metrics=["accuracy"], device=device)
    assert whole.evaluate(x, y) == model.evaluate(x, y)
    afresh = Model.load(tmp_path / "net", Own(), loss=own_loss, optimizer=optim.SGD(0.1), device=device)
    assert isinstance(afresh.optimizer, optim.SGD)


def test_a_file_of_another_network(device, tmp_path):
    model = small(device)
    model.predict(problem()[0])
    model.save(tmp_path / "net")
    with pytest.raises(CheckpointError, match=r"lacks \['1/bias', '1/weight'\], has \['1/counter', '2/bias'"):
        Model.load(tmp_path / "net", nn.Sequential(nn.Dense(8), nn.Dense(3)), device=device)
    with pytest.raises(CheckpointError, match=r"0/weight has shape \(6, 8\) of float32, wants \(6, 9\) of float32"):
        Model.load(tmp_path / "net", nn.Sequential(nn.Dense(9), nn.Dropout(0), nn.Dense(3)), device=device)


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.pop("epoch"),
        lambda settings: settings.update(seed="x"),
        lambda settings: settings.update(signature=3),
        lambda settings: settings.update(net={"make": "os.system", "with": {}}),
        lambda settings: settings.update(optimizer={"make": "optim.SGD", "with": {"learning_rate": -1}}),
    ],
)
def test_damaged_metadata(device, tmp_path, change):
    model = small(device)
    model.predict(problem()[0])
    model.save(tmp_path / "net")
    file = checkpoint.read(tmp_path / "net")
    change(file.settings)
    checkpoint.write(tmp_path / "net", Checkpoint(file.arrays, file.settings), version="0")
    with pytest.raises(CheckpointError):
        Model.load(tmp_path / "net", device=device)


def test_nothing_to_save(device, tmp_path):
    with pytest.raises(ArgumentError, match="no variables yet"):
        small(device).save(tmp_path / "net")


def test_the_best_weights_come_back(device):
    x, y = problem()
    model = small(device, optimizer=optim.SGD(0.5))
    seen = []

    class Remember(callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append((logs["val_loss"], weights(model)))

    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model.fit(x, y, epochs=6, validation_data=(x[:9], (y[:9] + 1) % 3), verbose=0, callbacks=[Remember(), stop])
    assert len(seen) < 6
    same(weights(model), min(seen, key=lambda pair: pair[0])[1])
