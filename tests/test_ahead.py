"""What is fetched for the next run: exactly its rows, by a product of a plan on one core."""

from __future__ import annotations

import re

import numpy as np
import pytest

import clnet
from clnet import ops
from clnet.gemm import cpu
from clnet.plan import ahead

SAMPLES, FEATURES, BATCH = 60, 40, 8  # rows of two and a half lines of the cache
PREFETCH = re.compile(r"__builtin_prefetch\((begin \+ 64 \* line), 0, 2\)")


class Step:
    """A product that updates weights, of rows in an order, as in a step of `fit`."""

    def __init__(self, device: clnet.Device, features: tuple[int, ...] = (FEATURES,)) -> None:
        random = np.random.default_rng(0)
        self.order = random.permutation(SAMPLES).astype(np.int32)
        self.x = clnet.tensor(random.standard_normal((SAMPLES, *features)).astype(np.float32), device=device)
        self.rows = clnet.Variable(self.order, device=device, trainable=False)
        self.position = clnet.Variable(np.int32(0), device=device, trainable=False)
        self.weights = clnet.Variable(random.standard_normal((FEATURES, 3)).astype(np.float32), device=device)
        self.function = clnet.compile(self.step, device=device)

    def step(self, x: clnet.Tensor) -> None:
        rows = ops.gather(x, ops.dynamic_slice(self.rows, self.position, BATCH)).reshape((BATCH, FEATURES))
        y = ops.matmul(rows, self.weights)
        self.position.assign(self.position + BATCH)
        self.weights.assign(self.weights - 0.01 * ops.matmul(rows, y, transpose_a=True))


@pytest.fixture
def cpu_device(device: clnet.Device) -> clnet.Device:
    if not device.joins:
        pytest.skip("plans of this device are for all cores")
    return device


def fetchers(plan: clnet.Plan) -> list[tuple[int, ...]]:
    """Shapes of the products that do."""
    return [step.shape for step in plan.steps if "row_ahead(int row" in step.launch.source]


@pytest.mark.parametrize("features", [(FEATURES,), (5, 8)], ids=["rows", "pictures"])
def test_the_lines_of_the_next_rows_and_no_others(cpu_device, monkeypatch, features):
    """Each fetch writes to what it should fetch, so that the data show where it was."""
    monkeypatch.setattr(ahead, "FAR", 1)
    real, mark = cpu.read, 1e9
    monkeypatch.setattr(cpu, "read", lambda name: PREFETCH.sub(rf"*(__global float *)(\1) = {mark}f", real(name)))
    step = Step(cpu_device, features)
    before = step.x.numpy().reshape(SAMPLES, FEATURES)
    plan = step.function.plan(step.x)
    plan.replay()
    cpu_device.finish()
    assert len(fetchers(plan)) == 1
    changed = step.x.numpy().reshape(SAMPLES, FEATURES) != before
    wanted = np.zeros_like(changed)
    wanted[np.ix_(step.order[BATCH : 2 * BATCH], [0, 16, 32])] = True
    assert np.array_equal(changed, wanted)


def test_it_changes_no_bit_to_the_end_of_the_data(cpu_device, monkeypatch):
    found = []
    for far in (1, 1 << 40):
        monkeypatch.setattr(ahead, "FAR", far)
        step = Step(cpu_device)
        plan = step.function.plan(step.x)
        plan.replay(SAMPLES // BATCH + 2)
        assert bool(fetchers(plan)) is (far == 1)
        found.append(step.weights.numpy())
    assert np.array_equal(*found)
    assert np.isfinite(found[0]).all()


def test_not_what_is_near(cpu_device):
    step = Step(cpu_device)
    assert fetchers(step.function.plan(step.x)) == []


def test_a_network_in_training(cpu_device, monkeypatch):
    """`fit` takes rows that are far, with labels beside them, in both orders; its product is the first layer's."""
    monkeypatch.setattr(ahead, "FAR", 1 << 12)
    x, y = np.random.default_rng(0).random((96, 64), np.float32), np.arange(96, dtype=np.int32) % 10
    for shuffle in (True, False):
        net = clnet.nn.Sequential(clnet.nn.Dense(20, activation="relu"), clnet.nn.Dense(10))
        model = clnet.Model(net, loss="softmax_cross_entropy", device=cpu_device)
        model.fit(x, y, epochs=1, batch_size=8, shuffle=shuffle, verbose=False)
        (training,) = model._steps._train.values()
        plans = {id(plan): plan for plan, _ in training._plans.values()}.values()
        assert [fetchers(plan) for plan in plans] == [[(64, 20)]] * len(plans)
