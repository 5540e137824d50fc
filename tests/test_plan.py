"""What a plan promises: reads see the value on entry, memory is counted and reused, replays only enqueue."""

from __future__ import annotations

import sys
from threading import Thread
from typing import Any

import numpy as np
import pytest

import clnet
from clnet import ops
from clnet.errors import ArgumentError, DeviceMemoryError, ShapeError, TraceError
from clnet.plan import Plan


def put(array: Any, device: clnet.Device) -> clnet.Tensor:
    return clnet.tensor(np.asarray(array, np.float32), device=device)


def variable(array: Any, device: clnet.Device) -> clnet.Variable:
    return clnet.Variable(np.asarray(array, np.float32), device=device)


def test_one_tensor_used_several_times(device: clnet.Device) -> None:
    x = put([[1, 2], [3, 4]], device)
    got = clnet.compile(lambda x: x @ x + x * x - x.T, device=device)(x).numpy()
    a = x.numpy()
    np.testing.assert_array_equal(got, a @ a + a * a - a.T)


def test_an_unused_input_and_a_scalar_output(device: clnet.Device) -> None:
    got = clnet.compile(lambda x, unused: x.sum(), device=device)(put([1, 2, 3], device), put([9], device))
    assert got.shape == ()
    assert got.item() == 6


def test_an_input_returned_is_the_same_tensor(device: clnet.Device) -> None:
    x, y = put([1, 2], device), put([3, 4], device)
    first, second, total = clnet.compile(lambda x, y: (y, x, x + y), device=device)(x, y)
    assert first is y
    assert second is x
    np.testing.assert_array_equal(total.numpy(), [4, 6])


def test_results_are_fresh(device: clnet.Device) -> None:
    double = clnet.compile(lambda x: x * 2, device=device)
    first = double(put([1], device))
    second = double(put([5], device))
    assert (first.item(), second.item()) == (2, 10)


def test_a_result_that_nobody_holds_gives_its_memory_to_the_next(device: clnet.Device) -> None:
    double = clnet.compile(lambda x: x * 2, device=device)
    inputs = [put([number], device) for number in range(5)]
    kept = [double(inputs[1]), double(inputs[2]).to_pyopencl(), double(inputs[3]).buffer]
    before = device.allocations
    for _ in range(20):
        assert double(inputs[4]).item() == 8
    assert device.allocations <= before + 1
    found = np.empty(1, np.float32)
    device.download(kept[2], found)
    assert (kept[0].item(), kept[1].get(), found) == (2, 4, 6)


def test_results_may_be_equal_constant_and_empty(device: clnet.Device) -> None:
    def function(x: clnet.Tensor) -> Any:
        return {"a": x + 1, "b": [1 + x, ops.zeros((2,))], "c": ops.reshape(x + 1, (1, 2)), "d": x[:0]}

    got = clnet.compile(function, device=device)(put([1, 2], device))
    np.testing.assert_array_equal(got["a"].numpy(), [2, 3])
    np.testing.assert_array_equal(got["b"][0].numpy(), [2, 3])
    np.testing.assert_array_equal(got["b"][1].numpy(), [0, 0])
    np.testing.assert_array_equal(got["c"].numpy(), [[2, 3]])
    assert got["d"].numpy().shape == (0,)


def test_reads_see_the_value_on_entry(device: clnet.Device) -> None:
    w = variable([1, 2], device)

    def step(x: clnet.Tensor) -> clnet.Tensor:
        w.assign(w + x)
        return w * 10

    got = clnet.compile(step, device=device)(put([5, 5], device))
    np.testing.assert_array_equal(got.numpy(), [10, 20])
    np.testing.assert_array_equal(w.numpy(), [6, 7])


def test_two_variables_swap(device: clnet.Device) -> None:
    a, b = variable([1, 2], device), variable([3, 4], device)

    def swap() -> None:
        a.assign(b)
        b.assign(a)

    clnet.compile(swap, device=device)()
    np.testing.assert_array_equal(a.numpy(), [3, 4])
    np.testing.assert_array_equal(b.numpy(), [1, 2])


def test_two_variables_that_need_each_others_old_values(device: clnet.Device) -> None:
    a, b = variable([[1, 2], [3, 4]], device), variable([[5, 6], [7, 8]], device)
    was_a, was_b = a.numpy(), b.numpy()

    def step() -> None:
        a.assign(a @ b)
        b.assign(b @ a)

    clnet.compile(step, device=device)()
    np.testing.assert_array_equal(a.numpy(), was_a @ was_b)
    np.testing.assert_array_equal(b.numpy(), was_b @ was_a)


