"""Normalizations: their formulas in float64, their gradients by central differences, running statistics, folding."""

import numpy as np
import pytest

import clnet
from clnet import Model, losses, nn, ops, optim
from clnet.errors import ArgumentError, ShapeError

STEP = 1e-6


def standardized(x, axes, epsilon):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def group(x, groups, epsilon):
    split = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    return standardized(split, (1, 3), epsilon).reshape(x.shape)


def batch(x):
    return standardized(x, tuple(range(x.ndim - 1)), 1e-3)


LAYERS = [
    ("batch of rows", lambda: nn.BatchNorm(), batch, (37, 5)),
    ("batch of pictures", lambda: nn.BatchNorm(), batch, (3, 5, 7, 18)),
    ("batch, long", lambda: nn.BatchNorm(), batch, (8, 65, 65, 3)),
    ("batch, channels first", lambda: nn.BatchNorm(axis=1), lambda x: standardized(x, (0, 2), 1e-3), (9, 4, 35)),
    ("layer", lambda: nn.LayerNorm(), lambda x: standardized(x, (-1,), 1e-3), (2, 5, 33)),
    ("layer, one feature", lambda: nn.LayerNorm(), lambda x: standardized(x, (-1,), 1e-3), (4, 1)),
    ("layer, 2 axes", lambda: nn.LayerNorm(axis=(-1, 1)), lambda x: standardized(x, (1, 3), 1e-3), (4, 3, 5, 2)),
    ("group", lambda: nn.GroupNorm(3), lambda x: group(x, 3, 1e-3), (4, 5, 3, 12)),
    ("group of rows", lambda: nn.GroupNorm(2), lambda x: group(x, 2, 1e-3), (5, 8)),
    ("rms", lambda: nn.RMSNorm(), lambda x: x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6), (7, 33)),
]
ids = [name for name, *_ in LAYERS]
LAYERS = [row[1:] for row in LAYERS]


def built(make, shape, device):
    """The layer with weights that are not 0 and 1, and their values in the shape of what they multiply."""
    layer = make()
    layer.build(shape, device=device)
    rng = np.random.default_rng(3)
    found = []
    for name in ("gamma", "beta"):
        variable = getattr(layer, name)
        if variable is None:
            found.append(np.zeros(()))
            continue
        variable.assign(rng.normal(1, 0.5, variable.shape).astype(np.float32))
        axis = getattr(layer, "axis", -1)
        axes = [each % len(shape) for each in (axis if isinstance(axis, tuple) else (axis,))]
        found.append(
            variable.numpy().astype(float).reshape([e if place in axes else 1 for place, e in enumerate(shape)])
        )
    return layer, *found


def data(shape, offset=0.5):
    return np.random.default_rng(1).normal(offset, 2, shape).astype(np.float32)


@pytest.mark.parametrize(("make", "formula", "shape"), LAYERS, ids=ids)
@pytest.mark.parametrize("form", ["auto", "gpu"])
def test_forward(device, make, formula, shape, form):
    layer, gamma, beta = built(make, shape, device)
    x = data(shape)
    call = clnet.compile(lambda x: layer(x, training=True), device=device, form=form)
    np.testing.assert_allclose(call(x).numpy(), formula(x.astype(float)) * gamma + beta, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("make", "formula", "shape"), LAYERS, ids=ids)
@pytest.mark.parametrize("form", ["auto", "gpu"])
def test_gradients(device, make, formula, shape, form):
    layer, gamma, beta = built(make, shape, device)
    x, weights = data(shape), data(shape, 0)

    def loss(x, weights):
        return ops.sum(ops.square(layer(x, training=True)) * weights)

    def both(x, weights):
        _, dx = clnet.value_and_grad(loss)(x, weights)
        _, grads = clnet.value_and_grad(loss, wrt=layer.trainable_variables())(x, weights)
        return dx, dict(grads)

    dx, grads = clnet.compile(both, device=device, form=form)(
        clnet.tensor(x, device=device), clnet.tensor(weights, device=device)
    )

    def exact(x, gamma, beta):
        return float((np.square(formula(x) * gamma + beta) * weights).sum())

    rng, at = np.random.default_rng(5), [x.astype(float), gamma, beta]
    for place, found in enumerate([dx, grads.get("gamma"), grads.get("beta")]):
        if found is None:
            continue
        got = found.numpy().astype(float).reshape(at[place].shape)
        for _ in range(3):
            along = rng.normal(size=got.shape)
            ends = [
                exact(*(each + sign * STEP * along if n == place else each for n, each in enumerate(at)))
                for sign in (1, -1)
            ]
            scale = np.abs(got * along).sum() + 1
            assert abs((got * along).sum() - (ends[0] - ends[1]) / (2 * STEP)) < 2e-5 * scale


