"""What `import clnet` sets before the drivers load, each case in a process of its own."""

import os
import subprocess
import sys

import pytest

from clnet import runtimes

OURS = ("POCL_DEVICES", "POCL_CACHE_DIR", "OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "PYOPENCL_NO_CACHE", "CLNET_DEVICE")


def python(code, **environment):
    """What the code prints, in a process whose environment clnet has not touched yet."""
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_user_set_stays():
    users = {"POCL_DEVICES": "pthread", "POCL_CACHE_DIR": "/x", "OCL_ICD_VENDORS": "/y", "PYOPENCL_NO_CACHE": "0"}
    assert (
        python(f"import clnet, os; print({users} == {{name: os.environ[name] for name in {[*users]}}})", **users)
        == "True"
    )


def test_pocl_without_basic_has_one_queue():
    code = "import clnet; print([d.serial_queue is d.queue for d in clnet.devices() if 'PoCL' in d.facts.version])"
    answer = python(code, POCL_DEVICES="pthread")
    assert "False" not in answer


def test_import_does_not_load_what_it_need_not():
    loaded = python("import clnet, sys; print(*{'reikna', 'matplotlib', 'pooch', 'requests'} & sys.modules.keys())")
    assert loaded == ""


def test_a_home_that_cannot_be_written():
    code = """
import clnet.kernels
for device in clnet.devices():
    launch = clnet.kernels.Launch("kernel void one(global int *x) { x[0] = 1; }", "one", ("x",), (1,))
    buffer = device.allocate(4)
    clnet.kernels.enqueue(device.queue, clnet.kernels.bind(device, launch, lambda slot: buffer))
    device.finish()
    print(device)
"""
    nowhere = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "CLNET_CACHE": "/proc/none"}
    assert python(code, **nowhere) == python("import clnet; print(*clnet.devices(), sep='\\n')")


def test_no_driver_at_all(tmp_path):
    code = """
import clnet.errors
assert clnet.devices() == []
try:
    clnet.device()
except clnet.errors.NoDeviceError as error:
    print(error)
"""
    message = python(code, OCL_ICD_VENDORS=str(tmp_path / "none"))
    for way in ('pip install "clnet[cpu]"', 'pip install "clnet[intel]"', "pocl-opencl-icd"):
        assert way in message


def test_a_driver_that_does_not_load(tmp_path):
    (tmp_path / "broken.icd").write_text("/nowhere/libbroken.so\n")
    (tmp_path / "text.icd").write_bytes(b"\xff\xfe\x00")
    python("import clnet; clnet.devices()", OCL_ICD_VENDORS=str(tmp_path))


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A driver and two folders of .icd files; CLNET_CACHE is empty."""
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path / "cache"))
    driver = tmp_path / "lib" / runtimes.INTEL
    for folder in (driver.parent, tmp_path / "system", tmp_path / "environment"):
        folder.mkdir()
    driver.touch()
    (tmp_path / "system" / "pocl.icd").write_text("libpocl.so.2\n")
    (tmp_path / "environment" / "intel-cpu.icd").write_text("/where/it/was/built/libintelocl.so\n")
    return str(driver), [tmp_path / "system", tmp_path / "environment"]


def contents(folder):
    return {file.name: file.read_text().strip() for file in folder.iterdir()}


def test_drivers_join_the_systems(environment):
    driver, known = environment
    folder = runtimes.vendors_with([driver, runtimes.NVIDIA], known)
    assert contents(folder) == {
        "pocl.icd": "libpocl.so.2",
        "clnet-libintelocl.icd": driver,
        "clnet-libnvidia-opencl.so.icd": runtimes.NVIDIA,
    }
    assert runtimes.vendors_with([driver, runtimes.NVIDIA], known) == folder


def test_a_driver_that_the_system_names_is_not_named_again(environment):
    driver, known = environment
    (known[0] / "nvidia.icd").write_text(f"{runtimes.NVIDIA}\n")
    assert "clnet-libnvidia-opencl.so.icd" not in contents(runtimes.vendors_with([driver, runtimes.NVIDIA], known))
    (known[0] / "intel.icd").write_text("libintelocl.so")
    assert runtimes.vendors_with([driver, runtimes.NVIDIA], known) is None


def test_nothing_to_add(environment):
    assert runtimes.vendors_with([], environment[1]) is None


def test_a_folder_that_is_not_there_and_a_damaged_file(environment):
    driver, known = environment
    (known[0] / "noise.icd").write_bytes(b"\xff\xfe")
    assert "noise.icd" not in contents(runtimes.vendors_with([driver], [*known, known[0] / "none"]))


def test_a_damaged_copy_is_mended(environment):
    driver, known = environment
    (runtimes.vendors_with([driver], known) / "clnet-libintelocl.icd").write_text("garbage")
    assert contents(runtimes.vendors_with([driver], known))["clnet-libintelocl.icd"] == driver


def test_intels_wheel_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes.sysconfig, "get_path", lambda kind, scheme: str(tmp_path))
    assert runtimes._intel() == []
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / runtimes.INTEL).touch()
    assert runtimes._intel() == [str(tmp_path / "lib" / runtimes.INTEL)]
