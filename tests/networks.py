"""A small network and something for it to learn."""

import numpy as np

from clnet import Model, nn


def problem(samples=70, features=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)).astype(np.float32)
    return x, np.argmax(x @ rng.normal(size=(features, classes)), axis=1).astype(np.int32)


def small(device, *, loss="softmax_cross_entropy", seed=0, dropout=0.0, **options):
    net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dropout(dropout), nn.Dense(3))
    return Model(net, loss=loss, device=device, seed=seed, **options)


def weights(model):
    return {path: variable.numpy() for path, variable in model.variables().items()}


def same(one, other):
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path], err_msg=path)
