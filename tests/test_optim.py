"""Optimizers: five steps against float64 NumPy, and what they refuse."""

import math

import numpy as np
import pytest

import clnet
from clnet import ops, optim, schedules
from clnet.errors import ArgumentError

STEPS = 5


def sgd(w, g, s, rate, t, momentum=0.0, nesterov=False):
    v = s["v"] = momentum * s.get("v", 0) - rate * g
    return w + (momentum * v - rate * g if nesterov else v)


def adam(w, g, s, rate, t, b1=0.9, b2=0.999, epsilon=1e-7):
    m = s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    v = s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return w - rate * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + epsilon)


def rmsprop(w, g, s, rate, t, rho=0.9, momentum=0.0):
    v = s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    u = s["u"] = momentum * s.get("u", 0) + rate * g / np.sqrt(v + 1e-7)
    return w - u


def adagrad(w, g, s, rate, t):
    a = s["a"] = s.get("a", 0.1) + g * g
    return w - rate * g / np.sqrt(a + 1e-7)


def adadelta(w, g, s, rate, t, rho=0.95, epsilon=1e-7):
    a = s["a"] = rho * s.get("a", 0) + (1 - rho) * g * g
    d = g * np.sqrt(s.get("u", 0) + epsilon) / np.sqrt(a + epsilon)
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d * d
    return w - rate * d


def adamax(w, g, s, rate, t, b1=0.9, b2=0.999):
    m = s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    u = s["u"] = np.maximum(b2 * s.get("u", 0), np.abs(g))
    return w - rate * m / ((1 - b1**t) * (u + 1e-7))


def nadam(w, g, s, rate, t, b1=0.9, b2=0.999):
    m = s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    v = s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    ahead = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    return w - rate * ahead / (np.sqrt(v / (1 - b2**t)) + 1e-7)


def lion(w, g, s, rate, t, b1=0.9, b2=0.99):
    m = s.get("m", 0)
    s["m"] = b2 * m + (1 - b2) * g
    return w - rate * np.sign(b1 * m + (1 - b1) * g)


def lamb(w, g, s, rate, t, b1=0.9, b2=0.999, decay=0.0):
    m = s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    v = s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    u = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + 1e-7) + (decay * w if w.ndim > 1 else 0)
    return w - rate * np.linalg.norm(w) / np.linalg.norm(u) * u


def options(rule, **kwargs):
    return lambda *args: rule(*args, **kwargs)


# optimizer -> (optimizer, float64 rule (weight, gradient, state, rate, t) -> weight)
CASES = {
    "SGD": (lambda: optim.SGD(0.1), sgd),
    "SGD momentum": (lambda: optim.SGD(0.1, momentum=0.9), options(sgd, momentum=0.9)),
    "SGD nesterov": (
        lambda: optim.SGD(0.1, momentum=0.8, nesterov=True),
        options(sgd, momentum=0.8, nesterov=True),
    ),
    "Adam": (lambda: optim.Adam(0.01), adam),
    "Adam betas": (lambda: optim.Adam(0.01, beta_1=0.5, beta_2=0.9), options(adam, b1=0.5, b2=0.9)),
    "RMSprop": (lambda: optim.RMSprop(0.01), rmsprop),
    "RMSprop momentum": (lambda: optim.RMSprop(0.01, momentum=0.5), options(rmsprop, momentum=0.5)),
    "Adagrad": (lambda: optim.Adagrad(0.1), adagrad),
    "Adadelta": (lambda: optim.Adadelta(1.0), adadelta),
    "Adamax": (lambda: optim.Adamax(0.01), adamax),
    "Nadam": (lambda: optim.Nadam(0.01), nadam),
    "Lion": (lambda: optim.Lion(0.01), lion),
    "LAMB": (lambda: optim.LAMB(0.01), lamb),
    "LAMB decay": (lambda: optim.LAMB(0.01, weight_decay=0.1), options(lamb, decay=0.1)),
}


