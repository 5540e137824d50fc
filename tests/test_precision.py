"""float16: tensors of it, products of it, training in mixed precision with a loss scale; refusals where it is not."""

import copy

import numpy as np
import pytest
from networks import problem, same, small, weights

import clnet
from clnet import Ensemble, Model, losses, nn, ops, optim
from clnet.cases import tolerance
from clnet.errors import ArgumentError, DivergenceError, DTypeError

MIXED = {"precision": "mixed_float16"}


@pytest.fixture
def half_device(device):
    if not device.facts.float16:
        pytest.skip(f"{device.name} has no float16")
    return device


def everything(model):
    kept = {**model.variables(), **model.optimizer.variables(), **model._scaled()}
    return {path: variable.numpy() for path, variable in kept.items()}


def set_scale(model, scale, good=0):
    model._scaled()["scale"].assign(np.float32(scale))
    model._scaled()["good"].assign(np.int32(good))


def state(model):
    return tuple(variable.numpy().item() for variable in model._scaled().values())


def fit(model, epochs, **options):
    x, y = problem()
    return model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, **options)


def test_refused_where_it_is_not(device):
    if device.facts.float16:
        pytest.skip(f"{device.name} has float16")
    asked = {
        "tensor": lambda: clnet.tensor(np.ones(3, np.float16), device=device),
        "cast": lambda: ops.cast(clnet.tensor(np.ones(3, np.float32), device=device), "float16"),
        "full": lambda: ops.zeros(3, dtype="float16", device=device),
        "Model: precision='mixed_float16'": lambda: small(device, **MIXED),
    }
    for who, ask in asked.items():
        with pytest.raises(DTypeError) as refusal:
            ask()
        for said in (who, "got dtype float16", device.name, "use float32"):
            assert said in str(refusal.value)


def test_unknown_precision(device):
    with pytest.raises(ArgumentError, match="precision is 'half', wants one of float32, mixed_float16"):
        small(device, precision="half")


def test_tensors_go_there_and_back(half_device):
    array = np.array([[1.5, -2, 65504], [6e-8, np.inf, 0]], np.float16)
    x = clnet.tensor(array, device=half_device)
    assert (x.dtype, x.nbytes) == (np.float16, 12)
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(ops.cast(x, "float32").numpy(), array.astype(np.float32))
    wide = np.array([1 + 2**-11, 1 + 3 * 2**-11, 70000, 1e-9], np.float32)
    np.testing.assert_array_equal(
        ops.cast(clnet.tensor(wide, device=half_device), "float16").numpy(),
        np.array([1, 1 + 2**-9, np.inf, 0], np.float16),
    )


def test_dtypes_that_meet(half_device):
    half = clnet.tensor(np.full(3, 0.1, np.float16), device=half_device)
    single = clnet.tensor(np.full(3, 0.1, np.float32), device=half_device)
    assert (half + 0.1).dtype == (half * half).dtype == ops.softmax(half).dtype == np.float16
    assert (half + single).dtype == np.float32
    assert ops.argmax(half).dtype == np.int32
    assert (half > 0.05).dtype == np.bool_


def test_sums_do_not_overflow_on_the_way(half_device):
    x = clnet.tensor(np.full((300, 1000), 100, np.float16), device=half_device)
    assert ops.mean(x).item() == 100
    np.testing.assert_array_equal(ops.mean(x, axis=0).numpy(), np.full(1000, 100, np.float16))


@pytest.mark.parametrize("form", ["auto", "gpu"])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_products(half_device, form, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    for m, k, n in [(3, 5, 7), (1, 64, 40), (37, 300, 65), (128, 784, 100), (17, 300, 1)]:
        a = rng.normal(size=(k, m) if transpose_a else (m, k)).astype(np.float16)
        b = rng.normal(size=(n, k) if transpose_b else (k, n)).astype(np.float16)
        product = clnet.compile(
            lambda a, b: ops.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b),
            device=half_device,
            form=form,
        )
        found = product(a, b).numpy()
        left, right = (side.astype(np.float64) for side in (a, b))
        exact = (left.T if transpose_a else left) @ (right.T if transpose_b else right)
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, exact, rtol=tolerance(np.float16), atol=1e-3 * np.abs(exact).max())


