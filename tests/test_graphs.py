"""Networks that are no chain: branches, several inputs and outputs, shared and frozen layers, layers of one's own."""

import numpy as np
import pytest
from networks import problem, same, weights

import clnet
from clnet import Model, losses, nn, ops, optim
from clnet.errors import ArgumentError, CheckpointError, ShapeError


def parts(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rows, 3)).astype(np.float32), rng.normal(size=(rows, 5)).astype(np.float32)
    return a, b, (a[:, :1] * b[:, :1]).astype(np.float32)


def towers():
    return nn.Sequential(nn.Parallel(nn.Dense(4, activation="tanh"), nn.Dense(6)), nn.Dense(1))


def test_branches_of_one_input(device):
    x = clnet.tensor(problem()[0], device=device)
    left, right = nn.Dense(3), nn.Dense(3, activation="relu")
    joined = nn.Parallel(left, right)(x).numpy()
    np.testing.assert_array_equal(joined, np.concatenate([left(x).numpy(), right(x).numpy()], axis=1))
    np.testing.assert_allclose(
        nn.Parallel(left, right, merge="sum")(x).numpy(), left(x).numpy() + right(x).numpy(), rtol=1e-6
    )
    both = nn.Parallel(left, ops.tanh, merge="none")(x)
    np.testing.assert_array_equal(both[1].numpy(), ops.tanh(x).numpy())
    with pytest.raises(ShapeError, match=r"a sum wants one shape"):
        nn.Parallel(nn.Dense(2), nn.Dense(3), merge="sum")(x)
    with pytest.raises(ShapeError, match="got 3 inputs for 2 branches"):
        nn.Parallel(nn.Dense(2), nn.Dense(3))(x, x, x)
    with pytest.raises(ArgumentError, match="merge 'mean'"):
        nn.Parallel(nn.Dense(2), merge="mean")


def test_several_inputs(device, tmp_path):
    a, b, y = parts()
    model = Model(towers(), "mean_squared_error", optim.Adam(0.01), device=device)
    history = model.fit((a, b), y, epochs=30, batch_size=16, validation_split=0.2, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert list(model.variables()) == [
        *(f"0/{n}/{v}" for n in (0, 1) for v in ("weight", "bias")),
        "1/weight",
        "1/bias",
    ]
    model.save(tmp_path / "net")
    np.testing.assert_array_equal(Model.load(tmp_path / "net", device=device).predict((a, b)), model.predict((a, b)))
    with pytest.raises(ShapeError, match="equally many samples"):
        model.fit((a, b[:-1]), y, verbose=0)


class Named(nn.Layer):
    """Two inputs and two outputs by name; the first layer is shared by both inputs."""

    def __init__(self):
        self.shared, self.kind, self.size = nn.Dense(4, activation="tanh"), nn.Dense(3), nn.Dense(1)

    def call(self, one, two, *, training=False):
        first, second = self.shared(one), self.shared(two)
        return {"kind": self.kind(first + second), "size": self.size(ops.concatenate([first, second], axis=-1))}


def test_inputs_and_outputs_by_name(device):
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(30, 5)).astype(np.float32) for name in ("one", "two")}
    y = {"kind": rng.integers(0, 3, 30).astype(np.int32), "size": x["one"][:, :1]}
    model = Model(
        Named(),
        {"kind": "softmax_cross_entropy", "size": "mean_squared_error"},
        metrics={"kind": ["accuracy", "f1"], "size": ["r2"]},
        loss_weights={"kind": 1.0, "size": 3.0},
        device=device,
    )
    history = model.fit(x, y, epochs=20, verbose=0).history
    assert list(history) == ["loss", "kind_accuracy", "kind_f1", "size_r2"]
    assert history["loss"][-1] < history["loss"][0]
    found = model.predict(x)
    assert {name: each.shape for name, each in found.items()} == {"kind": (30, 3), "size": (30, 1)}
    assert model.evaluate(x, y)["kind_accuracy"] == pytest.approx((found["kind"].argmax(1) == y["kind"]).mean())


def test_metrics_of_every_output_stay_so_in_a_file(device, tmp_path):
    x, _ = problem()
    net = nn.Sequential(nn.Parallel(nn.Dense(2), nn.Dense(2), merge="none"))
    model = Model(net, "quadratic", metrics=["mean_absolute_error", "r2"], device=device)
    y = (x[:, :2], x[:, 2:4])
    names = ["loss", *(f"{output}_{metric}" for output in (0, 1) for metric in ("mean_absolute_error", "r2"))]
    assert list(model.evaluate(x, y)) == names
    model.save(tmp_path / "net")
    assert Model.load(tmp_path / "net", device=device).evaluate(x, y) == model.evaluate(x, y)
    assert list(Model(net, "quadratic", metrics=([], ["r2"]), device=device).evaluate(x, y)) == ["loss", "1_r2"]
    assert list(Model(net, "quadratic", device=device).evaluate(x, y)) == ["loss"]


def test_the_gradient_of_a_shared_layer_is_that_of_both_uses(device):
    x = clnet.tensor(problem()[0], device=device)
    shared = nn.Dense(6)
    net = nn.Sequential(shared, nn.Activation("tanh"), shared)
    loss = clnet.value_and_grad(lambda: ops.sum(ops.square(net(x))), wrt=(net(x), net.trainable_variables())[1])
    w = shared.weight.numpy().astype(float)
    h = np.tanh(x.numpy() @ w)
    dy = 2 * h @ w
    wanted = h.T @ dy + x.numpy().T @ ((dy @ w.T) * (1 - h * h))
    np.testing.assert_allclose(loss()[1]["0/weight"].numpy(), wanted, rtol=1e-4, atol=1e-4)
    assert list(net.variables()) == ["0/weight", "0/bias"]


