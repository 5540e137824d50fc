"""Programs: built once, kept on disk where the driver does not, errors with the compiler's words."""

import hashlib
import uuid

import numpy as np
import pyopencl as cl
import pytest
from pyopencl.characterize import has_src_build_cache

from clnet import cache, errors, kernels

SCALE = """
kernel void scale(global float *ys, global const float *xs, const int n, const float factor) {
    const int i = get_global_id(0);
    if (i < n) ys[i] = factor * xs[i];
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def keeps_binaries(device):
    if has_src_build_cache(device.cl_device):
        pytest.skip("the driver has a cache of its own")


def fresh(text):
    """The text as nobody has built it before."""
    return f"// {uuid.uuid4()}\n{text}"


def run(device, source, queue=None):
    xs = np.arange(1000, dtype=np.float32)
    buffers = {"x": device.upload(xs), "y": device.allocate(xs.nbytes)}
    launch = kernels.Launch(source, "scale", ("y", "x", np.int32(1000), np.float32(3)), (1024,), (64,))
    bound = kernels.bind(device, launch, buffers.__getitem__, queue=queue)
    kernels.enqueue(device.activate(queue or device.queue), bound)
    ys = np.empty_like(xs)
    device.download(buffers["y"], ys)
    device.activate(device.queue)
    assert (ys == 3 * xs).all()


def test_define():
    assert kernels.define(TILE=16, T="float", SCALE=0.5) == "#define TILE 16\n#define T float\n#define SCALE 0.5\n"


def test_read_names_the_file_for_the_compiler(tmp_path, monkeypatch):
    name = sorted(path.name for path in (kernels._HERE.parent / "kernels_cl").glob("*.cl"))[0]
    assert kernels.read(name).startswith(f'#line 1 "{name}"\n')
    assert kernels.read(name) is kernels.read(name)
    with pytest.raises(FileNotFoundError):
        kernels.read("no_such.cl")


def test_a_launch_runs_on_either_queue(device):
    for queue in (None, device.queue, device.serial_queue):
        run(device, SCALE, queue)


def test_the_wrong_queue_is_refused(device):
    if device.serial_queue is device.queue:
        pytest.skip("the device has one queue")
    launch = kernels.Launch(SCALE, "scale", ("y", "x", np.int32(1), np.float32(3)), (1,))
    buffer = device.allocate(4)
    bound = kernels.bind(device, launch, lambda slot: buffer, queue=device.serial_queue)
    with pytest.raises(errors.ArgumentError, match="another queue"):
        kernels.enqueue(device.queue, bound)


def test_programs_are_shared_kernels_are_not(device):
    assert kernels.build(device, SCALE) is kernels.build(device, SCALE)
    launch = kernels.Launch(SCALE, "scale", ("y", "x", np.int32(1), np.float32(3)), (1,))
    buffer = device.allocate(4)
    one, other = (kernels.bind(device, launch, lambda slot: buffer) for _ in range(2))
    assert one.kernel.int_ptr != other.kernel.int_ptr


def test_a_build_error_has_the_kernel_and_the_log(device):
    with pytest.raises(errors.BuildError, match="kernel 'broken' does not compile") as caught:
        kernels.build(device, "kernel void broken(global int *x) { x[0] = nobody; }", name="broken")
    assert "nobody" in caught.value.log
    assert "nobody" in str(caught.value)


def test_a_kernel_that_is_not_there(device):
    with pytest.raises(errors.BuildError, match=r"no kernel 'absent' in a program of scale; .*`step`"):
        kernels.bind(device, kernels.Launch(SCALE, "absent", (), (1,)), lambda slot: None)


def test_arguments_that_do_not_fit(device):
    buffer = device.allocate(4)
    with pytest.raises(errors.ArgumentError, match="scale: got 2 arguments, wants 4"):
        kernels.bind(device, kernels.Launch(SCALE, "scale", ("y", "x"), (1,)), lambda slot: buffer)
    launch = kernels.Launch(SCALE, "scale", ("y", "x", np.int64(1), np.float32(3)), (1,))
    with pytest.raises(errors.ArgumentError, match=r"scale: argument 2 cannot be np.int64\(1\)"):
        kernels.bind(device, launch, lambda slot: buffer)


def test_a_compilers_remarks_are_no_warning(device):
    kernels.build(device, fresh('#warning "look here"\n' + SCALE))


def test_a_binary_is_kept_and_taken_again(device, folder, keeps_binaries, monkeypatch):
    source = fresh(SCALE)
    run(device, source)
    (file,) = (folder / "programs").iterdir()
    stamp = file.stat().st_mtime_ns
    device._held.pop(("program", device.cl_device, source))
    monkeypatch.setattr(kernels, "_from_source", lambda *_: pytest.fail("built a second time"))
    run(device, source)
    assert file.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", [b"", b"short", bytes(4096), None, "a valid digest of nonsense"])
def test_a_damaged_binary_is_built_anew(device, folder, keeps_binaries, damage):
    source = fresh(SCALE)
    run(device, source)
    (file,) = (folder / "programs").iterdir()
    whole = file.read_bytes()
    if damage is None:
        damage = whole[:-100]
    elif isinstance(damage, str):
        damage = hashlib.sha256(damage.encode()).digest() + damage.encode()
    file.write_bytes(damage)
    device._held.pop(("program", device.cl_device, source))
    run(device, source)
    assert len(file.read_bytes()) > 200


def test_a_cache_that_takes_nothing(device, monkeypatch):
    monkeypatch.setattr(cache, "write", lambda name, content: False)
    monkeypatch.setattr(cache, "read", lambda name: None)
    run(device, fresh(SCALE))


def test_the_files_name_tells_device_and_driver_apart():
    class Driver:
        name, driver_version = "card", "1"
        platform = cl.get_platforms()[0]

    class Newer(Driver):
        driver_version = "2"

    names = {kernels._file(driver, source) for driver in (Driver, Newer) for source in ("a", "b")}
    assert len(names) == 4


def test_one_kernel_runs_again_and_again(device):
    source = "kernel void count(global int *x) { x[0] += 1; }"
    buffer = device.upload(np.zeros(1, np.int32))
    bound = kernels.bind(device, kernels.Launch(source, "count", ("x",), (1,), (1,)), lambda slot: buffer)
    for _ in range(100):
        kernels.enqueue(device.activate(device.queue), bound)
    result = np.empty(1, np.int32)
    device.download(buffer, result)
    assert result[0] == 100
