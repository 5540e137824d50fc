"""Stacking: ops of the table for many networks at once, with the bits that each network has alone, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import clnet
from clnet import losses, nn, ops, optim
from clnet.cases import CASES, Case
from clnet.errors import ArgumentError, ShapeError
from clnet.graph import Node, Pointwise, Spec
from clnet.trace import apply, as_node

NETWORKS = 2


def stacked(values: Any, device: clnet.Device) -> clnet.Variable:
    variable = clnet.Variable(values[0], device=device)
    variable.stack(values)
    return variable


def case_name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_each_network_has_the_bits_that_it_has_alone(case: Case) -> None:
    """On one device: a rule is about the graph, not about kernels."""
    device = clnet.device()
    draws = [case.inputs(case.shapes[0], np.float32, seed) for seed in range(NETWORKS)]
    values = [np.stack(each) for each in zip(*draws, strict=True)]
    variables = [clnet.Variable(each[0], device=device) for each in values]
    alone = compiled(case, variables)
    for first in range(max(1, len(values) - 1)):  # inputs from here on differ, those before serve all networks
        mixed = [
            stacked(v, device) if n >= first else clnet.Variable(v[0], device=device) for n, v in enumerate(values)
        ]
        try:
            together = [each.numpy() for each in compiled(case, mixed)()]
        except ArgumentError as refusal:
            if ": has no rule for many networks at once" not in str(refusal):
                raise
            pytest.skip(str(refusal))
        for network in range(NETWORKS):
            for place, (variable, each) in enumerate(zip(variables, values, strict=True)):
                variable.assign(each[network if place >= first else 0])
            for all_of, one in zip(together, alone(), strict=True):
                np.testing.assert_array_equal(all_of[network] if all_of.ndim > one.ndim else all_of, one.numpy())


def compiled(case: Case, variables: list[clnet.Variable]) -> Any:
    """A function without arguments: the result, and the gradients of a weighted sum."""

    def weighted() -> Any:
        result = case.function(*variables)
        weights = np.random.default_rng(0).normal(size=result.shape).astype(np.float32)
        return ops.sum(result * weights), result

    def function() -> Any:
        if not case.gradient:
            return [case.function(*variables)]
        (_, result), gradients = clnet.value_and_grad(weighted, wrt=variables, has_aux=True)()
        return [result, *gradients]

    return clnet.compile(function, device=variables[0].device)


def trained(seed: Any, device: clnet.Device, make: Any, optimizer: Any, steps: int = 6) -> dict[str, Any]:
    """Losses, variables and the optimizer's state after some steps by hand."""
    rng = np.random.default_rng(0)
    x = clnet.tensor(rng.normal(size=(10, 5, 5, 1)).astype(np.float32), device=device)
    y = clnet.tensor(rng.integers(0, 5, 10).astype(np.int32), device=device)
    net, opt = make(), optimizer()
    net.build((None, 5, 5, 1), seed=seed, device=device)

    def step(x: clnet.Tensor, y: clnet.Tensor) -> clnet.Tensor:
        variables = net.trainable_variables()
        loss, gradients = clnet.value_and_grad(
            lambda: losses.softmax_cross_entropy(net(x, training=True), y), wrt=variables
        )()
        opt.apply(gradients)
        return loss

    compiled = clnet.compile(step, device=device)
    found = {"loss": np.stack([compiled(x, y).numpy() for _ in range(steps)], axis=-1)}
    return found | {path: each.numpy() for path, each in {**net.variables(), **opt.variables()}.items()}


