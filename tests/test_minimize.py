"""Second order: Hessian-vector products and full-batch methods, against float64 NumPy."""

import numpy as np
import pytest

import clnet
from clnet import losses, nn, ops, optim
from clnet.errors import ArgumentError, DivergenceError, ShapeError

METHODS = ["lbfgs", "cg", "newton"]


def quadratic(device, n=12, condition=100.0):
    """w.A w / 2 - b.w in two variables, and where it is smallest."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a, b = (q * np.geomspace(1, condition, n)) @ q.T, rng.normal(size=n)
    w = {
        "first": clnet.Variable(np.zeros((2, 2), np.float32), device=device),
        "second": clnet.Variable(np.zeros(n - 4, np.float32), device=device),
    }
    matrix, vector = (clnet.tensor(each.astype(np.float32), device=device) for each in (a, b))

    def loss():
        flat = ops.concatenate([ops.reshape(w["first"], (-1,)), w["second"]], axis=0)
        return 0.5 * ops.sum(flat * ops.matmul(matrix, flat)) - ops.sum(vector * flat)

    return w, loss, a, b


@pytest.mark.parametrize("method", METHODS)
def test_a_quadratic(device, method):
    w, loss, a, b = quadratic(device)
    found = optim.minimize(loss, w, method=method, tolerance=1e-4)
    assert found.converged
    assert found.steps <= (60 if method != "newton" else 10)
    exact = np.linalg.solve(a, b)
    got = np.concatenate([variable.numpy().reshape(-1) for variable in w.values()])
    np.testing.assert_allclose(got, exact, rtol=1e-3, atol=2e-4)
    assert found.loss == pytest.approx(-b @ exact / 2, rel=1e-4)


def reference_lbfgs_step(a, b, w, pairs):
    """Two loops in float64, as Nocedal and Wright write them (algorithm 7.4)."""
    q = a @ w - b
    alphas = []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - y @ q / (s @ y))
    return -q


def test_lbfgs_goes_where_its_formula_says(device):
    w, loss, a, b = quadratic(device, condition=10.0)
    pairs, here = [], np.zeros(12)
    for step in range(1, 6):
        for variable in w.values():
            variable.assign(np.zeros(variable.shape, np.float32))
        optim.minimize(loss, w, steps=step, tolerance=0.0, history=3)
        there = np.concatenate([variable.numpy().reshape(-1) for variable in w.values()]).astype(float)
        moved, wanted = there - here, reference_lbfgs_step(a, b, here, pairs[-3:])
        cosine = moved @ wanted / np.linalg.norm(moved) / np.linalg.norm(wanted)
        assert cosine > 1 - 1e-4, step
        pairs, here = [*pairs, (moved, a @ moved)], there


@pytest.mark.parametrize("method", METHODS)
def test_a_network(device, method):
    """About where SciPy's methods are after 60 steps: 0.0227 (L-BFGS-B), 0.0244 (CG)."""
    rng = np.random.default_rng(0)
    x = clnet.tensor(rng.normal(size=(80, 4)).astype(np.float32), device=device)
    y = clnet.tensor(np.sin(x.numpy().sum(1, keepdims=True)), device=device)
    net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(1))
    net.build((None, 4), device=device)
    variables = net.trainable_variables()

    def loss():
        return losses.mean_squared_error(net(x, training=True), y)

    first = float(loss())
    found = optim.minimize(loss, variables, method=method, steps=60)
    assert first > 0.5
    assert found.loss < 0.03
    assert found.loss == pytest.approx(float(loss()), rel=1e-5)
    again = float(clnet.value_and_grad(loss, wrt=variables)()[0])
    assert again == pytest.approx(found.loss, rel=1e-5)


def test_hvp_of_a_quadratic(device):
    w, loss, a, _ = quadratic(device)
    v = np.random.default_rng(1).normal(size=12).astype(np.float32)
    vectors = {"first": clnet.tensor(v[:4].reshape(2, 2), device=device), "second": clnet.tensor(v[4:], device=device)}
    product = clnet.hvp(loss, wrt=w)(vectors)
    got = np.concatenate([product[path].numpy().reshape(-1) for path in w])
    np.testing.assert_allclose(got, a @ v, rtol=1e-4, atol=1e-3)


def test_hvp_by_position_and_in_a_trace(device):
    x, v = (clnet.tensor(np.float32(each), device=device) for each in ([1, 2, 3], [1, 0, -1]))

    def cubes(scale, x):
        return ops.sum(scale * x * x * x)

    np.testing.assert_allclose(clnet.hvp(cubes, 1)(v, 2.0, x).numpy(), [12, 0, -36])
    step = clnet.compile(lambda x, v: clnet.hvp(cubes, 1)(v, 2.0, x) + 1, device=device)
    np.testing.assert_allclose(step(x, v).numpy(), [13, 1, -35])
    with pytest.raises(ShapeError, match=r"hvp: got vectors of shapes \[\(2,\)\], wanted .* \[\(3,\)\]"):
        clnet.hvp(cubes, 1)(v[:2], 2.0, x)


def test_hvp_of_a_network(device):
    """Against central differences of the gradient."""
    net = nn.Sequential(nn.Dense(6, activation="gelu"), nn.LayerNorm(), nn.Dense(3))
    dtype = "float64" if device.facts.float64 else "float32"
    net.build((None, 4), device=device, dtype=dtype)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)).astype(dtype), rng.integers(0, 3, 9).astype(np.int32)
    x, y = clnet.tensor(x, device=device), clnet.tensor(y, device=device)
    variables = net.trainable_variables()

    def loss():
        return losses.softmax_cross_entropy(net(x, training=True), y)

    at = {path: variable.numpy() for path, variable in variables.items()}
    v = {path: rng.normal(size=each.shape).astype(dtype) for path, each in at.items()}
    product = clnet.hvp(loss, wrt=variables)({p: clnet.tensor(each, device=device) for p, each in v.items()})
    gradient, step, ends = clnet.value_and_grad(loss, wrt=variables), 1e-5 if dtype == "float64" else 1e-2, []
    for sign in (1, -1):
        for path, variable in variables.items():
            variable.assign(at[path] + sign * step * v[path])
        ends.append({path: each.numpy() for path, each in gradient()[1].items()})
    for path in variables:
        wanted = (ends[0][path] - ends[1][path]) / (2 * step)
        allowed = 1e-6 if dtype == "float64" else 1e-2
        np.testing.assert_allclose(product[path].numpy(), wanted, rtol=allowed, atol=allowed)


def test_what_has_no_second_derivative_says_so(device):
    x = clnet.tensor(np.float32([1, 2]), device=device)
    softsign = ops.elementwise("softsign", "x / (1 + fabs(x))", "dy / ((1 + fabs(x)) * (1 + fabs(x)))")
    with pytest.raises(ArgumentError, match="softsign: has no derivative of this order"):
        clnet.hvp(lambda x: ops.sum(softsign(x)))(x, x)


def test_refusals(device):
    w, loss, *_ = quadratic(device)
    with pytest.raises(ArgumentError, match="method 'bfgs'"):
        optim.minimize(loss, w, method="bfgs")
    with pytest.raises(ArgumentError, match="nothing to train"):
        optim.minimize(loss, {})
    with pytest.raises(DivergenceError, match="not a finite number to begin with"):
        optim.minimize(lambda: ops.log(ops.sum(w["first"]) - 1), w)