def test_reikna_refuses(half_device):
    a = clnet.tensor(np.ones((4, 4), np.float16), device=half_device)
    with pytest.raises(ArgumentError, match="reikna multiplies float32 and float64, got float16"):
        clnet.compile(ops.matmul, device=half_device, gemm="reikna")(a, a)


def test_the_gradient_of_a_cast_weight_is_not_rounded(half_device):
    """float32 sums of float16 products, whose exact values float32 holds here, and float16 does not."""
    x = clnet.tensor(np.full((3, 2), 1 + 2**-10, np.float16), device=half_device)
    w = clnet.tensor(np.ones((2, 1), np.float32), device=half_device)
    _, (dx, dw) = clnet.value_and_grad(lambda x, w: ops.sum(x @ ops.cast(w, "float16")), wrt=(0, 1))(x, w)
    assert (dx.dtype, dw.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(dw.numpy(), np.full((2, 1), 3 * (1 + 2**-10), np.float32))


def test_what_mixed_precision_stores(half_device):
    """Activations and their gradients are half as large; weights, gradients of weights and what is returned are not."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 64)).astype(np.float32), rng.integers(10, size=256).astype(np.int32)
    sizes = {}
    for precision in ("float32", "mixed_float16"):
        net = nn.Sequential(*(nn.Dense(64, activation="relu") for _ in range(6)), nn.Dense(10))
        model = Model(net, "softmax_cross_entropy", optim.SGD(0.1), device=half_device, precision=precision)
        model.fit(x, y, batch_size=256, verbose=0)
        (compiled,) = model._steps._train.values()
        ((plan, _),) = compiled._plans.values()
        sizes[precision] = plan.nbytes
        assert model.predict(x).dtype == np.float32
        assert {variable.dtype for variable in model.variables().values()} == {np.dtype(np.float32)}
    assert sizes["mixed_float16"] < 0.9 * sizes["float32"]


def test_the_accuracy_is_that_of_float32(half_device):
    digits = clnet.data.load("digits")
    found = []
    for precision in ("float32", "mixed_float16"):
        net = nn.Sequential(nn.Flatten(), nn.Dense(64, activation="relu"), nn.BatchNorm(), nn.Dense(10))
        model = Model(
            net, "softmax_cross_entropy", optim.Adam(2e-3), ["accuracy"], device=half_device, precision=precision
        )
        model.fit(*digits.train, epochs=8, verbose=0)
        found.append(model.evaluate(*digits.test)["accuracy"])
    assert found[0] > 0.95
    assert abs(found[0] - found[1]) < 0.01


@pytest.mark.parametrize("optimizer", [optim.SGD(0.1, momentum=0.9), optim.Adam(accumulate=2, average=optim.EMA())])
def test_a_step_that_overflows_halves_the_scale_and_is_none(half_device, optimizer):
    x, y = problem()
    net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.BatchNorm(), nn.Dropout(0.2), nn.Dense(3))
    model = Model(net, "softmax_cross_entropy", optimizer, device=half_device, **MIXED)
    model.fit(x[:32], y[:32], epochs=3, batch_size=16, verbose=0)
    assert state(model) == (2**15, 6)
    set_scale(model, 2.0**24, good=6)
    before = everything(model)
    history = model.fit(x[:16], y[:16], batch_size=16, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert state(model) == (2**23, 0)
    after = everything(model)
    for name in model._scaled():
        del before[name], after[name]
    same(before, after)


def test_good_steps_double_the_scale(half_device, monkeypatch):
    monkeypatch.setattr("clnet.training.scaling.GROWTH", 3)
    model = small(half_device, **MIXED)
    x, y = problem()
    model.fit(x[:64], y[:64], batch_size=16, verbose=0)
    assert state(model) == (2**16, 1)


def test_a_loss_that_is_none_and_gradients_that_never_are_finite_diverge(half_device):
    x, y = problem()
    model = small(half_device, **MIXED)
    with pytest.raises(DivergenceError):
        model.fit(x * 1e6, y, verbose=0)  # infinite as float16

    def steep(predictions, targets, *, weights=None):
        return ops.sum(ops.square(predictions)) * 1e6

    model = small(half_device, loss=steep, **MIXED)
    with pytest.raises(DivergenceError):
        model.fit(x, y, epochs=20, batch_size=16, verbose=0)


def test_the_scale_changes_no_bit(half_device):
    found = []
    for scale in (2.0**10, 2.0**13):
        model = small(half_device, optimizer=optim.Adam(), **MIXED)
        set_scale(model, scale)
        fit(model, 2)
        found.append(weights(model))
    same(*found)


def test_stopped_and_resumed_gives_the_bits_of_never_stopped(half_device, tmp_path, monkeypatch):
    monkeypatch.setattr("clnet.training.scaling.GROWTH", 4)
    options = {"dropout": 0.3, "optimizer": optim.Adam(0.01), "metrics": ["accuracy"], "seed": 5, **MIXED}
    never = small(half_device, **options)
    whole = fit(never, 4).history["loss"]
    stopped = small(half_device, **options | {"optimizer": optim.Adam(0.01)})
    first = fit(stopped, 2).history["loss"]
    stopped.save(tmp_path / "net")
    resumed = Model.load(tmp_path / "net", device=half_device)
    assert resumed.precision == "mixed_float16"
    assert first + fit(resumed, 4, initial_epoch=2).history["loss"] == whole
    same(everything(never), everything(resumed))


def test_each_network_of_many_has_its_own_scale(half_device, tmp_path):
    x, y = problem()
    net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(3))
    many = Ensemble(net, "softmax_cross_entropy", copies=3, device=half_device, **MIXED)
    many.fit(x, y, epochs=2, verbose=0)
    alone = Model(
        nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(3)),
        "softmax_cross_entropy",
        device=half_device,
        seed=1,
        **MIXED,
    )
    alone.fit(x, y, epochs=2, verbose=0)
    same(everything(many.network(1)), everything(alone))
    many.save(tmp_path / "many")
    loaded = Ensemble.load(tmp_path / "many", device=half_device)
    same(everything(many), everything(loaded))
    assert everything(loaded)["scale"].shape == (3,)


LAYERS = {
    "convolution": (nn.Conv2D(6, 3, padding="same", activation="relu"), (5, 8, 8, 3)),
    "pools": (nn.Sequential(nn.Conv2D(5, 3), nn.MaxPool2D(2), nn.GlobalAvgPool2D()), (5, 8, 8, 3)),
    "transposed": (nn.Conv2DTranspose(5, 3, strides=2), (5, 4, 4, 3)),
    "depthwise": (nn.DepthwiseConv2D(3), (5, 8, 8, 3)),
    "lstm": (nn.LSTM(6), (5, 4, 3)),
    "gru": (nn.Bidirectional(nn.GRU(6)), (5, 4, 3)),
    "attention": (nn.TransformerEncoderLayer(8, 2, feed_forward=16), (5, 4, 8)),
    "normalizations": (nn.Sequential(nn.Dense(8), nn.LayerNorm(), nn.Dense(8), nn.GroupNorm(2), nn.RMSNorm()), (5, 6)),
    "own": (nn.Parallel(nn.Dense(3), nn.Dense(4)), (5, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_learn_as_in_float32(half_device, name):
    """Loss and weights after two steps are near those of float32."""
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape).astype(np.float32), rng.integers(3, size=shape[0]).astype(np.int32)
    found = []
    for precision in ("float32", "mixed_float16"):
        net = nn.Sequential(copy.deepcopy(layer), nn.Flatten(), nn.Dense(3))
        model = Model(net, "softmax_cross_entropy", optim.SGD(0.05), device=half_device, precision=precision)
        history = model.fit(x, y, epochs=2, batch_size=5, verbose=0).history["loss"]
        found.append((history, weights(model)))
    (loss, wanted), (mixed, got) = found
    np.testing.assert_allclose(mixed, loss, rtol=0.01)
    for path, value in wanted.items():
        np.testing.assert_allclose(got[path], value, atol=0.01 * (1 + np.abs(value).max()), err_msg=path)


def test_losses_are_computed_in_float32(half_device):
    """A probability of 1e-6 is known to 0.1 %, its logarithm to 1e-4."""
    z = clnet.tensor(np.array([[0, 13.8125]], np.float16), device=half_device)
    loss = losses.softmax_cross_entropy(ops.cast(z, "float32"), clnet.tensor(np.zeros(1, np.int32), device=half_device))
    np.testing.assert_allclose(loss.numpy(), 13.8125, rtol=1e-6)
