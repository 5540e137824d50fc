"""Ensemble: networks that train together are those that train alone; votes; grids; folds."""

import numpy as np
import pytest
from networks import problem, same, weights

import clnet
from clnet import nn, optim
from clnet.ensemble import vote
from clnet.errors import ArgumentError, DivergenceError, ShapeError

SEEDS = (5, 0, 2**40)


def net(dropout=0.3):
    return nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dropout(dropout), nn.Dense(3))


def ensemble(device, optimizer=None, **options):
    options = options if options.keys() & {"copies", "seeds", "hyperparameters"} else {"seeds": SEEDS, **options}
    optimizer = optimizer or optim.Adam(learning_rate=0.02)
    return clnet.Ensemble(net(), "softmax_cross_entropy", optimizer, ["accuracy"], device=device, **options)


def alone(device, seed=0, optimizer=None):
    optimizer = optimizer or optim.Adam(learning_rate=0.02)
    return clnet.Model(net(), "softmax_cross_entropy", optimizer, ["accuracy"], device=device, seed=seed)


def of(many, number):
    return {path: values[number] for path, values in weights(many).items()}


def test_each_network_has_the_bits_that_it_has_alone(device):
    x, y = problem()
    together = ensemble(device)
    history = together.fit(x, y, epochs=3, batch_size=16, validation_data=(x[:9], y[:9]), verbose=0).history
    judged, each = together.evaluate(x, y), together.predict(x, how="each")
    for number, seed in enumerate(SEEDS):
        one = alone(device, seed)
        own = one.fit(x, y, epochs=3, batch_size=16, validation_data=(x[:9], y[:9]), verbose=0).history
        same(of(together, number), weights(one))
        assert {name: [float(v[number]) for v in values] for name, values in history.items()} == own
        assert {name: float(values[number]) for name, values in judged.items()} == one.evaluate(x, y)
        np.testing.assert_array_equal(each[number], one.predict(x))


def test_hyperparameters_are_each_networks_own(device):
    x, y = problem()
    numbers = {"learning_rate": [0.1, 0.5], "l2": [0.0, 0.1], "l1": [0.01, 0.0], "weight_decay": [0.02, 0.0]}
    together = ensemble(device, optim.SGD(momentum=0.5), seeds=[1, 1], hyperparameters=numbers)
    together.fit(x, y, epochs=2, verbose=0)
    for number in range(2):
        own = {name: values[number] for name, values in numbers.items()}
        one = alone(device, 1, optim.SGD(momentum=0.5, **own))
        one.fit(x, y, epochs=2, verbose=0)
        for path, value in weights(one).items():
            np.testing.assert_allclose(of(together, number)[path], value, rtol=2e-6, atol=1e-7)


def test_a_network_leaves_and_goes_on_as_if_it_had_always_been_alone(device):
    x, y = problem()
    together = ensemble(device, hyperparameters={"learning_rate": [0.01, 0.02, 0.04]}, seeds=SEEDS)
    together.fit(x, y, epochs=2, verbose=0)
    one = alone(device, SEEDS[2], optim.Adam(learning_rate=0.04))
    one.fit(x, y, epochs=2, verbose=0)
    left = together.network(2)
    assert left.optimizer.learning_rate == 0.04
    for model in (left, one):
        model.fit(x, y, epochs=1, verbose=0)
    same(weights(left), weights(one))
    assert together.network(0).epoch == 2


def test_saved_and_loaded_it_goes_on_with_the_same_bits(device, tmp_path):
    x, y = problem()
    together = ensemble(device, optim.SGD(momentum=0.9), copies=2, hyperparameters={"learning_rate": [0.1, 0.2]})
    together.fit(x, y, epochs=2, verbose=0)
    together.save(tmp_path / "many.safetensors")
    again = clnet.Ensemble.load(tmp_path / "many.safetensors", device=device)
    assert again.hyperparameters == together.hyperparameters
    for each in (together, again):
        each.fit(x, y, epochs=2, verbose=0)
    same(weights(together), weights(again))


def test_callbacks_take_means_and_no_epoch_after_the_first_allocates(device, tmp_path):
    asked = []

    class Count(clnet.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            asked.append(device.allocations)

    x, y = problem()
    saved = clnet.callbacks.ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.3f}.safetensors")
    stop = clnet.callbacks.EarlyStopping(patience=9, restore_best_weights=True)
    together = ensemble(device)
    history = together.fit(x, y, epochs=3, validation_split=0.2, callbacks=[Count(), saved, stop], verbose=0)
    assert len(set(asked)) == 1
    name = f"3-{np.mean(history.history['val_loss'][-1]):.3f}.safetensors"
    same(weights(clnet.Ensemble.load(tmp_path / name, device=device)), weights(together))


def test_votes():
    each = np.array([[[3, 0, 1.0], [0, 9, 0]], [[1, 0, 0], [1, 0, 0]], [[0, 2, 0], [2, 0, 1]], [[0, 4, 0], [0, 0, 1]]])
    assert vote(each).tolist() == [1, 0]  # 2 to 2, and 1 has the larger mean; 2 to 1 to 1
    with pytest.raises(ShapeError, match=r"outputs have shape \(7, 1\), a vote wants"):
        vote(np.zeros((3, 7, 1)))


