"""Layers: what they compute, how their variables are named and made, and what they refuse."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, DTypeError, ShapeError


class Two(nn.Layer):
    """Two inputs, as a user would write it."""

    def __init__(self):
        self.left, self.right, self.out = nn.Dense(3), nn.Dense(4), nn.Dense(1)

    def call(self, a, b, *, training=False):
        return self.out(ops.concatenate([self.left(a), self.right(b)], axis=-1))


class Scale(nn.Layer):
    """A user's own variable."""

    def setup(self, shape):
        self.add_variable("factor", shape[-1:], "ones")

    def call(self, x, *, training=False):
        return x * self.factor


def values(device, *shape, seed=0):
    return clnet.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32), device=device)


def test_dense_is_a_product_a_bias_and_an_activation(device):
    x = values(device, 5, 7)
    layer = nn.Dense(4, activation="tanh", bias_initializer="normal")
    y = layer(x).numpy()
    weight, bias = layer.weight.numpy().astype(float), layer.bias.numpy()
    assert weight.shape == (7, 4)
    np.testing.assert_allclose(y, np.tanh(x.numpy() @ weight + bias), rtol=1e-5, atol=1e-6)


def test_dense_without_bias_and_with_more_axes(device):
    x = values(device, 2, 3, 7)
    layer = nn.Dense(4, use_bias=False)
    y = layer(x).numpy()
    assert layer.variables().keys() == {"weight"}
    np.testing.assert_allclose(y, x.numpy() @ layer.weight.numpy(), rtol=1e-5, atol=1e-6)


def test_dense_casts_pictures_of_bytes(device):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 12)
    layer = nn.Dense(3)
    y = layer(clnet.tensor(pixels, device=device)).numpy()
    np.testing.assert_allclose(y, pixels.astype(np.float32) @ layer.weight.numpy(), rtol=1e-5)


def test_flatten_activation_residual(device):
    x = values(device, 4, 2, 3)
    assert nn.Flatten()(x).shape == (4, 6)
    np.testing.assert_array_equal(nn.Activation("relu")(x).numpy(), np.maximum(x.numpy(), 0))
    np.testing.assert_array_equal(nn.Activation(ops.square)(x).numpy(), np.square(x.numpy()))
    np.testing.assert_array_equal(nn.Residual(ops.relu)(x).numpy(), x.numpy() + np.maximum(x.numpy(), 0))
    both = nn.Residual(nn.Dense(5), shortcut=nn.Dense(5))
    assert both(values(device, 4, 6)).shape == (4, 5)
    assert list(both.variables()) == ["layer/weight", "layer/bias", "shortcut/weight", "shortcut/bias"]


def test_paths_name_the_variables(device):
    net = nn.Sequential(nn.Dense(3), nn.Dropout(0.5), nn.Sequential(nn.Dense(2), Scale()))
    net.build((None, 4), device=device)
    assert {path: variable.shape for path, variable in net.variables().items()} == {
        "0/weight": (4, 3),
        "0/bias": (3,),
        "1/counter": (),
        "2/0/weight": (3, 2),
        "2/0/bias": (2,),
        "2/1/factor": (2,),
    }
    assert "1/counter" not in net.trainable_variables()
    two = Two()
    two.build((None, 2), (None, 5), device=device)
    assert two.variables()["right/weight"].shape == (5, 4)
    assert [variable.name for variable in two.variables().values()] == list(two.variables())


def test_layers_in_lists_and_dicts_are_found_and_shared_ones_once(device):
    class Nest(nn.Layer):
        def __init__(self):
            self.blocks = [nn.Dense(2), nn.Dense(2)]
            self.heads = {"a": nn.Dense(1)}
            self.again = self.blocks[0]

        def call(self, x, *, training=False):
            return self.heads["a"](self.again(self.blocks[1](self.blocks[0](x))))

    net = Nest()
    net.build((None, 2), device=device)
    assert list(net.variables()) == [
        *("blocks/0/weight", "blocks/0/bias", "blocks/1/weight", "blocks/1/bias", "heads/a/weight", "heads/a/bias")
    ]


def test_frozen_layers_are_not_trained(device):
    net = nn.Sequential(nn.Dense(3), nn.Sequential(nn.Dense(2)))
    net.build((None, 4), device=device)
    net.layers[1].trainable = False
    assert list(net.trainable_variables()) == ["0/weight", "0/bias"]
    assert len(net.variables()) == 4


def test_first_values_depend_on_seed_and_path_only(device):
    def weights(seed, *layers):
        net = nn.Sequential(*layers)
        net.build((None, 6), seed=seed, device=device)
        return {path: variable.numpy() for path, variable in net.variables().items()}

    one, same, other = weights(1, nn.Dense(3)), weights(1, nn.Dense(3), nn.Dense(2)), weights(2, nn.Dense(3))
    np.testing.assert_array_equal(one["0/weight"], same["0/weight"])
    assert (one["0/weight"] != other["0/weight"]).any()


def test_build_runs_nothing_and_takes_shapes_as_keras_does(device):
    net = nn.Sequential(nn.Flatten(), nn.Dense(3))
    net.build((None, 2, 4), device=device)
    assert net.variables()["1/weight"].shape == (8, 3)
    assert net.output_shape == (1, 3)
    flat = nn.Dense(3)
    flat.build((784,), device=device)
    assert flat.weight.shape == (784, 3)


def test_a_trained_part_keeps_its_values_in_a_new_network(device):
    base = nn.Dense(3)
    base.build((None, 4), seed=5, device=device)
    before = base.weight.numpy()
    net = nn.Sequential(base, nn.Dense(2))
    net.build((None, 4), seed=6, device=device)
    np.testing.assert_array_equal(net.variables()["0/weight"].numpy(), before)


def test_float64_networks(device):
    if not device.facts.float64:
        pytest.skip("no float64")
    layer = nn.Dense(2)
    layer.build((None, 3), device=device, dtype="float64")
    assert layer.weight.dtype == np.float64


def test_refusals(device):
    layer = nn.Dense(5)
    layer.build((None, 32), device=device)
    with pytest.raises(ShapeError, match="Dense: input has 20 features, weights want 32"):
        layer(values(device, 3, 20))
    with pytest.raises(ShapeError, match=r"Dense: input has shape \(20,\)"):
        layer(values(device, 20))
    with pytest.raises(ShapeError, match="Residual: layer gives"):
        nn.Residual(nn.Dense(3))(values(device, 2, 4))
    with pytest.raises(DTypeError, match="wants a clnet tensor"):
        layer(np.zeros((3, 32), np.float32))
    with pytest.raises(ArgumentError, match="seed is -1"):
        nn.Dense(3).build((None, 2), seed=-1, device=device)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dense(0), "units is 0"),
        (lambda: nn.Dense(3, activation="rely"), "got 'rely'"),
        (lambda: nn.Dense(3, weight_initializer="xavier"), "got 'xavier'"),
        (lambda: nn.Dropout(1.0), "rate is 1.0"),
        (lambda: nn.Sequential([nn.Dense(2)]), "wants layers"),
        (lambda: nn.Dense(3).add_variable("w", (2,), "zeros"), "belongs in setup"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
