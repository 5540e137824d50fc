"""Recipes: what clnet's objects are made from, as JSON and back; nothing else can be made."""

import functools
import json

import numpy as np
import pytest

from clnet import losses, metrics, nn, ops, optim, recipe, schedules
from clnet.errors import CheckpointError
from clnet.graph import Spec
from clnet.nn import initializers


def again(value):
    return recipe.read(json.loads(json.dumps(recipe.write(value))))


def test_networks():
    net = nn.Sequential(
        nn.Flatten(),
        nn.Residual(nn.Dense(5, activation=ops.relu), shortcut=nn.Dense(5, use_bias=False)),
        nn.Dense(3, weight_initializer=initializers.Normal(stddev=0.5), bias_initializer="normal"),
        nn.Dropout(0.25),
        nn.Activation("softmax"),
    )
    made = again(net)
    assert recipe.write(made) == recipe.write(net)
    assert made.layers[1].layer.activation is ops.relu
    assert made.layers[2].weight_initializer == initializers.Normal(stddev=0.5)
    assert made.layers[3].rate == 0.25


OPTIMIZERS = [
    name for name, kind in vars(optim).items() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    optimizer = getattr(optim, name)(0.3, l2=0.5, clip_norm=2.0)
    made = again(optimizer)
    assert type(made) is type(optimizer)
    assert recipe.write(made) == recipe.write(optimizer)


def test_schedules_losses_metrics_specs():
    schedule = schedules.CosineDecay(0.1, decay=100, warmup=5)
    assert again(optim.SGD(schedule)).learning_rate == schedule
    assert again(losses.huber) is losses.huber
    assert again("huber") == "huber"
    partial = again(functools.partial(losses.huber, delta=2.0))
    assert (partial.func, partial.keywords) == (losses.huber, {"delta": 2.0})
    assert again({"a": ["accuracy"], "b": [metrics.accuracy]}) == {"a": ("accuracy",), "b": (metrics.accuracy,)}
    assert again(Spec((1, 784), np.dtype("float32"))) == Spec((1, 784), np.dtype("float32"))


def test_numbers_of_numpys():
    net = nn.Dense(np.int64(3))
    assert again(net).units == 3
    assert again(optim.SGD(np.float32(0.5))).learning_rate == 0.5
    weighted = again(functools.partial(losses.softmax_cross_entropy, class_weights=np.array([1.0, 2.0])))
    assert weighted.keywords == {"class_weights": (1.0, 2.0)}


class Own(nn.Layer):
    """A layer that clnet does not know."""


@pytest.mark.parametrize(
    "value",
    [Own(), nn.Sequential(Own()), lambda p, t: p, np.tanh, functools.partial(np.clip, a_min=0), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_clnets_has_none(value):
    with pytest.raises(recipe.NoRecipeError):
        recipe.write(value)


def test_a_layer_that_is_used_again_is_made_once():
    first, second = nn.Dense(3), nn.Dropout(0.5)
    made = again(nn.Sequential(second, first, nn.Residual(nn.Sequential(second, first)), first))
    inner = made.layers[2].layer
    assert made.layers[1] is inner.layers[1] is made.layers[3]
    assert made.layers[0] is inner.layers[0]
    assert "as" not in recipe.write(nn.Sequential(nn.Dense(3), nn.Dense(3)))["with"]["layers"][0]
    with pytest.raises(CheckpointError):
        recipe.read({"again": 0})


@pytest.mark.parametrize(
    "damaged",
    [
        {"make": "os.system", "with": {"command": "true"}},
        {"make": "nn.Layer.__init__", "with": {}},
        {"make": "nn.initializers", "with": {}},
        {"make": "ops.np", "with": {}},
        {"make": "nn.Dense", "with": {"units": -1}},
        {"make": "nn.Dense", "with": {"unit": 3}},
        {"make": "nn.Dense"},
        {"name": "losses.np"},
        {"name": 3},
        {"spec": [1]},
        {"what": "ever"},
    ],
    ids=str,
)
def test_damaged_recipes(damaged):
    with pytest.raises(CheckpointError):
        recipe.read(damaged)
