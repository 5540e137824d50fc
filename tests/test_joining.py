"""On a CPU a plan is one kernel: texts that define the same names meet in it, it repeats by itself, cores share it."""

import dataclasses

import numpy as np
import pytest

import clnet
from clnet import ops
from clnet.kernels import Launch
from clnet.plan.joining import join
from clnet.plan.plan import Cores

SOURCE = """#define SIDE 4
#define PASTED(x) SIDE_##x
#define SIDE_LONG 2
typedef struct {
    int side;
} place;
typedef float number __attribute__((aligned(4)));
static inline __attribute__((always_inline)) number twice(const number x) { return x * PASTED(LONG); }
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void twice_all(__global float *ys, const int n) {
    for (int i = 0; i < n; i++) ys[i] = twice(ys[i]);
}
"""


def launch(n, slot, source=SOURCE, local=(1,)):
    return Launch(source, "twice_all", (slot, np.int32(n)), (1,), local)


def test_names_of_different_texts_do_not_meet():
    other = SOURCE.replace("SIDE_LONG 2", "SIDE_LONG 3")
    (joined,) = join([launch(4, "a"), launch(5, "a", other), launch(4, "b")], 1024)
    assert joined.arguments[0] == 1
    assert [each for each in joined.arguments if isinstance(each, str)] == ["a", "b"]
    assert joined.source.count("static inline") == 2  # of equal texts there is one
    assert "twice_1(" in joined.source
    assert "twice_2(" in joined.source
    assert "PASTED(LONG)" in joined.source


def test_it_computes_what_the_launches_do(device):
    if device.kind == "gpu":
        pytest.skip("a plan of a GPU is never joined")
    other = SOURCE.replace("SIDE_LONG 2", "SIDE_LONG 3")
    (joined,) = join([launch(4, "a"), launch(2, "a", other)], 1024)
    buffer = device.upload(np.ones(4, np.float32))
    queue = device.activate(device.queue)  # which `download` waits for, whatever ran before
    bound = clnet.kernels.bind(device, joined, {"a": buffer}.__getitem__, queue=queue)
    bound.kernel.set_arg(0, np.int32(2))
    clnet.kernels.enqueue(queue, bound)
    result = np.empty(4, np.float32)
    device.download(buffer, result)
    assert result.tolist() == [36, 36, 4, 4]


COUNT = """__kernel void count(__global const int *xs, __global int *ys) {
    const int i = get_group_id(0) + get_num_groups(0) * (get_group_id(1) + get_num_groups(1) * get_group_id(2));
    const int all = get_num_groups(0) * get_num_groups(1) * get_num_groups(2);
    ys[i] = xs[i] + xs[all - 1 - i];
}
"""


def shared(workers, grid=(5, 3, 4)):
    """Back and forth between two arrays: each element becomes the sum of two that other cores may have written."""
    steps = [Launch(COUNT, "count", slots, grid, (1, 1, 1)) for slots in (("a", "b"), ("b", "a"))]
    (joined,) = join(steps, 1024, workers, [1000.0, 1000.0])
    return joined


@pytest.mark.parametrize("workers", [2, 3, 7])
@pytest.mark.parametrize("present", [1, 2, 7])
def test_cores_share_or_one_does_it_all(device, workers, present):
    """Work-groups that are not there yet, or never come, are not waited for."""
    if not device.joins:
        pytest.skip("plans of this device are not joined")
    joined = dataclasses.replace(shared(workers), global_size=(min(workers, present),))
    start = np.arange(60, dtype=np.int32)
    buffers = {"a": device.upload(start), "b": device.upload(np.zeros(60, np.int32))}
    queue = device.activate(device.queue)
    bound = clnet.kernels.bind(device, joined, buffers.__getitem__, queue=queue)
    bound.kernel.set_arg(0, np.int32(4))
    for _ in range(3 if present >= workers else 1):  # whoever leaves last prepares the next run
        clnet.kernels.enqueue(queue, bound)
        for _ in range(8):
            start = start + start[::-1]
    result = np.empty(60, np.int32)
    device.download(buffers["a"], result)
    assert np.array_equal(result, start)


def test_a_small_launch_is_one_part():
    tiny = join([launch(4, "a")], 1024, 4, [0.5])[0]
    large = join([launch(4, "a")], 1024, 4, [500.0])[0]
    assert np.frombuffer(tiny.arguments[1], np.int64).tolist() == [4, 1]  # the kernel's n, and the parts
    assert np.frombuffer(large.arguments[1], np.int64).tolist() == [4, 16]


def test_the_number_of_cores_changes_no_bit(device, monkeypatch):
    x = np.random.default_rng(0).standard_normal((64, 96), np.float32)
    found = []
    for cores in (1, device.facts.units):
        monkeypatch.setattr("clnet.plan.build._cores", lambda *_, cores=cores: Cores(cores, cores))
        weight = clnet.Variable(x.T @ x, device=device)
        target = clnet.tensor(x, device=device)

        def step(weight=weight, target=target):
            loss, slope = clnet.value_and_grad(lambda: ops.mean((ops.tanh(target @ weight) - target) ** 2), weight)()
            weight.assign(weight - 0.01 * slope)
            return loss

        plan = clnet.compile(step, device=device).plan()
        plan.replay(20)
        found.append((plan()[0].numpy(), weight.numpy()))
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


def test_as_few_as_have_room_for_their_arguments():
    assert len(join([launch(4, slot) for slot in "abcd"], 20 + 2 * 8)) == 2


def test_groups_of_several_items_are_left_alone():
    assert join([launch(4, "a"), launch(4, "a", local=(2,))], 1024) is None


def test_a_plan_repeats(device):
    count = clnet.Variable(np.zeros(3, np.float32), device=device)

    def step():
        count.assign(count + 1)
        return ops.sum(count)

    plan = clnet.compile(step, device=device).plan()
    for times in (1, 5, 5, 1):
        plan.replay(times)
    assert count.numpy().tolist() == [12, 12, 12]
    assert plan()[0].numpy() == 36