def test_second_derivatives_see_through_the_shift(device):
    """d/dx of (dy/dx . v): the shift is a constant to both derivatives, which the formulas allow."""
    if not device.facts.float64:
        pytest.skip("no float64")
    for make, _, shape in (LAYERS[0], LAYERS[4], LAYERS[7]):
        layer = make()
        layer.build(shape, device=device, dtype="float64")
        x, v = data(shape).astype(float), data(shape, 0).astype(float)

        def slope(x, v, layer=layer):
            _, dx = clnet.value_and_grad(lambda x: ops.sum(ops.exp(layer(x, training=True) * 0.1)))(x)
            return ops.sum(dx * v)

        _, got = clnet.value_and_grad(slope)(clnet.tensor(x, device=device), clnet.tensor(v, device=device))

        def gradient(x, layer=layer):
            f = clnet.value_and_grad(lambda x: ops.sum(ops.exp(layer(x, training=True) * 0.1)))
            return f(clnet.tensor(x, device=device))[1].numpy()

        wanted = (gradient(x + 1e-5 * v) - gradient(x - 1e-5 * v)) / 2e-5
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


def test_a_step_walks_the_memory_once_for_statistics_and_once_for_gradients(device):
    """Forward: product, sums, normalization; backward: product, sums, normalization, two products."""
    net = nn.Sequential(nn.Dense(16), nn.BatchNorm(), nn.Activation("relu"), nn.Dense(3))
    net.build((8192, 4), device=device)

    def step(x, y):
        loss = clnet.value_and_grad(lambda: losses.quadratic(net(x, training=True), y), wrt=net.trainable_variables())
        optim.SGD(0.1).apply(loss()[1])

    plan = clnet.compile(step, device=device).plan(data((8192, 4)), data((8192, 3)))
    large = [each.ops for each in plan.steps if np.prod(each.shape) == 8192 * 16]
    assert large == [
        "matmul add",
        "sum sum",
        "relu",
        "matmul relu_backward",
        "sum sum",
        "multiply multiply add sum",  # the last is the gradient of the bias
    ]


def test_far_from_zero_and_constant_channels(device):
    x = data((64, 8)) + np.float32(1000)
    x[:, 3] = 7
    layer = nn.BatchNorm()
    y = clnet.compile(lambda x: layer(x, training=True), device=device)(x).numpy()
    np.testing.assert_allclose(y, batch(x.astype(float)), rtol=1e-3, atol=1e-3)
    assert (y[:, 3] == 0).all()


def test_running_statistics(device):
    layer = nn.BatchNorm(momentum=0.9)
    step = clnet.compile(lambda x: layer(x, training=True), device=device)
    mean, variance = np.zeros(4), np.ones(4)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(seed, 2, (6, 3, 5, 4)).astype(np.float32)
        step(clnet.tensor(x, device=device))
        mean = 0.9 * mean + 0.1 * x.mean((0, 1, 2), dtype=float)
        variance = 0.9 * variance + 0.1 * x.var((0, 1, 2), dtype=float)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)
    got = layer(clnet.tensor(x, device=device)).numpy()
    np.testing.assert_allclose(got, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer(clnet.tensor(x[:1], device=device)).numpy(), got[:1])
    assert list(layer.trainable_variables()) == ["gamma", "beta"]


