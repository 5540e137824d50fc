"""What `fit` takes beside data: a split, weights of classes, weights of losses."""

import numpy as np
import pytest
from networks import problem, same, small, weights

from clnet import Model, nn, ops, optim
from clnet.errors import ArgumentError, DataError


def test_validation_split_is_the_last_part(device):
    x, y = problem()
    one, other = small(device), small(device)
    split = one.fit(x, y, epochs=2, validation_split=0.2, verbose=0).history
    given = other.fit(x[:56], y[:56], epochs=2, validation_data=(x[56:], y[56:]), verbose=0).history
    assert split == given
    same(weights(one), weights(other))


def test_class_weight_is_a_weight_for_each_sample(device):
    x, y = problem()
    one, other = small(device, optimizer=optim.SGD(0.1)), small(device, optimizer=optim.SGD(0.1))
    own = np.linspace(0, 1, len(y)).astype(np.float32)
    one.fit(x, y, class_weight={0: 3.0, 2: 0.5}, sample_weight=own, verbose=0)
    other.fit(x, y, sample_weight=own * np.float32([3, 1, 0.5])[y], verbose=0)
    same(weights(one), weights(other))


class Heads(nn.Layer):
    def __init__(self):
        self.a, self.b = nn.Dense(2), nn.Dense(1)

    def call(self, x, *, training=False):
        return {"a": self.a(x), "b": self.b(ops.tanh(x))}


def test_losses_are_weighted(device, tmp_path):
    x, _ = problem()
    y = {"a": x[:, :2], "b": x[:, 2:3]}
    losses = {"a": "quadratic", "b": "mean_absolute_error"}
    singles = [Model(Heads(), losses, loss_weights=each, device=device) for each in ((1, 0), (0, 1))]
    for each, names in zip(singles, ("a", "b"), strict=True):
        each.loss_weights = names
    alone = []
    for factors in ({"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": 2, "b": 0.5}):
        model = Model(Heads(), losses, loss_weights=factors, metrics={"a": ["r2"], "b": []}, device=device)
        alone.append(model.evaluate(x, y)["loss"])
    assert alone[2] == pytest.approx(2 * alone[0] + 0.5 * alone[1], rel=1e-5)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "net")
    assert Model.load(tmp_path / "net", Heads(), device=device).evaluate(x, y) == model.evaluate(x, y)
    with pytest.raises(ArgumentError, match="loss_weights: has none for output 'b'"):
        Model(Heads(), losses, loss_weights={"a": 1}, device=device).evaluate(x, y)


def test_refusals(device):
    x, y = problem()
    model = small(device)
    for options, message in (
        ({"validation_split": 1.5}, "validation_split is 1.5"),
        ({"validation_split": 0.5, "validation_data": (x, y)}, "wants one of them"),
    ):
        with pytest.raises(ArgumentError, match=message):
            model.fit(x, y, verbose=0, **options)
    with pytest.raises(DataError, match="leaves none"):
        model.fit(x, y, validation_split=0.001, verbose=0)
    with pytest.raises(ArgumentError, match="class_weight wants integer labels"):
        model.fit(x, x[:, :3], class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ArgumentError, match="not batches"):
        model.fit([(x, y)], validation_split=0.5, verbose=0)
