"""Feeds: resident and streamed samples give the same bits; batches come in any size."""

import numpy as np
import pytest
from networks import problem, same, small, weights

from clnet import Model
from clnet.data import Batches
from clnet.training.upload import Upload


@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_gives_the_bits_of_resident(device, monkeypatch, shuffle):
    x, y = problem()
    options = {"epochs": 2, "batch_size": 16, "shuffle": shuffle, "sample_weight": np.linspace(0, 2, 70), "verbose": 0}
    resident, streamed = small(device, metrics=["accuracy"]), small(device, metrics=["accuracy"])
    here = resident.fit(x, y, validation_data=(x, y), **options).history
    monkeypatch.setattr("clnet.training.intake.fits", lambda nest, device: False)
    there = streamed.fit(x, y, validation_data=(x, y), **options).history
    same(weights(resident), weights(streamed))
    assert here["loss"] == there["loss"]
    assert here["val_accuracy"] == there["val_accuracy"]


def test_batches_of_any_size(device):
    x, y = problem()
    model = small(device, metrics=["accuracy"])
    batches = [(x[:20], y[:20]), (x[20:60], y[20:60]), (x[60:], y[60:], np.ones(10))]
    history = model.fit(batches, epochs=2, validation_data=batches, verbose=0)
    assert len(history.history["val_loss"]) == 2
    in_batches, whole = model.evaluate(batches), model.evaluate(x, y)
    assert in_batches["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert in_batches["accuracy"] == whole["accuracy"]


def test_batches_of_an_epoch_are_asked_for_by_number(device, tmp_path):
    x, y = problem()
    never, stopped = small(device), small(device)
    never.fit(Batches(x, y, batch_size=16), epochs=3, verbose=0)
    stopped.fit(Batches(x, y, batch_size=16), epochs=1, verbose=0)
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=device)
    resumed.fit(Batches(x, y, batch_size=16), epochs=3, initial_epoch=1, verbose=0)
    same(weights(never), weights(resumed))


def test_uploads_take_two_sets_of_buffers_in_turn(device):
    upload = Upload(device)
    arrays = [np.full((4, 2), value, np.float32) for value in range(5)]
    sent = []
    for array in arrays:
        tensors = upload((array, None))
        assert tensors[1] is None
        np.testing.assert_array_equal(tensors[0].numpy(), array)
        sent.append(tensors[0].buffer)
    assert sent[0] is sent[2] is sent[4]
    assert sent[1] is sent[3]
    assert sent[0] is not sent[1]
    assert upload((np.zeros((3, 2), np.float32), None))[0].shape == (3, 2)


def test_nothing_is_allocated_while_batches_stream(device):
    x, y = problem(samples=64)
    model = small(device)
    batches = Batches(x, y, batch_size=16)
    model.fit(batches, epochs=1, verbose=0)
    before = device.allocations
    model.fit(batches, epochs=2, verbose=0)
    assert device.allocations - before <= 4  # two sets of x and y