def test_a_shared_layer_moves_with_each_call(device):
    layer = nn.BatchNorm(momentum=0.5)
    step = clnet.compile(lambda a, b: (layer(a, training=True), layer(b, training=True)), device=device)
    a, b = data((5, 3)), data((5, 3), 4)
    step(clnet.tensor(a, device=device), clnet.tensor(b, device=device))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.25 * a.mean(0) + 0.5 * b.mean(0), rtol=1e-5)


def test_a_frozen_layer_computes_as_in_inference(device):
    x = data((16, 3))
    model = Model(nn.Sequential(nn.BatchNorm(), nn.Dropout(0.5), nn.Dense(2)), loss="quadratic", device=device)
    model.fit(x, x[:, :2], verbose=0)
    before = model.net.layers[0].moving_mean.numpy()
    model.net.layers[0].trainable = model.net.layers[1].trainable = False
    model.optimizer.learning_rate = 0.0
    loss = model.fit(x, x[:, :2], verbose=0).history["loss"][0]
    np.testing.assert_array_equal(model.net.layers[0].moving_mean.numpy(), before)
    assert loss == pytest.approx(model.evaluate(x, x[:, :2])["loss"], rel=1e-6)


def test_statistics_are_saved_and_resumed(device, tmp_path):
    x, y = data((50, 6)), (np.arange(50) % 3).astype(np.int32)

    def model():
        net = nn.Sequential(nn.Dense(8), nn.BatchNorm(), nn.Activation("relu"), nn.LayerNorm(), nn.Dense(3))
        return Model(net, loss="softmax_cross_entropy", optimizer=optim.Adam(0.01), device=device, seed=2)

    never, stopped = model(), model()
    whole = never.fit(x, y, epochs=4, batch_size=16, verbose=0).history["loss"]
    first = stopped.fit(x, y, epochs=2, batch_size=16, verbose=0).history["loss"]
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=device)
    assert first + resumed.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, verbose=0).history["loss"] == whole
    np.testing.assert_array_equal(resumed.predict(x), never.predict(x))


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False}])
def test_folding_gives_the_same_outputs(device, options):
    x, y = data((60, 6)), (np.arange(60) % 3).astype(np.int32)
    shared = nn.Dense(5, use_bias=False)
    net = nn.Sequential(
        nn.Residual(nn.Sequential(nn.Dense(6), nn.BatchNorm(**options))),
        *(shared, nn.BatchNorm(momentum=0.5, **options), nn.Activation("relu"), nn.BatchNorm(), nn.Dense(3)),
    )
    model = Model(net, loss="softmax_cross_entropy", optimizer=optim.SGD(0.1), device=device)
    model.fit(x, y, epochs=3, verbose=0)
    folded = nn.fold_batch_norm(model.net)
    assert [type(layer).__name__ for layer in folded.layers] == [
        "Residual",
        "Dense",
        "Activation",
        "BatchNorm",
        "Dense",
    ]
    assert [type(layer).__name__ for layer in folded.layers[0].layer.layers] == ["Dense"]
    assert folded.layers[-1] is net.layers[-1]
    assert len(net.layers) == 6
    assert net.layers[1].bias is None
    np.testing.assert_allclose(Model(folded, device=device).predict(x), model.predict(x), rtol=1e-4, atol=1e-5)


def test_folding_into_convolutions(device):
    net = nn.Sequential(
        *(nn.Conv2D(4, 3, padding="same", use_bias=False), nn.BatchNorm(momentum=0.5), nn.Activation("relu")),
        *(nn.DepthwiseConv2D(3), nn.BatchNorm(momentum=0.5)),
        *(nn.Conv2DTranspose(4, 3), nn.BatchNorm(momentum=0.5)),
    )
    x = clnet.tensor(data((3, 6, 5, 2)), device=device)
    clnet.compile(lambda x: net(x, training=True), device=device)(x)
    folded = nn.fold_batch_norm(net)
    kinds = [type(layer).__name__ for layer in folded.layers]
    assert kinds[:3] == ["Conv2D", "Activation", "DepthwiseConv2D"]
    np.testing.assert_allclose(folded(x).numpy(), net(x).numpy(), rtol=1e-4, atol=1e-5)
    plain = nn.Sequential(nn.Dense(2))
    plain.build((None, 3), device=device)
    assert nn.fold_batch_norm(plain) is plain