NETS = {
    "dense": lambda: nn.Sequential(nn.Flatten(), nn.Dense(8, activation="sigmoid"), nn.Dropout(0.3), nn.Dense(5)),
    "convolution": lambda: nn.Sequential(
        nn.RandomTranslation(1), nn.Conv2D(3, 2, activation="relu"), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(5)
    ),
    "direct": lambda: nn.Sequential(
        nn.Conv2D(17, 2, activation="relu"), nn.Conv2D(20, 2, padding=1), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(5)
    ),
    "normalized": lambda: nn.Sequential(nn.Conv2D(3, 2), nn.BatchNorm(), nn.Flatten(), nn.Dense(5)),
}
OPTIMIZERS = {
    "sgd": lambda: optim.SGD(learning_rate=0.1, momentum=0.9, l2=0.01),
    "adam": lambda: optim.Adam(learning_rate=0.01, weight_decay=0.1, clip_norm=1.0),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_networks_that_train_together_are_those_that_train_alone(
    device: clnet.Device, make: Any, optimizer: Any
) -> None:
    seeds = (3, 2**62 + 1, 0)
    together = trained(seeds, device, make, optimizer)
    for network, seed in enumerate(seeds):
        alone = trained(seed, device, make, optimizer)
        assert together.keys() == alone.keys()
        for name, one in alone.items():
            each = together[name][network] if together[name].ndim > one.ndim else together[name]
            np.testing.assert_array_equal(each, one, err_msg=name)


def test_what_no_network_has_of_its_own_is_computed_once(device: clnet.Device) -> None:
    w = stacked(np.ones((4, 5, 3), np.float32), device)
    step = clnet.compile(lambda x: (ops.exp(x), ops.exp(x) @ w), device=device)
    shared, each = step(clnet.tensor(np.ones((2, 5), np.float32), device=device))
    assert (shared.shape, each.shape) == ((2, 5), (4, 2, 3))


def test_a_variable_that_is_assigned_values_of_each_network_holds_them_from_then_on(device: clnet.Device) -> None:
    w = stacked(np.arange(3, dtype=np.float32), device)
    total, steps = (clnet.Variable(np.float32(0), device=device) for _ in range(2))

    def step() -> None:
        total.assign(total + w)
        steps.assign(steps + 1)

    compiled = clnet.compile(step, device=device)
    compiled(), compiled()
    assert total.numpy().tolist() == [0, 2, 4]
    assert steps.numpy().tolist() == 2
    total.assign(np.float32(1))
    assert total.numpy().tolist() == [1, 1, 1]


def test_each_network_looks_up_its_own_rows(device: clnet.Device) -> None:
    tables = np.arange(3 * 5 * 2, dtype=np.float32).reshape(3, 5, 2)
    table, one = stacked(tables, device), clnet.tensor(tables[0], device=device)
    start, shared = stacked(np.array([0, 2, 4], np.int32), device), clnet.Variable(np.int32(1), device=device)
    rows = stacked(np.array([[4, 0], [1, 9], [-3, 2]], np.int32), device)  # some of them outside

    def look_up() -> list[clnet.Tensor]:
        slices = [ops.dynamic_slice(x, at, 2) for x in (table, one) for at in (start, shared)]
        return [*slices, ops.gather(table, rows), ops.gather(one, rows)]

    got = [each.numpy() for each in clnet.compile(look_up, device=device)()]
    starts = np.clip(np.array([0, 2, 4])[:, None] + [0, 1], 0, 4)
    inside = np.clip(rows.numpy(), 0, 4)
    numbers = np.arange(3)[:, None]
    wanted = [tables[numbers, starts], tables[:, 1:3], tables[0][starts], tables[0][1:3]]
    for found, right in zip(got, [*wanted, tables[numbers, inside], tables[0][inside]], strict=True):
        np.testing.assert_array_equal(found, right)


@dataclass(frozen=True)
class Lonely(Pointwise):
    """An op without a rule."""

    def infer(self, *inputs: Spec) -> Spec:
        return inputs[0]

    def emit(self, node: Node, index: Any, emitter: Any) -> str:
        return emitter.value(node.inputs[0], index)  # type: ignore[no-any-return]


def test_refusals(device: clnet.Device) -> None:
    w = stacked(np.ones((3, 2), np.float32), device)
    with pytest.raises(ArgumentError, match="lonely: has no rule for many networks at once"):
        clnet.compile(lambda: apply(Lonely(), as_node(w)), device=device)()
    other = stacked(np.ones((4, 2), np.float32), device)
    with pytest.raises(ArgumentError, match="Variables of 3 and of 4 networks meet"):
        clnet.compile(lambda: w + other, device=device)()
    with pytest.raises(ArgumentError, match="got a Variable of many networks as an argument"):
        ops.exp(w)
    with pytest.raises(ShapeError, match=r"wanted once \(networks, \*\(2,\)\)"):
        w.stack(3)
