"""Model: it learns, its arithmetic is NumPy's, and bad input is refused before anything runs."""

import functools

import numpy as np
import pytest
from networks import problem, same, small, weights

import clnet
from clnet import Model, callbacks, losses, nn, ops, optim
from clnet.data import load
from clnet.errors import ArgumentError, ClnetError, DataError, DivergenceError, DTypeError, ShapeError


def test_it_learns_digits(device):
    digits = load("digits")
    net = nn.Sequential(nn.Flatten(), nn.Dense(64, activation="relu"), nn.Dense(10))
    model = Model(net, "softmax_cross_entropy", optim.Adam(2e-3), ["accuracy"], device=device)
    history = model.fit(*digits.train, epochs=15, batch_size=16, validation_data=digits.test, verbose=0)
    assert history.history["accuracy"][-1] >= 0.98
    assert history.history["val_accuracy"][-1] >= 0.96
    assert history is model.history
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    judged = model.evaluate(*digits.test)
    assert judged == {"loss": history.history["val_loss"][-1], "accuracy": history.history["val_accuracy"][-1]}
    right = np.argmax(model.predict(digits.x_test), axis=1) == digits.y_test
    assert right.mean() == pytest.approx(judged["accuracy"])


class Reference:
    """z = x w + b trained by SGD on softmax cross-entropy, in float64."""

    def __init__(self, model):
        self.w, self.b = (variable.numpy().astype(np.float64) for variable in model.variables().values())

    def losses(self, x, y):
        z = x @ self.w + self.b
        self.p = np.exp(z - z.max(1, keepdims=True))
        self.p /= self.p.sum(1, keepdims=True)
        return -np.log(self.p[np.arange(len(y)), y])

    def step(self, x, y, weights, rate):
        total = (self.losses(x, y) * weights).sum()
        dz = (self.p - np.eye(self.p.shape[1])[y]) * weights[:, None] / len(y)
        self.w -= rate * x.T @ dz
        self.b -= rate * dz.sum(0)
        return total


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_every_sample_counts_once_the_ragged_batch_too(device, weighted):
    x, y = problem(samples=37)
    factors = np.random.default_rng(1).uniform(0, 3, 37) if weighted else np.ones(37)
    model = Model(nn.Dense(3), "softmax_cross_entropy", optim.SGD(0.5), ["accuracy"], device=device)
    model.net.build((None, 6), device=device)
    reference = Reference(model)
    options = {"sample_weight": factors} if weighted else {}
    history = model.fit(x, y, epochs=2, batch_size=10, shuffle=False, verbose=0, **options)
    for epoch in range(2):
        total = sum(reference.step(x[i : i + 10], y[i : i + 10], factors[i : i + 10], 0.5) for i in range(0, 37, 10))
        assert history.history["loss"][epoch] == pytest.approx(total / 37, rel=1e-5)
    np.testing.assert_allclose(model.net.weight.numpy(), reference.w, rtol=1e-4, atol=1e-6)
    judged = model.evaluate(x, y, batch_size=16, **options)
    assert judged["loss"] == pytest.approx((reference.losses(x, y) * factors).mean(), rel=1e-5)
    assert judged["accuracy"] == pytest.approx((reference.p.argmax(1) == y).mean())