def start(device):
    """A weight and a bias, and the loss sum(c w w w) / 3 + sum(b b): gradients that the steps change."""
    rng = np.random.default_rng(4)
    weight, bias, c = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(5, 3))
    variables = {
        "weight": clnet.Variable(weight.astype(np.float32), device=device),
        "bias": clnet.Variable(bias.astype(np.float32), device=device),
    }
    return variables, clnet.tensor(c.astype(np.float32), device=device)


def objective(variables, c):
    w, b = variables["weight"], variables["bias"]
    return ops.sum(c * w * w * w) / 3 + ops.sum(b * b)


def run(device, optimizer, steps=STEPS):
    variables, c = start(device)

    def step():
        loss, gradients = clnet.value_and_grad(lambda: objective(variables, c), wrt=variables)()
        optimizer.apply(gradients)
        return loss

    compiled = clnet.compile(step, device=device)
    for _ in range(steps):
        compiled()
    return {path: variable.numpy() for path, variable in variables.items()}


def reference(device, rule, rate, change=lambda gradients, weights: gradients):
    variables, c = start(device)
    weights = {path: variable.numpy().astype(np.float64) for path, variable in variables.items()}
    states = {path: {} for path in weights}
    for t in range(1, STEPS + 1):
        gradients = {"weight": c.numpy().astype(np.float64) * weights["weight"] ** 2, "bias": 2 * weights["bias"]}
        gradients = change(gradients, weights)
        for path in weights:
            weights[path] = rule(weights[path], gradients[path], states[path], rate(t) if callable(rate) else rate, t)
    return weights


