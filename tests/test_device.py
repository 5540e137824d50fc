"""Devices: found, ranked and named; the user's contexts adopted; memory counted; queues in order."""

import dataclasses
import gc
import importlib
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pyopencl as cl
import pyopencl.array
import pytest

import clnet
from clnet import errors, kernels
from clnet.facts import Facts

module = importlib.import_module("clnet.device")  # `clnet.device` is the function


class Card:
    """A pyopencl Device as far as clnet asks one."""

    type = cl.device_type.GPU
    extensions = "cl_khr_fp64"
    native_vector_width_float = 1
    mem_base_addr_align = 1024
    vendor = "Maker"
    version = "OpenCL 3.0"
    driver_version = "535.1"
    available = compiler_available = True
    max_compute_units, global_mem_size, max_mem_alloc_size, local_mem_size = 8, 100, 50, 10
    max_work_group_size, max_parameter_size = 256, 1024

    def __init__(self, name, platform="Maker's", **changes):
        self.name = name
        self.platform = types.SimpleNamespace(name=platform, version="OpenCL 3.0 Maker 1.2")
        vars(self).update(changes)


@pytest.fixture
def machine(monkeypatch):
    """A machine with these platforms: name -> cards, or the error that asking for them raises."""

    def install(**platforms):
        def listing(name, cards):
            def get_devices(kinds):
                if isinstance(cards, Exception):
                    raise cards
                return cards

            return types.SimpleNamespace(name=name, get_devices=get_devices)

        monkeypatch.setattr(cl, "get_platforms", lambda: [listing(*item) for item in platforms.items()])
        monkeypatch.delenv("CLNET_DEVICE", raising=False)

    return install


def failure(code):
    return cl.LogicError(cl._cl._ErrorRecord(code=code, routine="clGetDeviceIDs", msg=""))


def test_listing_again_gives_the_same_objects():
    first, again = clnet.devices(), clnet.devices()
    assert len(first) == len(again)
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_pocls_single_core_device_is_not_listed(device):
    assert not device.name.startswith(("basic", "cpu-minimal"))


def test_gpu_first_then_units_and_a_simulator_last(machine):
    cpu = Card("Processor", type=cl.device_type.CPU, max_compute_units=64)
    machine(
        Oclgrind=[Card("Simulator", "Oclgrind", max_compute_units=99)],
        A=[cpu, Card("small", max_compute_units=2)],
        B=[Card("big")],
    )
    assert [d.name for d in clnet.devices()] == ["big", "small", "Processor", "Simulator"]
    assert [d.kind for d in clnet.devices()][:3] == ["gpu", "gpu", "cpu"]


def test_a_cpu_has_as_many_units_as_cores_that_the_process_may_run_on(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3}, raising=False)
    assert Facts.of(Card("Processor", type=cl.device_type.CPU, max_compute_units=64)).units == 1
    assert Facts.of(Card("card")).units == 8


FORKED = """
import multiprocessing, sys
import numpy as np, clnet
device = clnet.device(sys.argv[1])
def work(sent):
    try:
        clnet.tensor(np.ones((300, 300)), device=device)
    except clnet.errors.DeviceError as error:
        sent.send(str(error))
receive, send = multiprocessing.Pipe(False)
child = multiprocessing.get_context("fork").Process(target=work, args=(send,))
child.start()
print(receive.recv() if receive.poll(60) else "nothing")
child.kill()
assert clnet.tensor([2.0], device=device).item() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told_that_it_cannot_have_the_device(device):
    """It would wait for the driver's threads, which stayed with its parent, and never end."""
    index = str(clnet.devices().index(device))
    ran = subprocess.run([sys.executable, "-c", FORKED, index], capture_output=True, text=True, timeout=120, check=True)
    assert "was forked from one that had found the device" in ran.stdout
    assert 'get_context("spawn")' in ran.stdout


def test_a_platform_without_devices_and_one_that_fails(machine):
    machine(Clover=failure(-1), Empty=[], Broken=failure(-2), Good=[Card("one")])
    assert [d.name for d in clnet.devices()] == ["one"]


def test_devices_without_a_compiler_are_left_out(machine):
    machine(A=[Card("no compiler", compiler_available=False), Card("gone", available=False)])
    assert clnet.devices() == []