def test_the_order_of_every_epoch_is_a_permutation_of_its_own(device):
    model = small(device)
    orders = [model._intake.order(50).shuffle(epoch).numpy().tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert small(device)._intake.order(50).shuffle(1).numpy().tolist() == orders[1]
    assert small(device, seed=1)._intake.order(50).shuffle(1).numpy().tolist() != orders[1]


def test_same_seed_same_bits(device):
    x, y = problem()

    def trained(seed):
        model = small(device, seed=seed, dropout=0.3)
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        return weights(model)

    one = trained(3)
    same(one, trained(3))
    assert (one["0/weight"] != trained(4)["0/weight"]).any()


def test_data_may_lie_on_the_device_already(device):
    x, y = problem()
    there, here = small(device), small(device)
    here.fit(x, y, epochs=2, batch_size=16, verbose=0)
    there.fit(clnet.tensor(x, device=device), clnet.tensor(y, device=device), epochs=2, batch_size=16, verbose=0)
    same(weights(here), weights(there))
    np.testing.assert_array_equal(here.predict(x), there.predict(clnet.tensor(x, device=device)))


def test_nothing_is_allocated_after_the_first_epoch(device):
    x, y = (clnet.tensor(array, device=device) for array in problem())
    model = small(device, dropout=0.3, metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, validation_data=(x, y))
    before = device.allocations
    model.fit(x, y, epochs=3, batch_size=16, verbose=0, validation_data=(x, y))
    assert device.allocations == before


def test_data_of_sizes_that_take_turns_makes_a_plan_for_each_size_once(device):
    x, y = problem()
    model = small(device)
    counts = []
    for samples in (64, 32, 64, 32):
        model.fit(x[:samples], y[:samples], batch_size=16, verbose=0)
        counts.append(sum(len(compiled._plans) for compiled in model._steps._train.values()))
    assert counts == [1, 2, 2, 2]


def test_pictures_of_bytes_are_cast_and_not_scaled(device):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 3
    nets = [Model(nn.Sequential(nn.Flatten(), nn.Dense(3)), "softmax_cross_entropy", device=device) for _ in range(2)]
    for model, x in zip(nets, (pixels, pixels.astype(np.float64)), strict=True):
        model.fit(x, labels, epochs=1, batch_size=8, verbose=0)
    same(weights(nets[0]), weights(nets[1]))
    np.testing.assert_array_equal(nets[0].predict(pixels), nets[1].predict(pixels.astype(np.float32)))


class TwoByTwo(nn.Layer):
    """Two inputs and two outputs."""

    def __init__(self):
        self.left, self.right, self.classes, self.value = nn.Dense(4), nn.Dense(4), nn.Dense(3), nn.Dense(1)

    def call(self, a, b, *, training=False):
        both = ops.tanh(self.left(a) + self.right(b))
        return {"kind": self.classes(both), "size": self.value(both)}


def test_several_inputs_and_outputs(device):
    x, y = problem(samples=40)
    inputs = {"a": x[:, :2], "b": x[:, 2:]}
    targets = {"kind": y, "size": x[:, :1]}
    model = Model(
        TwoByTwo(),
        loss={"kind": "softmax_cross_entropy", "size": "mean_squared_error"},
        metrics={"kind": ["accuracy"], "size": ["mean_absolute_error"]},
        optimizer=optim.Adam(0.02),
        device=device,
    )
    history = model.fit(inputs, targets, epochs=20, batch_size=16, verbose=0)
    assert list(history.history) == ["loss", "kind_accuracy", "size_mean_absolute_error"]
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    outputs = model.predict(inputs)
    assert outputs["kind"].shape == (40, 3)
    by_place = model.predict((x[:, :2], x[:, 2:]))
    np.testing.assert_array_equal(outputs["size"], by_place["size"])
    with pytest.raises(ShapeError, match=r"targets: got those of \['kind'\], the network's outputs are"):
        model.fit(inputs, {"kind": y}, verbose=0)


@pytest.mark.parametrize("samples", [1, 5, 16, 37])
def test_predictions_of_any_number_of_samples(device, samples):
    x, _ = problem(samples=37)
    model = small(device)
    every = model.predict(x, batch_size=64)
    assert every.shape == (37, 3)
    np.testing.assert_allclose(model.predict(x[:samples], batch_size=16), every[:samples], rtol=1e-5, atol=1e-6)


def test_losses_and_metrics_of_the_users_own(device):
    x, y = problem()

    def absolute(predictions, targets):
        return ops.mean(ops.abs(predictions - ops.one_hot(targets, 3)))

    def confidence(predictions, targets):
        return ops.max(predictions, axis=-1)

    model = small(device, loss=absolute, metrics=[confidence])
    history = model.fit(x, y, epochs=1, verbose=0)
    assert list(history.history) == ["loss", "confidence"]
    assert model.evaluate(x, y)["confidence"] == pytest.approx(model.predict(x).max(1).mean(), rel=1e-5)
    configured = functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1)
    assert small(device, loss=configured).evaluate(x, y)["loss"] > 0