def test_shared_layers_are_saved_and_loaded(device, tmp_path):
    x, _ = problem()
    shared, other = nn.Dense(6, activation="tanh"), nn.LayerNorm()
    net = nn.Sequential(shared, nn.Residual(nn.Sequential(other, shared)), other, nn.Dense(2))
    model = Model(net, "quadratic", optim.Adam(0.01), device=device)
    model.fit(x, x[:, :2], epochs=2, verbose=0)
    model.save(tmp_path / "net")
    loaded = Model.load(tmp_path / "net", device=device)
    assert loaded.net.layers[0] is loaded.net.layers[1].layer.layers[1]
    assert loaded.net.layers[2] is loaded.net.layers[1].layer.layers[0]
    for each in (model, loaded):
        each.fit(x, x[:, :2], epochs=1, verbose=0)
    same(weights(model), weights(loaded))


def test_frozen_layers(device):
    x, y = problem()
    base, head = nn.Sequential(nn.Dense(8, activation="tanh"), nn.BatchNorm()), nn.Dense(3)
    model = Model(nn.Sequential(base, head), "softmax_cross_entropy", optim.Adam(0.01), device=device)
    base.trainable = False
    model.fit(x, y, verbose=0)
    before = weights(model)
    assert {path.split("/")[0] for path in model.optimizer.variables()} == {"step", "learning_rate", "1"}
    model.fit(x, y, verbose=0)
    changed = {path for path, value in weights(model).items() if (value != before[path]).any()}
    assert changed == {"1/weight", "1/bias"}
    head.trainable = False
    with pytest.raises(ArgumentError, match="fit: Sequential has nothing to train: no variables, or all are frozen"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ArgumentError, match="nothing to train"):
        Model(nn.Flatten(), "quadratic", device=device).fit(x, x, verbose=0)
    with pytest.raises(ArgumentError, match="nothing to train"):
        optim.minimize(lambda: ops.sum(model.net(x)), model.net.trainable_variables())


class Highway(nn.Layer):
    """A user's own: a variable, a layer, a penalty, in a few lines."""

    def __init__(self, units):
        self.dense, self.gate_regularizer = nn.Dense(units, activation="relu"), nn.L2(0.01)

    def setup(self, shape):
        self.add_variable("gate", shape[-1:], "zeros")

    def call(self, x, *, training=False):
        open_ = ops.sigmoid(self.gate)
        return open_ * self.dense(x) + (1 - open_) * x


def test_a_layer_of_ones_own(device, tmp_path):
    x, y = problem()
    model = Model(nn.Sequential(Highway(6), nn.Dense(3)), "softmax_cross_entropy", optim.Adam(0.05), device=device)
    history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0]
    assert (model.variables()["0/gate"].numpy() != 0).all()
    model.save(tmp_path / "net")
    with pytest.raises(CheckpointError, match="Highway is not clnet's"):
        Model.load(tmp_path / "net", device=device)
    other = Model.load(tmp_path / "net", nn.Sequential(Highway(6), nn.Dense(3)), device=device)
    assert other.evaluate(x, y) == model.evaluate(x, y)


def test_shapes_that_change_between_calls(device):
    """Pictures of any size where the weights allow it; another number of channels is an error, before anything runs."""
    net = nn.Sequential(nn.Conv2D(4, 3, padding="same", activation="relu"), nn.GlobalAvgPool2D(), nn.Dense(3))
    model = Model(net, "softmax_cross_entropy", device=device)
    rng = np.random.default_rng(0)
    for shape in ((8, 9, 7, 2), (6, 5, 12, 2), (8, 9, 7, 2), (3, 9, 7, 2)):
        x, y = rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, shape[0]).astype(np.int32)
        model.fit(x, y, batch_size=4, verbose=0)
        np.testing.assert_allclose(model.predict(x), model.predict(x, batch_size=1), rtol=1e-4, atol=1e-5)
    before = weights(model)
    with pytest.raises(ShapeError, match="Conv2D"):
        model.predict(np.zeros((2, 9, 7, 3), np.float32))
    with pytest.raises(ShapeError, match="Conv2D"):
        model.fit(np.zeros((2, 9, 7), np.float32), np.zeros(2, np.int32), verbose=0)
    same(before, weights(model))
    with pytest.raises(ShapeError, match=r"predictions have shape \(2, 3\), targets \(2, 4\)"):
        model.fit(np.zeros((2, 9, 7, 2), np.float32), np.zeros((2, 4), np.float32), verbose=0)


def test_two_losses_by_hand(device):
    """The gradient of a weighted sum is the weighted sum of gradients."""
    x = clnet.tensor(problem()[0], device=device)
    net = nn.Parallel(nn.Dense(2), nn.Dense(1), merge="none")
    net(x)

    def loss(first, second):
        one, two = net(x)
        return first * ops.sum(ops.square(one)) + second * losses.mean_squared_error(two, x[:, :1])

    variables = net.trainable_variables()
    found = [clnet.value_and_grad(loss, wrt=variables)(*factors)[1] for factors in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0))]
    for path in variables:
        one, two, both = (each[path].numpy() for each in found)
        np.testing.assert_allclose(both, 2 * one + 3 * two, rtol=1e-4, atol=1e-5)
