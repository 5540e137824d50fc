"""Every test that takes `device` runs on every device found, or on the one that CLNET_DEVICE names."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

import clnet


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        found = [clnet.device()] if os.environ.get("CLNET_DEVICE") else clnet.devices() or [clnet.device()]
        metafunc.parametrize("device", found, ids=short_name, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "device" in getattr(item, "fixturenames", ()):
            item.add_marker("device")


def short_name(device: clnet.Device) -> str:
    """pocl-3.0, pocl-3.1, intel-2026.22"""
    maker = re.match(r"\w+", "pocl" if "PoCL" in device.facts.version else device.platform)
    version = re.search(r"\d+(\.\d+)?", device.facts.driver)
    return "-".join(part[0].lower() for part in (maker, version) if part)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Python's own handler of SIGINT, which a shell that runs the tests in the background has set to be ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def data_folder() -> Path:
    """Where CLNET_DATA says that mnist/, cifar10/ and text/ lie."""
    folder = os.environ.get("CLNET_DATA")
    if not folder:
        pytest.skip("CLNET_DATA is not set")
    return Path(folder)