def test_accuracy_of_one_output_before_its_sigmoid(device):
    x, y = problem(classes=2)
    model = Model(nn.Dense(1), "sigmoid_cross_entropy", metrics=["accuracy"], device=device)
    judged = model.evaluate(x, y[:, None])
    assert judged["accuracy"] == pytest.approx(((model.predict(x)[:, 0] > 0) == (y == 1)).mean())


def test_nielsens_networks_can_be_said(device):
    """Quadratic cost on sigmoid outputs; cross-entropy over all outputs, L2 = lambda / n, LeCun's initial weights."""
    x, y = problem()
    first = nn.Sequential(*(nn.Dense(n, activation="sigmoid", weight_initializer="normal") for n in (5, 3)))
    Model(first, "quadratic", optim.SGD(3.0), ["accuracy"], device=device).fit(x, y, batch_size=10, verbose=0)
    normal = {"weight_initializer": "lecun_normal", "bias_initializer": "normal"}
    second = nn.Sequential(nn.Dense(5, activation="sigmoid", **normal), nn.Dense(3, **normal))
    model = Model(second, "sigmoid_cross_entropy", optim.SGD(0.1, l2=5.0 / len(x)), ["accuracy"], device=device)
    model.fit(x, y, batch_size=10, verbose=0)


def test_a_part_that_is_frozen_stays(device):
    x, y = problem()
    model = small(device)
    model.net.build((None, 6), device=device)
    model.net.layers[0].trainable = False
    before = weights(model)
    model.fit(x, y, verbose=0)
    after = weights(model)
    np.testing.assert_array_equal(before["0/weight"], after["0/weight"])
    assert (before["2/weight"] != after["2/weight"]).any()
    model.net.layers[0].trainable = True
    model.fit(x, y, verbose=0)
    assert (after["0/weight"] != weights(model)["0/weight"]).any()
    model.net.trainable = False
    with pytest.raises(ArgumentError, match="nothing to train"):
        Model(model.net, "softmax_cross_entropy", device=device).fit(x, y, verbose=0)


def test_a_rate_that_changes_while_training(device):
    x, y = problem()
    model = small(device, optimizer=optim.SGD(0.5))
    model.fit(x, y, verbose=0)
    before = weights(model)
    model.optimizer.learning_rate = 0.0
    model.fit(x, y, verbose=0)
    same(before, weights(model))


def test_summary(device):
    model = small(device)
    assert "not built" in model.summary()
    model.net.build((None, 6), device=device)
    lines = model.summary().splitlines()
    assert lines[2].split() == ["0", "Dense(8)", "(batch,", "8)", "56", "224"]
    assert lines[-1].split() == ["total", "83", "336"]


@pytest.mark.parametrize("way", ["overflow", "weights"])
def test_a_loss_that_is_no_number_stops_training(device, way, tmp_path):
    x, _ = problem()
    targets = x[:, :3] * (1e30 if way == "overflow" else 1)
    model = Model(nn.Dense(3), "mean_squared_error", optim.SGD(0.1), device=device)
    model.net.build((None, 6), device=device)
    saver = callbacks.ModelCheckpoint(tmp_path / "best", monitor="loss", save_best_only=True)
    model.fit(x, x[:, :3], epochs=2, batch_size=32, verbose=0, callbacks=[saver])
    good = (tmp_path / "best").read_bytes()
    if way == "weights":
        model.net.weight.assign(np.full((6, 3), np.nan, np.float32))
    with pytest.raises(DivergenceError, match=r"at step 7 .* in epoch 3") as caught:
        model.fit(x, targets, epochs=2, batch_size=32, verbose=0, callbacks=[saver])
    assert (caught.value.step, caught.value.epoch) == (7, 3)
    assert (tmp_path / "best").read_bytes() == good
    assert model.epoch == 2