def test_predictions_are_votes_or_means(device):
    x, y = problem()
    together = ensemble(device)
    together.fit(x, y, epochs=4, verbose=0)
    each = together.predict(x, how="each")
    assert each.shape == (3, 70, 3)
    np.testing.assert_allclose(together.predict(x), each.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(together.predict(x, how="vote", batch_size=16), vote(each))
    np.testing.assert_array_equal(together.predict(x[:1], how="vote"), vote(each)[:1])


def test_networks_see_their_own_rows(device):
    x, y = problem()
    rows = np.stack([np.random.default_rng(i).permutation(70)[:40] for i in range(3)])
    together = ensemble(device)
    together.fit(x, y, epochs=2, rows=rows, verbose=0)
    judged = together.evaluate(x, y, rows=rows[:, :11])
    for number, seed in enumerate(SEEDS):
        one = alone(device, seed)
        one.fit(x[rows[number]], y[rows[number]], epochs=2, verbose=0)
        same(of(together, number), weights(one))
        found = one.evaluate(x[rows[number, :11]], y[rows[number, :11]])
        assert {name: float(values[number]) for name, values in judged.items()} == found


def test_networks_learn_from_one_stream_of_batches(device):
    x, y = problem()
    together = ensemble(device)
    together.fit(clnet.data.Batches(x, y, batch_size=16), epochs=2, verbose=0)
    one = alone(device, SEEDS[1])
    one.fit(clnet.data.Batches(x, y, batch_size=16), epochs=2, verbose=0)
    same(of(together, 1), weights(one))


def test_one_network_that_diverges_does_not_stop_the_others(device):
    x, y = problem()
    rates = {"learning_rate": [0.1, 1e20]}
    together = ensemble(device, optim.SGD(l2=0.1), hyperparameters=rates)
    losses = together.fit(x, y, epochs=3, verbose=0).history["loss"][-1]
    assert np.isfinite(losses[0])
    assert not np.isfinite(losses[1])
    with pytest.raises(DivergenceError):
        ensemble(device, optim.SGD(learning_rate=1e20, l2=0.1), copies=2).fit(x, y, epochs=3, verbose=0)


def test_a_grid_is_searched_at_once(device):
    x, y = problem()
    grid = {"learning_rate": [0.001, 0.1], "l2": [0.0, 0.01, 0.1]}
    found = clnet.grid_search(
        net(0), x, y, grid=grid, loss="softmax_cross_entropy", optimizer=optim.SGD(), metrics=["accuracy"],
        device=device, epochs=5, validation_split=0.2,
    )  # fmt: skip
    assert found.settings[1] == {"learning_rate": 0.001, "l2": 0.01}
    assert found.results["val_loss"].shape == (6,)
    first = found.ranked("val_loss")[0]
    assert found.results["val_loss"].min() == found.results["val_loss"][first]
    assert found.best().optimizer.learning_rate == found.settings[first]["learning_rate"] == 0.1
    assert len(found.table("val_accuracy").splitlines()) == 6
    with pytest.raises(ArgumentError, match="has no 'val_f1'"):
        found.ranked("val_f1")


def test_cross_validation_is_that_of_models_trained_one_by_one(device):
    x, y = problem()
    found = clnet.cross_validate(
        net(), x, y, folds=3, seed=4, loss="softmax_cross_entropy", metrics=["accuracy"], device=device, epochs=2
    )
    order = np.random.default_rng(4).permutation(70)
    for fold in range(3):
        held = order[fold * 23 : (fold + 1) * 23]
        rest = np.concatenate([order[: fold * 23], order[(fold + 1) * 23 :]])
        one = clnet.Model(net(), "softmax_cross_entropy", metrics=["accuracy"], device=device, seed=4)
        one.fit(x[rest], y[rest], epochs=2, verbose=0)
        assert {name: float(values[fold]) for name, values in found.items()} == one.evaluate(x[held], y[held])


def test_bad_input(device):
    x, y = problem()
    with pytest.raises(ArgumentError, match="copies=3 and 2 of seeds; wants one number"):
        ensemble(device, copies=3, seeds=[0, 1])
    with pytest.raises(ArgumentError, match="copies=None and nothing else"):
        clnet.Ensemble(net(), "softmax_cross_entropy", device=device)
    with pytest.raises(ArgumentError, match=r"Adam: got \[0\.1\] as beta_1; wants numbers of 0 or more"):
        ensemble(device, hyperparameters={"beta_1": [0.1]})
    built = net()
    built.build((None, 6), device=device)
    with pytest.raises(ArgumentError, match="Sequential has variables already"):
        clnet.Ensemble(built, copies=2, device=device)
    with pytest.raises(ShapeError, match=r"rows have shape \(2, 1\), want \(3, n\)"):
        ensemble(device).fit(x, y, rows=[[1], [2]])
    with pytest.raises(ArgumentError, match="how is 'median'"):
        ensemble(device).predict(x, how="median")
    with pytest.raises(ArgumentError, match="folds=1 of 70 samples"):
        clnet.cross_validate(net(), x, y, folds=1, loss="softmax_cross_entropy", device=device)
    with pytest.raises(ArgumentError, match=r"grid is \{\}"):
        clnet.grid_search(net(), x, y, grid={}, loss="softmax_cross_entropy", device=device)
