"""Several batches to a step, and running means of weights: what they compute, in training, saved and resumed."""

import numpy as np
import pytest
from networks import problem, same, small, weights

from clnet import Model, callbacks, optim, schedules
from clnet.errors import ArgumentError

MAKERS = {
    "Adam": lambda **more: optim.Adam(0.01, l2=0.1, clip_norm=0.5, **more),
    "LAMB": lambda **more: optim.LAMB(0.01, weight_decay=0.01, **more),
    "SGD on a schedule": lambda **more: optim.SGD(schedules.ExponentialDecay(0.5, every=3), momentum=0.9, **more),
}


def everything(model):
    return weights(model) | {path: each.numpy() for path, each in model.optimizer.variables().items()}


@pytest.mark.parametrize("name", MAKERS)
def test_four_batches_give_the_step_of_one_large(device, name):
    x, y = problem(samples=64)
    large, parts = (small(device, optimizer=MAKERS[name](accumulate=n)) for n in (1, 4))
    large.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0)
    parts.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    for path, value in weights(large).items():
        np.testing.assert_allclose(weights(parts)[path], value, rtol=1e-4, atol=2e-5)


def test_nothing_moves_before_the_last_batch(device):
    x, y = problem(samples=24)
    model = small(device, optimizer=optim.Adam(0.01, accumulate=4, average=optim.EMA(0.5)))
    model.net.build((None, 6), device=device)
    before = weights(model)
    model.fit(x, y, batch_size=8, verbose=0)
    same(before, weights(model))
    model.fit(x[:8], y[:8], batch_size=8, verbose=0)
    assert (weights(model)["0/weight"] != before["0/weight"]).any()
    same(weights(model), {**weights(model), **{p: v.numpy() for p, v in model.optimizer.averages().items()}})


class Remember(callbacks.Callback):
    """The weights after each epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, epoch, logs):
        self.seen.append({path: value.astype(float) for path, value in weights(self.model).items()})


def ema(seen):
    mean = seen[0]
    for each in seen[1:]:
        mean = {path: 0.8 * mean[path] + 0.2 * each[path] for path in mean}
    return mean


def swa(seen):
    chosen = seen[2::3]
    return {path: np.mean([each[path] for each in chosen], axis=0) for path in seen[0]}


@pytest.mark.parametrize(("average", "formula"), [(optim.EMA(0.8), ema), (optim.SWA(2, every=3), swa)])
def test_means_of_weights(device, tmp_path, average, formula):
    x, y = problem()
    model = small(device, optimizer=optim.Adam(0.05, average=average))
    remember = Remember()
    model.fit(x, y, epochs=10, batch_size=70, verbose=0, callbacks=[remember])
    raw, loss = weights(model), model.evaluate(x, y)["loss"]
    wanted = formula(remember.seen)
    with model.averaged() as other:
        assert other is model
        for path, value in wanted.items():
            np.testing.assert_allclose(weights(model)[path], value, rtol=1e-4, atol=1e-5)
        mean_loss, mean_outputs = model.evaluate(x, y)["loss"], model.predict(x)
        model.save(tmp_path / "mean")
    same(weights(model), raw)
    assert model.evaluate(x, y)["loss"] == loss != mean_loss
    np.testing.assert_array_equal(Model.load(tmp_path / "mean", device=device).predict(x), mean_outputs)


def test_stopped_and_resumed(device, tmp_path):
    """In the middle of a step, which has 3 of its 4 batches."""
    x, y = problem()

    def model():
        make = optim.Nadam(0.01, accumulate=4, average=optim.SWA(1, every=2))
        return small(device, optimizer=make, dropout=0.3, seed=5)

    never, stopped = model(), model()
    never.fit(x, y, epochs=4, batch_size=25, verbose=0)
    stopped.fit(x, y, epochs=1, batch_size=25, verbose=0)
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=device)
    assert resumed.optimizer.average == optim.SWA(1, every=2)
    resumed.fit(x, y, epochs=4, initial_epoch=1, batch_size=25, verbose=0)
    same(everything(never), everything(resumed))


@pytest.mark.parametrize("make", [optim.Adadelta, optim.Adamax, optim.Nadam, optim.Lion, optim.LAMB])
def test_every_optimizer_goes_on_with_the_same_bits(device, tmp_path, make):
    x, y = problem()
    never, stopped = small(device, optimizer=make(0.01)), small(device, optimizer=make(0.01))
    never.fit(x, y, epochs=3, batch_size=32, verbose=0)
    stopped.fit(x, y, epochs=2, batch_size=32, verbose=0)
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=device)
    resumed.fit(x, y, epochs=3, initial_epoch=2, batch_size=32, verbose=0)
    same(everything(never), everything(resumed))


def test_refusals(device):
    with pytest.raises(ArgumentError, match="accumulate is 0"):
        optim.SGD(0.1, accumulate=0)
    with pytest.raises(ArgumentError, match="decay is 1"):
        optim.EMA(1)
    with pytest.raises(ArgumentError, match="every is 0"):
        optim.SWA(every=0)
    with pytest.raises(ArgumentError, match="keeps no means"), small(device).averaged():
        pass
