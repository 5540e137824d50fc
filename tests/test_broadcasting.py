"""Properties of arithmetic and reductions over shapes that hypothesis makes: the same as NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import clnet
from clnet import ops

SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def array(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


@SETTINGS
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=5, min_side=0))
def test_three_shapes_broadcast(device: clnet.Device, shapes: hnp.BroadcastableShapes) -> None:
    a, b, c = (array(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
    fused = clnet.compile(lambda a, b, c: (a + b) * c - ops.maximum(a, c), device=device)
    got = fused(*(clnet.tensor(each, device=device) for each in (a, b, c)))
    np.testing.assert_array_equal(got.numpy(), (a + b) * c - np.maximum(a, c))


@SETTINGS
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=5))
def test_gradients_of_broadcast_inputs_have_their_shapes(device: clnet.Device, shapes: hnp.BroadcastableShapes) -> None:
    a, b = (array(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
    function = clnet.value_and_grad(lambda a, b: ops.sum(a * b), wrt=(0, 1))
    _, (da, db) = function(clnet.tensor(a, device=device), clnet.tensor(b, device=device))
    ones = np.ones(shapes.result_shape, np.float32)
    assert da.shape == a.shape
    assert db.shape == b.shape
    np.testing.assert_allclose(da.numpy(), reduced(ones * b, a.shape), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(db.numpy(), reduced(ones * a, b.shape), rtol=1e-5, atol=1e-5)


def reduced(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes that broadcasting made."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(axis for axis, extent in enumerate(shape) if extent == 1), keepdims=True).reshape(shape)


@SETTINGS
@given(shape=SHAPES, data=st.data(), keepdims=st.booleans())
def test_sums_over_any_axes(device: clnet.Device, shape: tuple[int, ...], data: st.DataObject, keepdims: bool) -> None:
    axes = data.draw(st.none() | st.sets(st.integers(0, len(shape) - 1)).map(tuple)) if shape else None
    x = array(shape, 3)
    got = ops.sum(clnet.tensor(x, device=device), axis=axes, keepdims=keepdims)
    np.testing.assert_array_equal(got.numpy(), x.sum(axis=axes, keepdims=keepdims))


@SETTINGS
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5), data=st.data())
def test_moving_elements_about_and_back(device: clnet.Device, shape: tuple[int, ...], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    x = array(shape, 4)

    def there_and_back(x: clnet.Tensor) -> tuple[clnet.Tensor, clnet.Tensor]:
        moved = ops.transpose(x, order) + 0
        return moved, ops.reshape(ops.transpose(moved, tuple(np.argsort(order))), (-1,))

    moved, back = clnet.compile(there_and_back, device=device)(clnet.tensor(x, device=device))
    np.testing.assert_array_equal(moved.numpy(), x.transpose(order))
    np.testing.assert_array_equal(back.numpy(), x.ravel())


@pytest.mark.parametrize("shapes", [((3, 5), (3, 5)), ((), (3,)), ((67, 33), (67, 1)), ((2, 1, 4), (3, 1))])
def test_broadcast_shapes(device: clnet.Device, shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (array(shape, seed) for seed, shape in enumerate(shapes))
    np.testing.assert_array_equal((clnet.tensor(a, device=device) - clnet.tensor(b, device=device)).numpy(), a - b)
