"""MixUp: what it makes of known draws, how it draws, and a model that learns by it."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, ShapeError


def mixed(device, mix, x, y, seed=5):
    pair = (clnet.tensor(each, device=device) for each in (x, y))
    return [each.numpy() for each in mix(*pair, key=ops.Key(seed))]


def test_each_sample_is_mixed_with_another_and_its_label_as_much(device):
    x = np.eye(7, dtype=np.float32).reshape(7, 7, 1)
    got, labels = mixed(device, nn.MixUp(0.5, classes=7), x, np.arange(7, dtype=np.int32))
    shares = np.diagonal(got[..., 0]).copy()
    shares[3] = 1  # the middle one is mixed with itself
    wanted = shares[:, None] * np.eye(7) + (1 - shares[:, None]) * np.eye(7)[::-1]
    np.testing.assert_allclose(got[..., 0], wanted, atol=1e-6)
    np.testing.assert_allclose(labels, wanted, atol=1e-6)
    assert len(np.unique(shares)) == 7


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_beta(device, alpha):
    half = np.zeros((8000, 1), np.float32)
    half[:4000] = 1
    got, _ = mixed(device, nn.MixUp(alpha), half, half)
    shares = np.sort(got[:4000, 0])
    wanted = np.sort(np.random.default_rng(0).beta(alpha, alpha, 400_000)).reshape(4000, 100).mean(1)
    assert np.abs(shares - wanted).max() < 0.06
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_a_model_learns_by_it_and_goes_on_where_it_was(device, tmp_path):
    digits = clnet.data.load("digits")
    net = nn.Sequential(nn.Flatten(), nn.Dense(30, activation="relu"), nn.Dense(10))
    model = clnet.Model(
        net, "softmax_cross_entropy", metrics=["accuracy"], augmentation=nn.MixUp(classes=10), device=device
    )
    history = model.fit(*digits.train, epochs=2, verbose=0).history
    assert history["accuracy"][1] > history["accuracy"][0]
    model.save(tmp_path / "mixed.safetensors")
    again = clnet.Model.load(tmp_path / "mixed.safetensors", device=device)
    for each in (model, again):
        each.fit(*digits.train, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.predict(digits.x_test), again.predict(digits.x_test))


def test_bad_input(device):
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(ArgumentError, match=r"MixUp: y is int32 of shape \(3,\); wants floats, or labels"):
        mixed(device, nn.MixUp(), x, np.zeros(3, np.int32))
    with pytest.raises(ShapeError, match=r"MixUp: x is float32 of shape \(3, 2\), y float32 of shape \(2, 2\)"):
        mixed(device, nn.MixUp(), x, x[:2])
    with pytest.raises(ArgumentError, match="MixUp: alpha=0"):
        nn.MixUp(0)
