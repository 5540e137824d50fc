"""Every row of the op table on every device: forward, gradient by central differences, plan against eager."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import clnet
from clnet import ops
from clnet.cases import CASES, Case, tolerance

STEP = 1e-6  # of a central difference in float64: its error is near 1e-10


def rows(case: Case) -> str:
    return case.name


def close(got: npt.NDArray[Any], wanted: npt.NDArray[Any], allowed: float) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_allclose(
        got.astype(np.float64),
        wanted.astype(np.float64),
        rtol=allowed,
        atol=allowed * (1 + np.abs(wanted).max(initial=0)),
    )


@pytest.mark.parametrize("case", CASES, ids=rows)
def test_forward(case: Case, device: clnet.Device) -> None:
    for shapes in case.shapes:
        arrays = case.inputs(shapes, np.float32)
        got = case.function(*(clnet.tensor(array, device=device) for array in arrays)).numpy()
        wanted = case.reference(*(array.astype(np.float64) for array in arrays))
        close(got, wanted, tolerance(np.float32, case.length(*shapes)))


@pytest.mark.parametrize("case", CASES, ids=rows)
def test_forward_float64(case: Case, device: clnet.Device) -> None:
    if not device.facts.float64:
        pytest.skip(f"{device.name} has no float64")
    shapes = case.shapes[0]
    arrays = case.inputs(shapes, np.float64)
    got = case.function(*(clnet.tensor(array, device=device) for array in arrays)).numpy()
    close(got, case.reference(*arrays), tolerance(np.float64, case.length(*shapes)))


@pytest.mark.parametrize("case", CASES, ids=rows)
def test_forward_float16(case: Case, device: clnet.Device) -> None:
    """Of float16 inputs the result is float16, but for what is no float; the plan has the bits of eager calls."""
    if not device.facts.float16:
        pytest.skip(f"{device.name} has no float16")
    for shapes in case.shapes[:2]:
        arrays = case.inputs(shapes, np.float16)
        tensors = [clnet.tensor(array, device=device) for array in arrays]
        got = case.function(*tensors)
        assert got.dtype == np.float16 or got.dtype.kind in "bi" or case.name == "one_hot"
        close(
            got.numpy(),
            case.reference(*(array.astype(np.float64) for array in arrays)),
            tolerance(np.float16, case.length(*shapes)),
        )
        fused = clnet.compile(lambda *inputs: case.function(*(each * 0.9 for each in inputs)), device=device)
        np.testing.assert_array_equal(fused(*tensors).numpy(), case.function(*(each * 0.9 for each in tensors)).numpy())


def scalar(case: Case, weights: npt.NDArray[Any]) -> Any:
    """The op followed by a weighted sum, so that every element of its result matters."""
    return lambda *tensors: ops.sum(
        case.function(*tensors) * clnet.tensor(weights.astype(np.float32), device=tensors[0].device)
    )


def difference(
    case: Case, arrays: list[npt.NDArray[Any]], which: int, along: npt.NDArray[Any], weights: npt.NDArray[Any]
) -> float:
    """The derivative of the weighted sum along a direction, by central difference in float64."""
    ends = []
    for sign in (1, -1):
        moved = [array + sign * STEP * along if place == which else array for place, array in enumerate(arrays)]
        ends.append(float((case.reference(*moved) * weights).sum()))
    return (ends[0] - ends[1]) / (2 * STEP)


def directions(shape: tuple[int, ...], rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Every axis direction of a small array, a few random ones of a large one."""
    size = int(np.prod(shape))
    if size <= 24:
        return [np.eye(size)[element].reshape(shape) for element in range(size)]
    return [rng.standard_normal(shape) for _ in range(3)]


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=rows)
def test_gradient(case: Case, device: clnet.Device) -> None:
    rng = np.random.default_rng(7)
    for shapes in case.shapes[:3]:
        exact = [array.astype(np.float64) for array in case.inputs(shapes, np.float32)]
        weights = rng.standard_normal(np.shape(case.reference(*exact))).astype(np.float32).astype(np.float64)
        function = clnet.value_and_grad(scalar(case, weights), wrt=tuple(range(len(shapes))))
        _, gradients = function(*(clnet.tensor(array.astype(np.float32), device=device) for array in exact))
        for which, gradient in enumerate(gradients):
            found = gradient.numpy().astype(np.float64)
            assert found.shape == exact[which].shape
            for along in directions(exact[which].shape, rng):
                wanted = difference(case, exact, which, along, weights)
                scale = float(np.abs(found * along).sum()) + abs(wanted) + 1
                assert (
                    abs(float((found * along).sum()) - wanted)
                    <= 4 * tolerance(np.float32, case.length(*shapes)) * scale
                )


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=rows)
def test_gradient_float16(case: Case, device: clnet.Device) -> None:
    """Gradients are float16 where inputs are, and near those of the same numbers as float32."""
    if not device.facts.float16:
        pytest.skip(f"{device.name} has no float16")
    arrays = case.inputs(case.shapes[0], np.float16)
    exact = [array.astype(np.float64) for array in arrays]
    weights = np.random.default_rng(7).standard_normal(np.shape(case.reference(*exact)))
    function = clnet.value_and_grad(scalar(case, weights), wrt=tuple(range(len(arrays))))
    found, wanted = (
        function(*(clnet.tensor(array.astype(dtype), device=device) for array in arrays))[1]
        for dtype in (np.float16, np.float32)
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == np.float16
        close(ours.numpy(), theirs.numpy(), tolerance(np.float16, case.length(*case.shapes[0])))


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=rows)
def test_second_derivative(case: Case, device: clnet.Device) -> None:
    """Hessian-vector products against central differences of the gradient; or an error that names the op."""
    if not device.facts.float64:
        pytest.skip(f"{device.name} has no float64")
    rng = np.random.default_rng(7)
    arrays = case.inputs(case.shapes[0], np.float64)
    weights = clnet.tensor(rng.standard_normal(np.shape(case.reference(*arrays))), device=device)
    along = [rng.standard_normal(array.shape) for array in arrays]
    everything = tuple(range(len(arrays)))

    def loss(*tensors: Any) -> Any:
        return ops.sum(ops.exp(case.function(*tensors) * 0.3) * weights)

    def gradient(distance: float) -> list[npt.NDArray[Any]]:
        moved = [clnet.tensor(a + distance * v, device=device) for a, v in zip(arrays, along, strict=True)]
        return [dx.numpy() for dx in clnet.value_and_grad(loss, wrt=everything)(*moved)[1]]

    try:
        vectors = tuple(clnet.tensor(v, device=device) for v in along)
        products = clnet.hvp(loss, wrt=everything)(vectors, *(clnet.tensor(a, device=device) for a in arrays))
    except clnet.errors.ArgumentError as refusal:
        pytest.skip(str(refusal))
    for product, above, below in zip(products, gradient(STEP), gradient(-STEP), strict=True):
        close(product.numpy(), (above - below) / (2 * STEP), 1e-4)