def test_an_update_waits_for_a_reader_that_moves_elements(device: clnet.Device) -> None:
    w = variable(np.arange(6).reshape(2, 3), device)
    old = w.numpy()

    def step() -> clnet.Tensor:
        w.assign(w * 2 + w[::-1, ::-1])
        return ops.transpose(w) + 0

    got = clnet.compile(step, device=device)()
    np.testing.assert_array_equal(got.numpy(), old.T)
    np.testing.assert_array_equal(w.numpy(), old * 2 + old[::-1, ::-1])


def test_a_weight_is_updated_after_the_gradient_went_through_it(device: clnet.Device) -> None:
    rng = np.random.default_rng(0)
    w1, w2 = variable(rng.normal(size=(5, 4)), device), variable(rng.normal(size=(4, 3)), device)
    x = put(rng.normal(size=(7, 5)), device)

    def step(x: clnet.Tensor) -> clnet.Tensor:
        loss, (d1, d2) = clnet.value_and_grad(lambda: ops.sum(ops.square(ops.tanh(x @ w1) @ w2)), wrt=[w1, w2])()
        w1.assign(w1 - 0.1 * d1)
        w2.assign(w2 - 0.1 * d2)
        return loss

    h = np.tanh(x.numpy() @ w1.numpy())
    d = 2 * (h @ w2.numpy())
    wanted1 = w1.numpy() - 0.1 * x.numpy().T @ (d @ w2.numpy().T * (1 - h * h))
    wanted2 = w2.numpy() - 0.1 * h.T @ d
    compiled = clnet.compile(step, device=device)
    plan = compiled.plan(x)
    compiled(x)
    np.testing.assert_allclose(w1.numpy(), wanted1, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(w2.numpy(), wanted2, rtol=1e-4, atol=1e-5)
    assert plan.launches <= 6, plan.summary()  # two products forward, a loss, three products backward


def test_a_variable_assigned_and_returned(device: clnet.Device) -> None:
    w = variable([1, 2], device)

    def step() -> clnet.Tensor:
        new = w * 3
        w.assign(new)
        return new

    compiled = clnet.compile(step, device=device)
    first = compiled()
    compiled()
    np.testing.assert_array_equal(first.numpy(), [3, 6])
    np.testing.assert_array_equal(w.numpy(), [9, 18])


def test_a_returned_variable_is_a_copy(device: clnet.Device) -> None:
    w = variable([1, 2], device)
    read = clnet.compile(lambda: w, device=device)()
    w.assign(np.float32([7, 7]))
    np.testing.assert_array_equal(read.numpy(), [1, 2])


def test_dense_layer_is_one_launch(device: clnet.Device) -> None:
    compiled = clnet.compile(lambda x, w, b: ops.relu(x @ w + b), device=device)
    plan = compiled.plan(put(np.ones((33, 20)), device), put(np.ones((20, 40)), device), put(np.ones(40), device))
    assert plan.launches == 1, plan.summary()
    assert "matmul add relu" in plan.summary()


def test_a_product_with_numbers_and_rows_from_memory_is_one_launch(device: clnet.Device) -> None:
    """The kernel loads the numbers before; which rows it reads is not known early enough to fetch them."""
    random = np.random.default_rng(0)
    a, b, table = (random.standard_normal(shape).astype(np.float32) for shape in ((9, 40), (40, 37), (5, 37)))
    rows = random.integers(0, 5, 9).astype(np.int32)
    scale, weights = variable(0.25, device), variable(random.standard_normal((9, 37)), device)
    before = weights.numpy()

    @clnet.compile
    def step(a: clnet.Tensor, b: clnet.Tensor, table: clnet.Tensor, rows: clnet.Tensor) -> clnet.Tensor:
        product = a @ b
        weights.assign(weights - scale * product)
        return product + ops.gather(table, rows)

    given = (put(a, device), put(b, device), put(table, device), clnet.tensor(rows, device=device))
    got = step(*given).numpy()
    assert step.plan(*given).launches == 1
    np.testing.assert_allclose(got, a @ b + table[rows], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights.numpy(), before - 0.25 * (a @ b), rtol=1e-4, atol=1e-4)


def test_softmax_is_one_launch_on_any_axes(device: clnet.Device) -> None:
    for axis in (0, 1, -1, (1, 2)):
        plan = clnet.compile(lambda x, axis=axis: ops.softmax(x, axis=axis), device=device).plan(
            put(np.ones((4, 3, 5)), device)
        )
        assert plan.launches == 1, plan.summary()
        assert plan.nbytes == 0


def test_nbytes_is_what_the_device_was_asked_for(device: clnet.Device) -> None:
    compiled = clnet.compile(lambda x: (x @ x @ x @ x @ x).sum(), device=device)
    x = put(np.eye(300), device)
    before = device.allocated_bytes
    plan = compiled.plan(x)
    assert device.allocated_bytes - before == plan.nbytes
    assert plan.nbytes >= 300 * 300 * 4


def test_intermediates_share_memory(device: clnet.Device) -> None:
    def chain(x: clnet.Tensor) -> clnet.Tensor:
        for _ in range(8):
            x = x @ x
        return x.sum()

    plan = clnet.compile(chain, device=device).plan(put(np.eye(64), device))
    assert plan.nbytes < 8 * 64 * 64 * 4, plan.summary()


def test_replay_allocates_nothing(device: clnet.Device) -> None:
    w = variable(np.ones((20, 30)), device)
    x = put(np.ones((5, 30)), device)
    plan = clnet.compile(lambda x: w.assign(w * 0.5 + x.sum()), device=device).plan(x)
    plan.replay(3)
    before = device.allocations
    plan.replay(50)
    device.finish()
    assert device.allocations == before


def test_replay_needs_inputs(device: clnet.Device) -> None:
    compiled = clnet.compile(lambda x: x + 1, device=device)
    x = put([1], device)
    plan = compiled.plan(x)
    plan.replay(2)
    assert plan.launches == 1


def test_inputs_rebind_when_they_change(device: clnet.Device) -> None:
    compiled = clnet.compile(lambda x, y: x - y, device=device)
    a, b = put([5], device), put([3], device)
    assert compiled(a, b).item() == 2
    assert compiled(b, a).item() == -2
    assert compiled(a, a).item() == 0


def test_a_new_shape_makes_a_new_plan(device: clnet.Device) -> None:
    seen = []

    def function(x: clnet.Tensor, scale: int) -> clnet.Tensor:
        seen.append(x.shape)
        return x * scale

    compiled = clnet.compile(function, device=device)
    for shape, scale in (((2,), 1), ((3,), 1), ((2,), 1), ((2,), 2)):
        compiled(put(np.ones(shape), device), scale)
    assert seen == [(2,), (3,), (2,)]


def test_values_of_traced_tensors_are_not_known(device: clnet.Device) -> None:
    for peek in (bool, int, float, lambda x: x.numpy(), np.asarray, lambda x: x.item()):
        with pytest.raises(TraceError, match="traced"):
            clnet.compile(lambda x, peek=peek: x if peek(x.sum()) else -x, device=device)(put([1.0], device))


def test_gradients_that_are_zero(device: clnet.Device) -> None:
    x, y = put([1, 2], device), put([3, np.inf], device)
    value, (dx, dy) = clnet.value_and_grad(lambda x, y: x.sum(), wrt=(0, 1))(x, y)
    assert value.item() == 3
    np.testing.assert_array_equal(dx.numpy(), [1, 1])
    np.testing.assert_array_equal(dy.numpy(), [0, 0])


def test_value_and_grad_of_variables_by_path(device: clnet.Device) -> None:
    frozen = variable([2.0], device)
    frozen.trainable = False
    weights = {"a": variable([3.0], device), "frozen": frozen}
    value, found = clnet.value_and_grad(lambda: (weights["a"] * frozen).sum(), wrt=weights)()
    assert value.item() == 6
    assert set(found) == {"a"}
    assert found["a"].numpy() == [2]
    assert found.variables["a"] is weights["a"]


def test_second_derivatives(device: clnet.Device) -> None:
    def slope(x: clnet.Tensor) -> clnet.Tensor:
        _, dx = clnet.value_and_grad(lambda x: ops.sum(ops.tanh(x) ** 2))(x)
        return dx.sum()

    x = np.linspace(-1, 1, 7).astype(np.float32)
    _, found = clnet.value_and_grad(slope)(put(x, device))
    t = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(found.numpy(), 2 * (1 - t**2) ** 2 - 4 * t**2 * (1 - t**2), rtol=1e-4, atol=1e-5)


def test_has_aux(device: clnet.Device) -> None:
    function = clnet.value_and_grad(lambda x: ((x * x).sum(), {"doubled": x * 2}), has_aux=True)
    (value, aux), dx = function(put([1, 2], device))
    assert value.item() == 5
    np.testing.assert_array_equal(aux["doubled"].numpy(), [2, 4])
    np.testing.assert_array_equal(dx.numpy(), [2, 4])


def test_errors_name_who_got_and_wanted(device: clnet.Device) -> None:
    x = put(np.ones((2, 3)), device)
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\)"):
        ops.matmul(x, x)
    with pytest.raises(ShapeError, match=r"add: shapes"):
        x + put(np.ones(2), device)
    with pytest.raises(ShapeError, match="value_and_grad"):
        clnet.value_and_grad(lambda x: x)(x)
    with pytest.raises(ArgumentError, match="no tensor"):
        ops.add(np.ones(2), np.ones(2))
    with pytest.raises(ShapeError, match="reshape"):
        ops.reshape(x, (4, -1))
    with pytest.raises(ShapeError, match="axis 2"):
        ops.sum(x, axis=2)


