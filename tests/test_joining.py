"""On one core a plan is one kernel: texts that define the same names meet in it, and it repeats by itself."""

import numpy as np
import pytest

import clnet
from clnet import ops
from clnet.kernels import Launch
from clnet.plan.joining import join

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


def test_as_few_as_have_room_for_their_arguments():
    assert len(join([launch(4, slot) for slot in "abcd"], 4 + 2 * 24)) == 2


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
