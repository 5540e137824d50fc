"""Initializers: the distributions they promise, and the same bits for the same seed."""

import numpy as np
import pytest

from clnet.errors import ArgumentError
from clnet.nn.initializers import Constant, Normal, Orthogonal, Uniform, VarianceScaling, fans, initializer


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[3, 4]))


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / (400 + 600)),
        ("glorot_uniform", 2 / (400 + 600)),
        ("he_normal", 2 / 400),
        ("he_uniform", 2 / 400),
        ("lecun_normal", 1 / 400),
        ("lecun_uniform", 1 / 400),
        ("normal", 1.0),
        ("uniform", 0.1**2 / 12),
    ],
)
def test_named_initializers_have_mean_0_and_their_variance(name, variance):
    values = initializer(name)((400, 600), rng())
    assert values.shape == (400, 600)
    assert abs(values.mean()) < 4 * np.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.02)


def test_uniform_scaling_stays_inside_its_limit():
    assert np.abs(VarianceScaling(1, "fan_avg", "uniform")((30, 20), rng())).max() <= np.sqrt(6 / 50)


@pytest.mark.parametrize("shape", [(20, 20), (30, 10), (10, 30), (3, 3, 2, 8)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape):
    q = Orthogonal(gain=2.0)(shape, rng()).reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, 4 * np.eye(min(q.shape)), atol=1e-12)


def test_constants_and_configured_ones():
    assert (initializer("zeros")((2, 3), rng()) == 0).all()
    assert (initializer("ones")((2, 3), rng()) == 1).all()
    assert (Constant(0.5)((4,), rng()) == 0.5).all()
    assert Normal(mean=3, stddev=0.1)((1000,), rng()).mean() == pytest.approx(3, abs=0.02)
    assert Uniform(2, 3)((1000,), rng()).min() >= 2


def test_a_window_counts_into_both_fans():
    assert fans((3, 5, 7, 11)) == (3 * 5 * 7, 3 * 5 * 11)
    assert fans((7, 11)) == (7, 11)
    assert fans((7,)) == (7, 7)


def test_unknown_names_say_which_there_are():
    with pytest.raises(ArgumentError, match=r"got 'xavier', wants a callable .* glorot_normal"):
        initializer("xavier")
    with pytest.raises(ArgumentError, match="at least 2 axes"):
        Orthogonal()((3,), rng())
