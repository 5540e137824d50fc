"""Regularizers: part of the loss and of the gradient, by the name of the variable."""

import numpy as np
import pytest

import clnet
from clnet import Model, nn, ops, optim
from clnet.errors import ArgumentError


class Scale(nn.Layer):
    def __init__(self):
        self.factor_regularizer = nn.L1(0.5)

    def setup(self, shape):
        self.add_variable("factor", shape[-1:], "ones")

    def call(self, x, *, training=False):
        return x * self.factor


def test_the_loss_and_the_gradient_contain_them(device):
    dense = nn.Dense(3, weight_regularizer=nn.L1L2(0.1, 0.2), bias_regularizer=nn.L2(0.3), bias_initializer="normal")
    net = nn.Sequential(dense, Scale())
    x = clnet.tensor(np.zeros((4, 5), np.float32), device=device)
    net(x)
    w, b = dense.weight.numpy().astype(float), dense.bias.numpy().astype(float)
    found = clnet.value_and_grad(lambda x: ops.sum(net(x)) * 0 + net.penalty(), wrt=net.trainable_variables())
    value, gradients = found(x)
    penalty = 0.1 * np.abs(w).sum() + 0.2 * (w * w).sum() + 0.3 * (b * b).sum() + 0.5 * 3
    assert float(value) == pytest.approx(penalty, rel=1e-5)
    np.testing.assert_allclose(gradients["0/weight"].numpy(), 0.1 * np.sign(w) + 0.4 * w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients["0/bias"].numpy(), 0.6 * b, rtol=1e-5)
    np.testing.assert_allclose(gradients["1/factor"].numpy(), 0.5, rtol=1e-6)


def test_a_model_trains_by_them_and_shows_them(device, tmp_path):
    x = np.zeros((4, 5), np.float32)
    net = nn.Sequential(nn.Dense(3, weight_regularizer=nn.L2(0.1)), nn.Dense(2, weight_regularizer=nn.L1(0.1)))
    model = Model(net, "quadratic", optim.SGD(0.5), device=device)
    net.build((None, 5), device=device)
    w, v = (layer.weight.numpy().astype(float) for layer in net.layers)
    wanted = 0.1 * (w * w).sum() + 0.1 * np.abs(v).sum()
    assert model.evaluate(x, x[:, :2])["loss"] == pytest.approx(wanted, rel=1e-5)
    history = model.fit(x, x[:, :2], verbose=0).history
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(net.layers[0].weight.numpy(), 0.9 * w, rtol=1e-5)
    model.save(tmp_path / "net")
    assert Model.load(tmp_path / "net", device=device).net.layers[0].weight_regularizer == nn.L2(0.1)


def test_refusals():
    with pytest.raises(ArgumentError, match="l2 is -1"):
        nn.L2(-1)