def check(got, wanted):
    for path, values in wanted.items():
        np.testing.assert_allclose(got[path], values, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_five_steps(device, name):
    make, rule = CASES[name]
    optimizer = make()
    check(run(device, optimizer), reference(device, rule, optimizer.learning_rate))
    assert int(optimizer.variables()["step"].numpy()) == STEPS


def test_l1_and_l2_change_weights_but_not_biases(device):
    def change(gradients, weights):
        w = weights["weight"]
        return gradients | {"weight": gradients["weight"] + 0.3 * w + 0.02 * np.sign(w)}

    check(run(device, optim.SGD(0.1, l1=0.02, l2=0.3)), reference(device, sgd, 0.1, change))


def test_penalties_of_biases_on_demand(device):
    def change(gradients, weights):
        return {path: gradient + 0.3 * weights[path] for path, gradient in gradients.items()}

    check(run(device, optim.SGD(0.1, l2=0.3, decay_vectors=True)), reference(device, sgd, 0.1, change))


def test_weight_decay_is_apart_from_the_gradient(device):
    def decayed(w, g, s, rate, t):
        return adam(w, g, s, rate, t) - (rate * 0.1 * w if w.ndim > 1 else 0)

    check(run(device, optim.AdamW(0.01, weight_decay=0.1)), reference(device, decayed, 0.01))
    check(run(device, optim.Adam(0.01, weight_decay=0.1)), reference(device, decayed, 0.01))
    assert optim.AdamW().weight_decay == 0.004


def test_clipping_by_the_norm_of_all_gradients(device):
    def change(gradients, weights):
        norm = math.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        return {path: gradient * min(1, 0.7 / norm) for path, gradient in gradients.items()}

    check(run(device, optim.SGD(0.1, clip_norm=0.7)), reference(device, sgd, 0.1, change))


def test_nielsens_lambda(device):
    """w <- (1 - rate lambda / n) w - rate gradient: his equation 93."""
    samples, decay = 50, 5.0

    def nielsen(w, g, s, rate, t):
        return (1 - rate * decay / samples) * w - rate * g if w.ndim > 1 else w - rate * g

    check(run(device, optim.SGD(0.1, l2=decay / samples)), reference(device, nielsen, 0.1))


def test_a_schedule_counts_steps(device):
    schedule = schedules.StepDecay(0.2, every=2)
    check(run(device, optim.SGD(schedule)), reference(device, sgd, lambda t: 0.2 * 0.5 ** ((t - 1) // 2)))


def test_a_new_rate_needs_no_new_plan(device):
    variables, c = start(device)
    optimizer = optim.SGD(0.1)

    def step():
        optimizer.apply(clnet.value_and_grad(lambda: objective(variables, c), wrt=variables)()[1])

    plan = clnet.compile(step, device=device).plan()
    plan.replay()
    before = variables["bias"].numpy()
    optimizer.learning_rate = 0.0
    plan.replay()
    np.testing.assert_array_equal(variables["bias"].numpy(), before)
    assert optimizer.learning_rate == 0.0


def test_outside_a_trace_it_does_the_same(device):
    variables, c = start(device)
    optimizer = optim.Adam(0.01)
    for _ in range(STEPS):
        _, gradients = clnet.value_and_grad(lambda: objective(variables, c), wrt=variables)()
        optimizer.apply(gradients)
    check({path: variable.numpy() for path, variable in variables.items()}, reference(device, adam, 0.01))


def test_only_trainable_variables_change(device):
    variables, c = start(device)
    variables["bias"].trainable = False
    before = variables["bias"].numpy()
    optimizer = optim.SGD(0.1)
    optimizer.apply(clnet.value_and_grad(lambda: objective(variables, c), wrt=variables)()[1])
    np.testing.assert_array_equal(variables["bias"].numpy(), before)


def test_state_has_the_names_that_checkpoints_use(device):
    variables, _ = start(device)
    optimizer = optim.Adam()
    assert optimizer.variables() == {}
    optimizer.build(variables)
    assert list(optimizer.variables()) == ["step", "learning_rate", "weight/m", "weight/v", "bias/m", "bias/v"]


def test_refusals(device):
    with pytest.raises(ArgumentError, match=r"SGD: learning_rate is -1, wants 0 or more"):
        optim.SGD(-1)
    with pytest.raises(ArgumentError, match=r"Adam: clip_norm is nan"):
        optim.Adam(clip_norm=float("nan"))
    optimizer = optim.SGD(0.1, momentum=0.5)
    optimizer.build(start(device)[0])
    with pytest.raises(ArgumentError, match="momentum is part of the compiled step"):
        optimizer.momentum = 0.9
    with pytest.raises(ArgumentError, match="learning_rate is nan"):
        optimizer.learning_rate = float("nan")
    with pytest.raises(ArgumentError, match="state of another network's weight; wants an optimizer each"):
        optimizer.build(start(device)[0])
    with pytest.raises(ArgumentError, match="nothing to train"):
        optimizer.apply(clnet.compiled.Gradients({}, {}))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adadelta", "Adamax"])
def test_beside_pytorch(name, device):
    """Those whose definitions agree, but for where epsilon stands."""
    torch = pytest.importorskip("torch")
    own = {
        "SGD": lambda: optim.SGD(0.1, momentum=0.9, nesterov=True),
        "Adam": lambda: optim.Adam(0.01, epsilon=1e-12),
        "AdamW": lambda: optim.AdamW(0.01, weight_decay=0.1, decay_vectors=True, epsilon=1e-12),
        "Adadelta": lambda: optim.Adadelta(1.0, rho=0.9, epsilon=1e-6),
        "Adamax": lambda: optim.Adamax(0.01, epsilon=1e-12),
    }[name]()
    more = {
        "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        "Adam": {"lr": 0.01, "eps": 1e-12},
        "AdamW": {"lr": 0.01, "eps": 1e-12, "weight_decay": 0.1},
        "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
        "Adamax": {"lr": 0.01, "eps": 1e-12},
    }[name]
    variables, c = start(device)
    w, b = (torch.tensor(variables[path].numpy(), dtype=torch.float64, requires_grad=True) for path in variables)
    theirs = getattr(torch.optim, name)([w, b], **more)
    for _ in range(STEPS):
        theirs.zero_grad()
        ((torch.tensor(c.numpy()).double() * w**3).sum() / 3 + (b * b).sum()).backward()
        theirs.step()
    check(run(device, own), {"weight": w.detach().numpy(), "bias": b.detach().numpy()})