@pytest.mark.parametrize("case", CASES, ids=rows)
def test_plan_gives_the_bits_of_eager_calls(case: Case, device: clnet.Device) -> None:
    shapes = case.shapes[-2] if len(case.shapes) > 1 else case.shapes[-1]
    tensors = [clnet.tensor(array, device=device) for array in case.inputs(shapes, np.float32)]
    fused = clnet.compile(lambda *inputs: case.function(*(ops.sigmoid(each) * 1.5 for each in inputs)), device=device)
    if case.low < 0 and case.name != "one_hot":  # the domain holds what the sigmoid gives
        eager = case.function(*(ops.sigmoid(each) * 1.5 for each in tensors))
        np.testing.assert_array_equal(fused(*tensors).numpy(), eager.numpy())


@pytest.mark.parametrize("case", CASES, ids=rows)
def test_gpu_form(case: Case, device: clnet.Device) -> None:
    """The kernels that a GPU would run, work-groups and barriers included, are right on every runtime."""
    function = clnet.compile(case.function, device=device, form="gpu")
    for shapes in case.shapes[::2]:
        arrays = case.inputs(shapes, np.float32)
        got = function(*(clnet.tensor(array, device=device) for array in arrays)).numpy()
        wanted = case.reference(*(array.astype(np.float64) for array in arrays))
        close(got, wanted, tolerance(np.float32, case.length(*shapes)))


OWN_KERNELS = ("gather", "simple_rnn", "lstm", "gru", "attention", "self_attention")  # for their gradients


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith(OWN_KERNELS)], ids=rows)
def test_gradient_gpu_form(case: Case, device: clnet.Device) -> None:
    """The gradients that have kernels of their own are the same in the form for a GPU, but for rounding."""
    for shapes in case.shapes[: 3 : 2 if len(case.shapes) > 2 else 1]:
        tensors = [clnet.tensor(array, device=device) for array in case.inputs(shapes, np.float32)]
        like = np.random.default_rng(7).standard_normal(case.function(*tensors).shape)
        function = clnet.value_and_grad(scalar(case, like), wrt=tuple(range(len(shapes))))
        _, wanted = function(*tensors)
        _, found = clnet.compile(function, device=device, form="gpu")(*tensors)
        for ours, theirs in zip(found, wanted, strict=True):
            close(ours.numpy(), theirs.numpy(), 4 * tolerance(np.float32, case.length(*shapes)))
