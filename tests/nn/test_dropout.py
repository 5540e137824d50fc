"""Dropout: masks that are a function of seed, path and call, the same on every device."""

import numpy as np
import pytest

import clnet
from clnet import nn


def masks(device, seed=0, calls=3, rate=0.4):
    net = nn.Sequential(nn.Dropout(rate))
    net.build((None, 50), seed=seed, device=device)
    x = clnet.tensor(np.ones((20, 50), np.float32), device=device)
    step = clnet.compile(lambda x: net(x, training=True), device=device)
    return np.stack([step(x).numpy() for _ in range(calls)])


def test_kept_values_are_scaled_and_the_rate_is_met(device):
    kept = masks(device)
    assert np.unique(kept).tolist() == [0.0, np.float32(1) / np.float32(0.6)] or set(np.unique(kept)) <= {
        0.0,
        *np.nextafter(np.float32(1 / 0.6), np.float32([0, 2])).tolist(),
        float(np.float32(1 / 0.6)),
    }
    assert (kept == 0).mean() == pytest.approx(0.4, abs=0.03)


def test_every_call_and_every_seed_drops_others(device):
    first = masks(device)
    assert (first[0] != first[1]).any()
    assert (first != masks(device, seed=1)).any()
    np.testing.assert_array_equal(first, masks(device))


def test_all_devices_drop_the_same():
    found = [masks(device) == 0 for device in clnet.devices()]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_a_shared_layer_drops_differently_in_its_two_calls(device):
    layer = nn.Dropout(0.5)
    x = clnet.tensor(np.ones((10, 50), np.float32), device=device)
    step = clnet.compile(lambda x: (layer(x, training=True), layer(x, training=True)), device=device)
    one, two = (mask.numpy() for mask in step(x))
    assert (one != two).any()
    assert int(layer.counter.numpy()) == 1


def test_nothing_is_dropped_outside_training(device):
    x = clnet.tensor(np.ones((3, 5), np.float32), device=device)
    layer = nn.Dropout(0.5)
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())
    np.testing.assert_array_equal(nn.Dropout(0.0)(x, training=True).numpy(), x.numpy())
    assert int(layer.counter.numpy()) == 0