X, Y = problem(samples=20)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X, Y + 1, DataError, r"fit: y has label 3 \(sample \d+\), the network's 3 outputs want 0 to 2"),
        (X, Y - 1, DataError, "fit: y has label -1"),
        (X, Y[:10], ShapeError, r"fit: got arrays of shapes \(20, 6\), \(10,\)"),
        (X, Y[:, None], ShapeError, r"softmax_cross_entropy: predictions have shape \(20, 3\), targets \(20, 1\)"),
        (X[:0], Y[:0], DataError, "there are no samples"),
        (X[0], Y[0], ShapeError, "got arrays of shapes"),
        (np.where(np.arange(20)[:, None] == 7, np.nan, X), Y, DataError, "fit: x: sample 7 contains NaN"),
        (X.astype(complex), Y, DTypeError, "fit: x: got dtype complex128, wants numbers"),
        (np.array(["a"] * 20), Y, DTypeError, "fit: x: got dtype <U1"),
        (X, np.full(20, 2**40), DataError, "want those of int32"),
        (X, None, ArgumentError, "fit: y is missing"),
        (3, None, ArgumentError, "fit: y is missing"),
        (((X, Y) for _ in range(2)), None, ArgumentError, "got a generator"),
        ([X, Y], None, ArgumentError, "a batch is ndarray"),
        ({"a": X}, None, ArgumentError, "fit: y is missing"),
        ([[1.0], [1.0, 2.0]], Y[:2], DataError, "fit: x: .* inhomogeneous"),
    ],
)
def test_bad_data(device, x, y, error, message):
    model = small(device)
    with pytest.raises(error, match=message):
        model.fit(x, y, verbose=0)
    assert model.epoch == 0


def test_data_of_another_shape_than_the_network_was_built_for(device):
    model = small(device)
    model.predict(X)
    with pytest.raises(ShapeError, match="Dense: input has 4 features, weights want 6"):
        model.fit(X[:, :4], Y, verbose=0)
    with pytest.raises(ShapeError, match="Dense: input has 4 features, weights want 6"):
        model.predict(X[:, :4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda device: Model("net"), "net is 'net', wants a layer"),
        (lambda device: Model(nn.Dense(3), "crossentropy", device=device), "loss: got 'crossentropy'"),
        (lambda device: Model(nn.Dense(3), "huber", metrics=["acc"], device=device), "metric: got 'acc'"),
        (lambda device: Model(nn.Dense(3), device=device).fit(X, Y, verbose=0), "Model: has no loss"),
        (lambda device: small(device).fit(X, Y, batch_size=0), "batch_size=0"),
        (lambda device: small(device).fit(X, Y, epochs=-1), "epochs=-1"),
        (lambda device: small(device).predict(X[:0]), "there are no samples"),
        (lambda device: small(device, loss=lambda p, t: p).fit(X, Y, verbose=0), r"loss <lambda>: gave \(20, 3\)"),
        (
            lambda device: small(device, loss=lambda p, t: ops.mean(p)).fit(X, Y, sample_weight=Y, verbose=0),
            "loss <lambda>: takes no weights",
        ),
        (lambda device: small(device, metrics=["accuracy"] * 2).fit(X, Y, verbose=0), "two are called 'accuracy'"),
        (lambda device: small(device, seed=-1).fit(X, Y, verbose=0), "seed is -1"),
    ],
)
def test_wrong_arguments(device, call, message):
    with pytest.raises(ClnetError, match=message):
        call(device)