def test_refusals(device):
    x = clnet.tensor(data((2, 5, 6)), device=device)
    with pytest.raises(ShapeError, match="GroupNorm: input has 6 channels, which 4 groups do not divide"):
        nn.GroupNorm(4)(x)
    with pytest.raises(ShapeError, match=r"LayerNorm: input has shape \(2, 5, 6\), axis is \(0, 1\)"):
        nn.LayerNorm(axis=(0, 1))(x)
    with pytest.raises(ShapeError, match=r"BatchNorm: .* axis is 3; wants axes behind the batch"):
        nn.BatchNorm(axis=3)(x)
    layer = nn.BatchNorm()
    layer(x)
    with pytest.raises(ShapeError, match=r"BatchNorm: input of shape \(2, 5\) has \(5,\) along axes \(1,\), weights"):
        layer(clnet.tensor(data((2, 5)), device=device))
    with pytest.raises(ShapeError, match=r"RMSNorm: input has shape \(6,\)"):
        nn.RMSNorm()(clnet.tensor(data((6,)), device=device))
    for make in (lambda: nn.BatchNorm(momentum=2), lambda: nn.LayerNorm(epsilon=0), lambda: nn.GroupNorm(0)):
        with pytest.raises(ArgumentError, match="wants"):
            make()
    with pytest.raises(ArgumentError, match="no variables yet"):
        nn.fold_batch_norm(nn.Dense(3))


@pytest.mark.parametrize("kind", ["batch", "layer", "group", "rms"])
def test_beside_pytorch(kind, device):
    """Outputs in training and in inference, gradients, and running statistics (its variance is the unbiased one)."""
    torch = pytest.importorskip("torch")
    x, weights = data((6, 5, 7, 8)), data((6, 5, 7, 8), 0)
    make, theirs = {
        "batch": (nn.BatchNorm(momentum=0.9, epsilon=1e-5), torch.nn.BatchNorm2d(8, momentum=0.1)),
        "layer": (nn.LayerNorm(epsilon=1e-5), torch.nn.LayerNorm(8)),
        "group": (nn.GroupNorm(4, epsilon=1e-5), torch.nn.GroupNorm(4, 8)),
        "rms": (nn.RMSNorm(), torch.nn.RMSNorm(8, eps=1e-6)),
    }[kind]
    layer, gamma, beta = built(lambda: make, x.shape, device)
    moved = kind in ("batch", "group")  # channels come second there

    def there(array):
        return torch.tensor(array.astype(np.float64)).permute(0, 3, 1, 2) if moved else torch.tensor(array).double()

    def back(tensor):
        return (tensor.permute(0, 2, 3, 1) if moved else tensor).detach().numpy()

    theirs = theirs.double()
    theirs.weight.data = torch.tensor(gamma.reshape(-1))
    if kind != "rms":
        theirs.bias.data = torch.tensor(beta.reshape(-1))
    given = there(x).requires_grad_()
    y = theirs(given)
    (y * there(weights)).sum().backward()
    both = clnet.compile(
        lambda x, w: clnet.value_and_grad(lambda x: (ops.sum((y := layer(x, training=True)) * w), y), has_aux=True)(x),
        device=device,
    )
    (_, own), dx = both(x, weights)
    np.testing.assert_allclose(own.numpy(), back(y), rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(dx.numpy(), back(given.grad), rtol=1e-4, atol=2e-5)
    if kind == "batch":
        count = x.size / 8
        biased = (theirs.running_var - 0.9) * (count - 1) / count + 0.9
        np.testing.assert_allclose(layer.moving_mean.numpy(), theirs.running_mean.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.moving_variance.numpy(), biased.numpy(), rtol=1e-4)
        theirs.running_var = biased
    theirs.eval()
    np.testing.assert_allclose(
        layer(clnet.tensor(x, device=device)).numpy(), back(theirs(there(x))), rtol=1e-4, atol=2e-5
    )
