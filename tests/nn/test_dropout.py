"""Dropout: masks that are a function of seed, path and call, the same on every device."""

import numpy as np
import pytest

import clnet
from clnet import nn
from clnet.errors import ArgumentError, ShapeError


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


def trained(layer, device, shape=(40, 30), value=2.0):
    layer.build((None, *shape[1:]), device=device)
    x = clnet.tensor(np.full(shape, value, np.float32), device=device)
    return clnet.compile(lambda x: layer(x, training=True), device=device)(x).numpy(), layer(x).numpy()


def test_gaussian_noise_and_dropout_have_their_deviations(device):
    noisy, still = trained(nn.GaussianNoise(0.5), device)
    assert (still == 2).all()
    assert noisy.mean() == pytest.approx(2, abs=0.05)
    assert noisy.std() == pytest.approx(0.5, rel=0.1)
    noisy, still = trained(nn.GaussianDropout(0.2), device)
    assert (still == 2).all()
    assert noisy.mean() == pytest.approx(2, abs=0.1)
    assert noisy.std() == pytest.approx(2 * 0.5, rel=0.1)


def test_spatial_dropout_drops_whole_channels(device):
    noisy, _ = trained(nn.SpatialDropout2D(0.25), device, (20, 4, 5, 30))
    assert (noisy == noisy[:, :1, :1]).all()
    assert (noisy[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.06)
    assert noisy.max() == pytest.approx(2 / 0.75)
    with pytest.raises(ShapeError, match=r"SpatialDropout2D: input has shape \(3, 5\)"):
        trained(nn.SpatialDropout2D(0.25), device, (3, 5))


def test_noise_refuses_its_arguments():
    for make in (lambda: nn.GaussianNoise(-1), lambda: nn.GaussianDropout(1), lambda: nn.SpatialDropout2D(-0.1)):
        with pytest.raises(ArgumentError, match="wants"):
            make()