def test_two_of_one_name_are_told_apart(machine):
    machine(A=[Card("H100"), Card("H100")], B=[Card("H100", "Other")])
    for _ in range(2):
        assert sorted(d.name for d in clnet.devices()) == ["H100", "H100 #1", "H100 #2"]
    assert clnet.device("h100 #2").name == "H100 #2"


def test_no_device_says_what_was_seen_and_how_to_get_one(machine):
    machine(Clover=[], Other=failure(-1))
    with pytest.raises(errors.NoDeviceError, match="platforms that list none: Clover, Other") as caught:
        clnet.device()
    assert 'pip install "clnet[cpu]"' in str(caught.value)


def test_no_loader(monkeypatch):
    def none():
        raise failure(-1001)

    monkeypatch.setattr(cl, "get_platforms", none)
    assert clnet.devices() == []


def test_naming(machine):
    pocl = Card("pthread-Intel Xeon", "Portable Computing Language", type=cl.device_type.CPU, driver_version="3.0-rc2")
    pocl.platform.version = "OpenCL 3.0 PoCL 3.0-rc2"
    intel = Card("Xeon", "Intel(R) OpenCL", type=cl.device_type.CPU, driver_version="2026.2")
    machine(A=[pocl], B=[intel], C=[Card("Radeon", driver_version="3590.0")])
    named = {
        name: clnet.device(name).name
        for name in ("intel", "PoCL", "3.0-", "cpu", "gpu", "radeon", "2026.", "1", "maker")
    }
    assert named == {
        "intel": "Xeon",  # the runtime, not the processor under PoCL
        "PoCL": "pthread-Intel Xeon",
        "3.0-": "pthread-Intel Xeon",
        "cpu": "pthread-Intel Xeon",
        "gpu": "Radeon",
        "radeon": "Radeon",
        "2026.": "Xeon",
        "1": "pthread-Intel Xeon",
        "maker": "Radeon",
    }
    assert clnet.device(2).name == "Xeon"
    assert clnet.device(clnet.device(2)) is clnet.device(2)


def test_the_environment_names_the_default(machine, monkeypatch):
    machine(A=[Card("one"), Card("two")])
    assert clnet.device().name == "one"
    monkeypatch.setenv("CLNET_DEVICE", "two")
    assert clnet.device().name == "two"


@pytest.mark.parametrize("which", ["three", 2, -1, "99"])
def test_a_name_that_nobody_has(machine, which):
    machine(A=[Card("one"), Card("two")])
    with pytest.raises(errors.NoDeviceError, match=r"one.*two"):
        clnet.device(which)


@pytest.mark.parametrize("which", [True, 1.5, [], object()])
def test_a_thing_that_names_nothing(which):
    with pytest.raises(errors.ArgumentError, match="device: got"):
        clnet.device(which)


def test_facts(device):
    facts = device.facts
    assert facts.units >= 1
    assert facts.memory >= facts.max_allocation > 1 << 20
    assert facts.vector_width in (1, 4, 8, 16)
    assert facts.alignment >= 4
    assert facts.driver
    assert not facts.version.startswith("OpenCL")
    assert device.name in repr(device)
    assert facts.driver in repr(device)


def test_queues_share_one_context(device):
    assert device.queue.context == device.context
    assert device.serial_queue.context == device.context
    if "PoCL" in device.facts.version:
        assert device.serial_queue.device.max_compute_units == 1
    if "Intel" in device.platform and device.kind == "cpu":
        assert device.serial_queue is not device.queue


def test_bytes_go_there_and_back(device):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    buffer = device.upload(array.T)  # not contiguous: goes in the order of its elements
    back = np.empty((5, 4, 3), np.float32)
    device.download(buffer, back)
    assert (back == array.T).all()
    device.upload(2 * back, buffer)
    device.download(buffer, back)
    assert (back == 2 * array.T).all()


def test_both_queues_see_one_buffer_in_order(device):
    source = "kernel void twice_plus_one(global int *x) { x[0] = 2 * x[0] + 1; }"
    launch = kernels.Launch(source, "twice_plus_one", ("x",), (1,), (1,))
    buffer = device.upload(np.zeros(1, np.int32))
    wanted = 0
    bound = [
        (q, kernels.bind(device, launch, lambda slot: buffer, queue=q)) for q in (device.queue, device.serial_queue)
    ]
    for _ in range(5):
        for queue, twice in bound:
            kernels.enqueue(device.activate(queue), twice)
            wanted = 2 * wanted + 1
    result = np.empty(1, np.int32)
    device.download(buffer, result)
    device.activate(device.queue)
    assert result[0] == wanted