def test_the_update_of_many_variables_is_fused_into_their_products(device: clnet.Device) -> None:
    w, m = variable(np.ones((8, 6)), device), variable(np.zeros((8, 6)), device)

    def step(x: clnet.Tensor) -> None:
        _, dw = clnet.value_and_grad(lambda: ops.sum(ops.square(x @ w)), wrt=w)()
        velocity = m * 0.9 + dw
        m.assign(velocity)
        w.assign(w - 0.1 * velocity)

    x = put(np.ones((3, 8)), device)
    plan = clnet.compile(step, device=device).plan(x)
    plan.replay()
    assert plan.launches == 2, plan.summary()
    gradient = 2 * x.numpy().T @ (x.numpy() @ np.ones((8, 6)))
    np.testing.assert_allclose(w.numpy(), 1 - 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(m.numpy(), gradient, rtol=1e-5)


def test_threads_share_a_device(device: clnet.Device) -> None:
    """Small plans run on one core and large ones on all: two queues, which no thread may mix up. PoCL's for one core
    hangs where one thread enqueues while another reads."""
    small, large = put(np.ones(8), device), put(np.ones((400, 400)), device)
    add, power = clnet.compile(lambda x: x + 1, device=device), clnet.compile(lambda x: x @ x @ x, device=device)
    add(small), power(large)
    wrong = []

    def work(function: Any, x: clnet.Tensor, wanted: float, times: int) -> None:
        for _ in range(times):
            if not (function(x).numpy() == wanted).all():
                wrong.append(wanted)

    tasks = [(add, small, 2, 1000), (power, large, 160_000, 30), (add, small, 2, 1000)]
    threads = [Thread(target=work, args=args) for args in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_plan_that_the_device_cannot_hold_says_its_bytes(device: clnet.Device) -> None:
    side = 46_000  # a product of 8.5 GB
    if device.facts.memory > 4 * side * side:
        pytest.skip("the device can hold it")
    x = put(np.ones((side, 1)), device)
    with pytest.raises(DeviceMemoryError, match=r"wants 8,464,000,000 bytes") as caught:
        clnet.compile(lambda x: ops.exp(ops.matmul(x, x, transpose_b=True)).sum(axis=0), device=device).plan(x)
    assert caught.value.wanted == 4 * side * side


def test_more_elements_than_an_int_counts(device: clnet.Device) -> None:
    x = put(np.ones((1 << 16, 1)), device)
    with pytest.raises(ShapeError, match=r"65536, 65536.*2147483647 elements"):
        clnet.compile(lambda x: ops.matmul(x, x, transpose_b=True), device=device).plan(x)


def test_a_released_plan_holds_no_inputs(device: clnet.Device) -> None:
    compiled = clnet.compile(lambda x: x + 1, device=device)
    x = put([1, 2], device)
    counts = [sys.getrefcount(x.buffer)]
    compiled(x)
    counts.append(sys.getrefcount(x.buffer))
    compiled.release()
    counts.append(sys.getrefcount(x.buffer))
    assert counts[0] == counts[2] < counts[1]
    assert compiled(put([5], device)).item() == 6


def test_cores_share_what_leaves_their_caches(device: clnet.Device) -> None:
    """A small step stays on one core, which has its weights near; those of a large one have to be fetched anyway."""
    if device.facts.units == 1 or device.serial_queue is device.queue:
        pytest.skip("the device has no core to itself")

    def step_of(hidden: int, batch: int) -> Plan:
        rng = np.random.default_rng(0)
        w1, w2 = (variable(rng.normal(size=shape) / 30, device) for shape in ((784, hidden), (hidden, 10)))

        def step(x: clnet.Tensor) -> clnet.Tensor:
            loss, slopes = clnet.value_and_grad(lambda: ops.mean(ops.relu(x @ w1) @ w2), wrt=[w1, w2])()
            for weight, slope in zip((w1, w2), slopes, strict=True):
                weight.assign(weight - 0.1 * slope)
            return loss

        return clnet.compile(step, device=device).plan(put(np.ones((batch, 784)), device))

    assert step_of(100, 10).serial
    assert not step_of(500 * device.facts.units, 4).serial


def test_two_ops_of_one_name_in_a_plan(device: clnet.Device) -> None:
    up, down = ops.elementwise("shift", "x + 1", "dy"), ops.elementwise("shift", "x - 2", "dy")
    got = clnet.compile(lambda x: (up(x), down(x), up(x).sum()), device=device)(put([1, 2], device))
    np.testing.assert_array_equal(got[0].numpy(), [2, 3])
    np.testing.assert_array_equal(got[1].numpy(), [-1, 0])


def test_kernels_of_one_text_are_one(device: clnet.Device) -> None:
    def function(x: clnet.Tensor, y: clnet.Tensor) -> list[clnet.Tensor]:
        return [x.sum(axis=0), y.sum(axis=0)]

    compiled = clnet.compile(function, device=device)
    x, y = put(np.ones((5, 7)), device), put(np.ones((50, 11)), device)
    plan = compiled.plan(x, y)
    assert plan.launches == 2
    assert len({step.launch.name for step in plan.steps}) == 1, plan.summary()
    assert [result.numpy()[0] for result in compiled(x, y)] == [5, 50]


def test_tuning_changes_no_bit(device: clnet.Device) -> None:
    random = np.random.default_rng(0)
    x, w = put(random.normal(size=(70, 90)), device), put(random.normal(size=(90, 50)), device)
    compiled = clnet.compile(lambda x, w: ops.tanh(x @ w), device=device)
    before = compiled(x, w).numpy()
    plan = compiled.tune(x, w, seconds=0.01)
    assert [node.shape for node in plan.routines] == [(70, 50)]
    assert compiled.plan(x, w) is plan
    np.testing.assert_array_equal(compiled(x, w).numpy(), before)


def test_who_multiplies_can_be_named(device: clnet.Device) -> None:
    random = np.random.default_rng(0)
    x, w = put(random.normal(size=(17, 30)), device), put(random.normal(size=(30, 21)), device)
    got = {
        name: clnet.compile(lambda x, w: ops.relu(x @ w + 1), device=device, gemm=name)(x, w).numpy()
        for name in ("auto", "rule", "reikna")
    }
    np.testing.assert_array_equal(got["auto"], got["rule"])
    np.testing.assert_allclose(got["reikna"], got["auto"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ArgumentError, match="no form 'mkl'"):
        clnet.compile(lambda x, w: x @ w, device=device, gemm="mkl")(x, w)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((35, 70), (1, 0)),
        ((3, 40, 50), (0, 2, 1)),
        ((35, 3, 40), (2, 1, 0)),
        ((2, 20, 3, 17), (0, 2, 3, 1)),
        ((2, 7, 8, 33), (0, 3, 1, 2)),
        ((40, 2, 3, 50), (3, 1, 2, 0)),
        ((16, 31), (1, 0)),
    ],
)
def test_arrays_along_other_axes_are_read_by_tiles(shape: Any, axes: Any, dtype: str, device: clnet.Device) -> None:
    if dtype == "float64" and not device.facts.float64:
        pytest.skip("no float64")
    x = np.random.default_rng(0).integers(0, 100, size=shape).astype(dtype)
    y = np.random.default_rng(1).integers(0, 100, size=[shape[axis] for axis in axes]).astype(dtype)
    add = clnet.compile(lambda x, y: (ops.transpose(x, axes) + y, ops.transpose(x, axes)[::-1] - y), device=device)
    tensors = clnet.tensor(x, device=device), clnet.tensor(y, device=device)
    both, plan = add(*tensors), add.plan(*tensors)
    assert device.kind == "gpu" or any("t0[" in step.launch.source for step in plan.steps)
    np.testing.assert_array_equal(both[0].numpy(), x.transpose(axes) + y)
    np.testing.assert_array_equal(both[1].numpy(), x.transpose(axes)[::-1] - y)


def test_a_tile_holds_nothing_whose_place_is_read_from_memory(device: clnet.Device) -> None:
    x, rows = np.arange(64 * 50, dtype=np.float32).reshape(50, 64), np.arange(50)[::-1].copy()
    take = clnet.compile(lambda x, rows: ops.transpose(ops.gather(x, rows)) + 1, device=device)
    got = take(clnet.tensor(x, device=device), clnet.tensor(rows, device=device))
    np.testing.assert_array_equal(got.numpy(), x[rows].T + 1)
