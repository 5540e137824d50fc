"""What a plan keeps in memory: gradients no longer than needed, results in place of what they are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clnet
from clnet import losses, nn, ops, optim
from clnet.plan import Plan, recompute, schedule

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


def feed_forward() -> nn.Layer:
    parts = [(nn.LayerNorm(), nn.Dense(ROWS, activation=each)) for each in ("gelu", "silu", "mish", "gelu")]
    return nn.Sequential(*(layer for pair in parts for layer in pair), nn.Dense(ROWS))


def tall() -> nn.Layer:
    return nn.Sequential(*(nn.Dense(units, activation="relu") for units in (8, 2000, 8, 2000, 8)), nn.Dense(ROWS))


def pictures() -> nn.Layer:
    """Batch normalization between convolutions."""
    parts: list[Any] = [lambda x: ops.reshape(x, (ROWS, 10, 10, 3))]
    for _ in range(3):
        parts += [nn.Conv2D(16, 3, padding="same"), nn.BatchNorm(), nn.Activation("gelu")]
    return nn.Sequential(*parts, nn.Flatten(), nn.Dense(ROWS))


def encoder(*, norm_first: bool) -> nn.Layer:
    options: dict[str, Any] = {"feed_forward": 240, "dropout": 0.0, "activation": "gelu", "norm_first": norm_first}
    layers = [nn.TransformerEncoderLayer(60, 4, **options) for _ in range(2)]
    return nn.Sequential(lambda x: ops.reshape(x, (30, 50, 60)), *layers, lambda x: ops.reshape(x, (ROWS, ROWS)))


def recurrent() -> nn.Layer:
    layers = nn.GRU(48, return_sequences=True), nn.GRU(60)
    return nn.Sequential(lambda x: ops.reshape(x, (ROWS, 6, 50)), *layers, nn.Dense(ROWS))


NETS: dict[str, tuple[Callable[[], nn.Layer], float]] = {  # and how many times as many bytes they would take
    "feed_forward": (feed_forward, 1.15),
    "tall": (tall, 1.3),
    "pictures": (pictures, 1.08),
    "encoder": (lambda: encoder(norm_first=False), 1.15),
    "encoder, normalized first": (lambda: encoder(norm_first=True), 1.15),
    "recurrent": (recurrent, 1.0),
}


@pytest.mark.parametrize("name", NETS)
def test_what_saves_memory_changes_no_bit(name: str, x: clnet.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    make, saved = NETS[name]
    trained, sizes = [], []
    for saving in (True, False):
        if not saving:
            monkeypatch.setattr(recompute, "LEAST", 1 << 40)
            monkeypatch.setattr(schedule, "ROOM", 1 << 40)
        net, optimizer = make(), optim.Adam()
        plan = training_step(net, optimizer, x)
        plan(x)
        plan(x)
        trained.append({path: each.numpy() for path, each in net.variables().items()})
        sizes.append(plan.nbytes)
    for path, value in trained[0].items():
        np.testing.assert_array_equal(value, trained[1][path], err_msg=path)
    assert sizes[1] > saved * sizes[0]


def test_an_activation_keeps_its_argument_alone(x: clnet.Tensor) -> None:
    layers = 6
    net = nn.Sequential(*(nn.Dense(ROWS, activation="gelu") for _ in range(layers)))
    plan = training_step(net, optim.SGD(learning_rate=0.1), x)
    assert plan.nbytes < (layers + 3) * ARRAY, plan.summary()


def test_a_gradient_takes_the_place_of_activations(device: clnet.Device) -> None:
    rows = 4000
    x = clnet.tensor(np.random.default_rng(0).normal(size=(rows, 40)).astype(np.float32), device=device)
    net = nn.Sequential(nn.Dense(400, activation="relu"), nn.Dense(40))
    plan = training_step(net, optim.SGD(learning_rate=0.1), x)
    assert plan.nbytes < 1.5 * rows * 400 * 4, plan.summary()


def test_the_gradient_of_a_last_state_is_that_of_one_step(device: clnet.Device) -> None:
    steps, batch, units = 50, 20, 64
    x = clnet.tensor(np.zeros((batch, steps * 8), np.float32), device=device)
    net = nn.Sequential(lambda x: ops.reshape(x, (batch, steps, 8)), nn.GRU(units), nn.Dense(steps * 8))
    plan = training_step(net, optim.SGD(learning_rate=0.1), x)
    state = steps * batch * units * 4
    assert plan.nbytes < 9.5 * state, plan.summary()  # the state, three gates and their argument, three gradients, x


def test_a_product_reads_the_first_elements_where_they_lie(device: clnet.Device) -> None:
    a = np.random.default_rng(0).normal(size=(3, 40, 50)).astype(np.float32)
    x, w = (clnet.tensor(each, device=device) for each in (a, np.ascontiguousarray(a[1, :17].T)))
    for key, copies in ((0, 0), (np.s_[0, :11], 0), (np.s_[:2], 0), (1, 1), (np.s_[0, 1:], 1), (np.s_[:, :11], 1)):
        compiled = clnet.compile(lambda x, w, key=key: (ops.square(x) + x[key].sum())[key] @ w, device=device)
        np.testing.assert_allclose(compiled(x, w).numpy(), (a**2 + a[key].sum())[key] @ w.numpy(), rtol=1e-3, atol=1e-3)
        compiled = clnet.compile(lambda x, w, key=key: x[key] @ w, device=device)
        np.testing.assert_allclose(compiled(x, w).numpy(), a[key] @ w.numpy(), rtol=1e-3, atol=1e-3)
        assert sum(step.launch.name.startswith("map") for step in compiled.plan(x, w).steps) == copies, key


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