def test_activate_waits_only_when_the_queue_changes(device):
    class Queue:
        finished = 0

        def finish(self):
            self.finished += 1

    first, second = Queue(), Queue()
    before = device.active
    try:
        device.activate(first)
        device.activate(first)
        assert first.finished == 0
        assert device.activate(second) is second is device.active
        assert (first.finished, second.finished) == (1, 0)
    finally:
        device.activate(before)


def test_allocations_are_counted(device):
    bytes_before, before = device.allocated_bytes, device.allocations
    device.allocate(1000)
    device.upload(np.zeros(250, np.float32))
    assert device.allocated_bytes - bytes_before == 2000
    assert device.allocations - before == 2


@pytest.mark.parametrize("nbytes", [0, -1])
def test_no_empty_buffers(device, nbytes):
    with pytest.raises(errors.ArgumentError, match="wanted 1 or more"):
        device.allocate(nbytes)


def test_too_much_memory_says_how_much(device):
    wanted = device.facts.max_allocation + 1
    before = device.allocations
    with pytest.raises(errors.DeviceMemoryError, match=f"{wanted:,} bytes wanted") as caught:
        device.allocate(wanted)
    assert (caught.value.wanted, caught.value.available) == (wanted, device.facts.max_allocation)
    assert device.allocations == before


@pytest.mark.parametrize("code", [-4, -5, -6, -61])
def test_a_driver_out_of_memory_is_understood(device, code, monkeypatch):
    def no_buffer(*_):
        raise cl.MemoryError(cl._cl._ErrorRecord(code=code, routine="create_buffer", msg=""))

    monkeypatch.setattr(cl, "Buffer", no_buffer)
    with pytest.raises(errors.DeviceMemoryError) as caught:
        device.allocate(64)
    assert caught.value.available == device.facts.memory


def test_cache_makes_once_for_all_threads():
    held = module.Device(Card("one"))
    made = []
    barrier = threading.Barrier(8)

    def ask():
        barrier.wait()
        held.cache("key", lambda: made.append(1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_cache_forgets_a_failure():
    held = module.Device(Card("one"))
    with pytest.raises(ZeroDivisionError):
        held.cache("key", lambda: 1 / 0)
    assert held.cache("key", lambda: 5) == 5


def test_a_users_queue(device):
    context = cl.Context([device.cl_device])
    queue = cl.CommandQueue(context)
    adopted = clnet.device(queue)
    assert adopted is not device
    assert adopted.queue is queue
    assert adopted.serial_queue is queue
    assert adopted.context == context
    assert clnet.device(queue) is adopted
    assert clnet.device(context) is adopted
    assert clnet.device(cl.array.zeros(queue, 3, np.float32).queue) is adopted


def test_a_users_context(device):
    context = cl.Context([device.cl_device])
    adopted = clnet.device(context)
    assert clnet.device(context) is adopted
    assert clnet.device(adopted.queue) is adopted
    array = cl.array.arange(adopted.queue, 10, dtype=np.float32)
    back = np.empty(10, np.float32)
    adopted.download(array.data, back)
    assert (back == np.arange(10)).all()


def test_a_devices_own_context_leads_back_to_it(device):
    assert clnet.device(device.context) is device
    assert clnet.device(device.queue) is device
    assert clnet.device(device.serial_queue) is device


def test_what_was_adopted_goes_with_its_user(device):
    context = cl.Context([device.cl_device])
    key = context.int_ptr
    adopted = clnet.device(context)
    assert module._known[key] is adopted
    del adopted
    gc.collect()
    assert key not in module._known


def test_a_queue_out_of_order_is_refused(device):
    properties = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
    if not device.cl_device.queue_properties & properties:
        pytest.skip("the device has none out of order")
    with pytest.raises(errors.ArgumentError, match="out of order"):
        clnet.device(cl.CommandQueue(device.context, device.cl_device, properties=properties))


def test_facts_are_frozen(device):
    with pytest.raises(dataclasses.FrozenInstanceError):
        device.facts.memory = 0
