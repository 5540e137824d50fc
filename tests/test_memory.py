"""What a plan keeps in memory: gradients no longer than needed, results in place of what they are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clnet
from clnet import losses, nn, ops, optim
from clnet.plan import Plan

ROWS = 300
ARRAY = ROWS * ROWS * 4  # bytes


@pytest.fixture
def x(device: clnet.Device) -> clnet.Tensor:
    return clnet.tensor(np.random.default_rng(0).normal(size=(ROWS, ROWS)).astype(np.float32) / ROWS, device=device)


def planned(function: Callable[..., Any], x: clnet.Tensor) -> Plan:
    return clnet.compile(function, device=x.device).plan(x)


def training_step(net: nn.Layer, optimizer: optim.Optimizer, x: clnet.Tensor) -> Plan:
    net.build(x.shape, seed=0, device=x.device)
    optimizer.build(net.trainable_variables())

    def step(x: clnet.Tensor) -> None:
        def loss() -> Any:
            return losses.mean_squared_error(net(x, training=True), x)

        _, gradients = clnet.value_and_grad(loss, wrt=net.trainable_variables())()
        optimizer.apply(gradients)

    return planned(step, x)


def test_a_gradient_lives_until_its_weights_are_updated(x: clnet.Tensor) -> None:
    layers = 6
    net = nn.Sequential(*(nn.Dense(ROWS, activation="tanh") for _ in range(layers)))
    plan = training_step(net, optim.SGD(learning_rate=0.1), x)
    assert plan.nbytes < (layers + 2) * ARRAY, plan.summary()  # activations, a gradient, and the one before it


def test_moments_are_part_of_their_products(x: clnet.Tensor) -> None:
    net = nn.Sequential(*(nn.Dense(ROWS, activation="tanh") for _ in range(3)))
    plan = training_step(net, optim.Adam(), x)
    maps = [step for step in plan.steps if step.launch.name.startswith("map") and step.shape == (ROWS, ROWS)]
    assert not maps, plan.summary()


def test_a_normalization_keeps_what_it_normalized(x: clnet.Tensor) -> None:
    for norm in (nn.LayerNorm(), nn.BatchNorm()):
        net = nn.Sequential(nn.Dense(ROWS), norm, nn.Dense(ROWS), nn.Dense(ROWS))
        plan = training_step(net, optim.SGD(learning_rate=0.1), x)
        assert plan.nbytes < 5.5 * ARRAY, plan.summary()  # its input and result, the hidden layer, two gradients


def test_a_softmax_takes_the_place_of_its_argument(x: clnet.Tensor) -> None:
    def function(x: clnet.Tensor) -> clnet.Tensor:
        return ops.sum(ops.softmax(x @ x), axis=0)

    plan = planned(function, x)
    assert plan.launches >= 3
    assert ARRAY <= plan.nbytes < 1.5 * ARRAY, plan.summary()
    y = x.numpy() @ x.numpy()
    powers = np.exp(y)
    wanted = (powers / powers.sum(axis=1, keepdims=True)).sum(axis=0)
    np.testing.assert_allclose(clnet.compile(function, device=x.device)(x).numpy(), wanted, rtol=1e-4)


def test_what_is_read_again_or_elsewhere_stays(x: clnet.Tensor) -> None:
    def turned(x: clnet.Tensor) -> clnet.Tensor:
        y = x @ x
        return (y + ops.transpose(y) * 2) @ x

    def twice(x: clnet.Tensor) -> tuple[clnet.Tensor, clnet.Tensor]:
        y = x @ x
        early, late = ops.exp(y), y - ops.sum(y, axis=1, keepdims=True)
        return early @ x, ops.exp(late) @ x

    a, compiled = x.numpy(), clnet.compile(turned, device=x.device)
    y = a @ a
    np.testing.assert_allclose(compiled(x).numpy(), (y + 2 * y.T) @ a, rtol=1e-3, atol=1e-6)
    early, late = clnet.compile(twice, device=x.device)(x)
    np.testing.assert_allclose(early.numpy(), np.exp(y) @ a, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(late.numpy(), np.exp(y - y.sum(axis=1, keepdims=True)) @ a, rtol=1e-3, atol=1e-5)
