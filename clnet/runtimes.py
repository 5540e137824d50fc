"""Makes pip-installed OpenCL runtimes visible to pyopencl. Imports nothing heavy: it runs before everything else."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from clnet import cache

INTEL = "libintelocl.so"
NVIDIA = "libnvidia-opencl.so.1"


def prepare() -> None:
    """Set what pyopencl and the drivers read from the environment when they load; what the user has set stays.

    PoCL lists its single-core `basic` device only when asked, and lists none at all where it cannot write its cache;
    pyopencl cannot make a kernel then. Its threads get a core each: left to the scheduler, all may share one for 0.1 s
    after a pause (a product of 256 cubed: 300 us, then 180). PyPI's PoCL needs nothing more: pyopencl's own loader
    finds it.
    """
    os.environ.setdefault("POCL_DEVICES", "basic pthread")
    if _all_cores():
        os.environ.setdefault("POCL_AFFINITY", "1")
    os.environ.setdefault("POCL_CACHE_DIR", str(cache.folder() / "pocl"))
    if not cache.takes(Path(platformdirs.user_cache_dir("pytools", "pytools"))):  # where pyopencl keeps its own
        os.environ.setdefault("PYOPENCL_NO_CACHE", "1")
    if sys.platform.startswith("linux") and not os.environ.keys() & {"OCL_ICD_VENDORS", "OCL_ICD_FILENAMES"}:
        known = [Path("/etc/OpenCL/vendors"), Path(sys.prefix, "etc/OpenCL/vendors")]
        vendors = vendors_with([*_intel(), *_nvidia()], known)
        if vendors is not None:
            os.environ["OCL_ICD_VENDORS"] = str(vendors)


def _all_cores() -> bool:
    """Whether this process may use every core; PoCL's thread i takes core i, allowed or not."""
    return hasattr(os, "sched_getaffinity") and os.sched_getaffinity(0) == set(range(os.cpu_count() or 0))


def _intel() -> Iterable[str]:
    """Intel's wheel puts its driver where no loader looks: lib/ below the environment, or below the user's base."""
    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        driver = Path(sysconfig.get_path("data", scheme), "lib", INTEL)
        if driver.is_file():
            return [str(driver)]
    return []


def _nvidia() -> Iterable[str]:
    """Containers are given NVIDIA's driver, but seldom the .icd file that names it."""
    return [NVIDIA] if Path("/dev/nvidiactl").exists() else []


def vendors_with(drivers: Iterable[str], known: Iterable[Path]) -> Path | None:
    """A folder of .icd files: those of the `known` folders, and one for each driver that none of them names.

    None where that adds nothing or nothing can be written. Files that name a missing driver are left out. The folder's
    name is a digest of what is in it, so that environments do not overwrite each other's.
    """
    files = {file.name: _named(file) for folder in known for file in sorted(folder.glob("*.icd"))}
    files = {name: text for name, text in files.items() if text and (text[0] != "/" or Path(text).exists())}
    there = {Path(text).name for text in files.values()}
    added = {f"clnet-{Path(driver).stem}.icd": driver for driver in drivers if Path(driver).name not in there}
    if not added:
        return None
    files |= added
    name = "vendors/" + hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    written = [_hold(f"{name}/{file}", f"{text}\n".encode()) for file, text in files.items()]
    return cache.folder() / name if all(written) else None


def _named(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _hold(name: str, content: bytes) -> bool:
    return cache.read(name) == content or cache.write(name, content)
