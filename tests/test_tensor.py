"""Tensors: NumPy in and out, pyopencl's arrays without a copy, errors for what cannot be."""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest

import clnet
from clnet import ops
from clnet.errors import ArgumentError, DTypeError, ShapeError
from clnet.tensor import C_TYPES


@pytest.mark.parametrize("dtype", [str(dtype) for dtype in C_TYPES])
def test_round_trip(device: clnet.Device, dtype: str) -> None:
    if not getattr(device.facts, dtype, True):
        pytest.skip(f"no {dtype}")
    array = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype)
    tensor = clnet.tensor(array, device=device)
    assert (tensor.shape, tensor.dtype, tensor.size, tensor.nbytes) == (array.shape, array.dtype, 24, array.nbytes)
    np.testing.assert_array_equal(tensor.numpy(), array)
    np.testing.assert_array_equal(np.asarray(tensor), array)
    np.testing.assert_array_equal(clnet.tensor(array.T, device=device).numpy(), array.T)


def test_python_numbers_are_small(device: clnet.Device) -> None:
    assert clnet.tensor([1.0, 2.0], device=device).dtype == np.float32
    assert clnet.tensor([1, 2], device=device).dtype == np.int32
    assert clnet.tensor(True, device=device).dtype == np.bool_
    assert clnet.tensor(np.arange(3), device=device).dtype == np.int64


def test_empty_and_scalar(device: clnet.Device) -> None:
    empty = clnet.tensor(np.zeros((0, 3), np.float32), device=device)
    assert empty.buffer is None
    assert empty.numpy().shape == (0, 3)
    assert (empty + 1).numpy().shape == (0, 3)
    assert clnet.tensor(np.float32(2.5), device=device).item() == 2.5
    assert float(clnet.tensor(2.5, device=device)) == 2.5
    with pytest.raises(ArgumentError, match="exactly one element"):
        clnet.tensor([1, 2], device=device).item()


def test_dtypes_that_no_kernel_holds(device: clnet.Device) -> None:
    for array in (np.zeros(2, complex), np.array(["a"]), np.array([object()])):
        with pytest.raises(DTypeError, match="got dtype"):
            clnet.tensor(array, device=device)


def test_operators(device: clnet.Device) -> None:
    a, b = np.float32([[1, -2], [3, 4]]), np.float32([[5, 6], [7, 8]])
    x, y = clnet.tensor(a, device=device), clnet.tensor(b, device=device)
    for got, wanted in (
        (x + y, a + b),
        (1 - x, 1 - a),
        (x * 2, a * 2),
        (2 / y, 2 / b),
        (x**2, a**2),
        (x @ y, a @ b),
        (-x, -a),
        (abs(x), abs(a)),
        (x > 0, a > 0),
        (x <= y, a <= b),
        ((x > 0) & (y > 6), (a > 0) & (b > 6)),
        (~(x > 0), ~(a > 0)),
        (x[1], a[1]),
        (x.T, a.T),
        (x.sum(axis=0), a.sum(axis=0)),
        (x.mean(), a.mean()),
        (x.reshape((4, 1)), a.reshape(4, 1)),
        (a + y, a + b),
    ):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6)
        assert got.numpy().dtype == np.asarray(wanted).dtype or got.dtype.kind == "f"


def test_dtypes_meet(device: clnet.Device) -> None:
    floats, ints = clnet.tensor([1.5], device=device), clnet.tensor([2], device=device)
    assert (floats + ints).dtype == np.float32
    assert (ints + 1).dtype == np.int32
    assert (ints + 0.5).numpy() == np.float32(2.5)
    assert (ints / 4).numpy() == np.float32(0.5)
    assert (clnet.tensor(np.uint8([250]), device=device) + clnet.tensor(np.int32([10]), device=device)).item() == 260


def test_a_pyopencl_array_shares_memory_both_ways(device: clnet.Device) -> None:
    theirs = cl.array.to_device(device.queue, np.arange(6, dtype=np.float32).reshape(2, 3))
    ours = clnet.Tensor.from_pyopencl(theirs)
    assert ours.device is device
    theirs += 1
    theirs.queue.finish()
    np.testing.assert_array_equal((ours * 10).numpy(), (np.arange(6).reshape(2, 3) + 1) * 10)
    doubled = (ours * 2).to_pyopencl()
    assert doubled.shape == (2, 3)
    doubled += 1
    doubled.queue.finish()
    np.testing.assert_array_equal(doubled.get(), (np.arange(6).reshape(2, 3) + 1) * 2 + 1)


def test_a_pyopencl_array_of_ones_own_queue(device: clnet.Device) -> None:
    context = cl.Context([device.cl_device])
    queue = cl.CommandQueue(context)
    theirs = cl.array.to_device(queue, np.float32([1, 2, 3]))
    ours = clnet.tensor(theirs, device=queue)
    assert ours.buffer is theirs.base_data
    np.testing.assert_array_equal((ours + 1).numpy(), [2, 3, 4])


def test_a_pyopencl_array_that_is_not_contiguous(device: clnet.Device) -> None:
    theirs = cl.array.to_device(device.queue, np.zeros((4, 4), np.float32))
    with pytest.raises(ArgumentError, match="C-contiguous"):
        clnet.Tensor.from_pyopencl(theirs.T[:, 1:])


def test_variables_take_only_their_own_shape_and_dtype(device: clnet.Device) -> None:
    variable = clnet.Variable(np.zeros((2, 3), np.float32), device=device, name="weight")
    variable.assign(np.ones((2, 3)))
    np.testing.assert_array_equal(variable.numpy(), np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"weight.*got shape \(3, 2\)"):
        variable.assign(np.ones((3, 2)))
    with pytest.raises(ShapeError, match="weight"):
        clnet.compile(lambda: variable.assign(variable.T), device=device)()


def test_a_variable_has_memory_of_its_own(device: clnet.Device) -> None:
    start = clnet.tensor([1.0, 2.0], device=device)
    variable = clnet.Variable(start)
    variable.assign(np.float32([5, 6]))
    np.testing.assert_array_equal(start.numpy(), [1, 2])


def test_ops_on_two_devices(device: clnet.Device) -> None:
    others = [other for other in clnet.devices() if other is not device]
    if not others:
        pytest.skip("there is one device")
    with pytest.raises(ArgumentError, match="one device"):
        ops.add(clnet.tensor([1.0], device=device), clnet.tensor([1.0], device=others[0]))
