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


def prepare() -> None:
    """Set what pyopencl and the drivers read from the environment when they load; what the user has set stays.

    PoCL lists its single-core `basic` device only when asked, and lists none at all where it cannot write its cache;
    pyopencl cannot make a kernel then. PyPI's PoCL needs nothing more: pyopencl's own loader finds it.
    """
    os.environ.setdefault("POCL_DEVICES", "basic pthread")
    os.environ.setdefault("POCL_CACHE_DIR", str(cache.folder() / "pocl"))
    if not cache.takes(Path(platformdirs.user_cache_dir("pytools", "pytools"))):  # where pyopencl keeps its own
        os.environ.setdefault("PYOPENCL_NO_CACHE", "1")
    if not os.environ.keys() & {"OCL_ICD_VENDORS", "OCL_ICD_FILENAMES"}:
        _show_intel()


def _show_intel() -> None:
    """Intel's wheel puts its driver where no loader looks: lib/ below the environment, or below the user's base."""
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    bases = [Path(sysconfig.get_path("data", scheme)) for scheme in schemes]
    drivers = [base / "lib" / INTEL for base in bases if (base / "lib" / INTEL).is_file()]
    if not drivers or not sys.platform.startswith("linux"):
        return
    vendors = vendors_with(drivers[0], [Path("/etc/OpenCL/vendors"), Path(sys.prefix, "etc/OpenCL/vendors")])
    if vendors is not None:
        os.environ["OCL_ICD_VENDORS"] = str(vendors)


def vendors_with(driver: Path, known: Iterable[Path]) -> Path | None:
    """A folder of .icd files: all that `known` folders hold and one for `driver`; None where nothing can be written.

    One that names the same driver elsewhere stays the only one of it, one that names a missing file is left out.
    The folder's name is a digest of what is in it, so that environments do not overwrite each other's.
    """
    files = {file.name: _driver(file) for folder in known for file in sorted(folder.glob("*.icd"))}
    files = {name: text for name, text in files.items() if text and (text[0] != "/" or Path(text).exists())}
    if all(Path(text).name != driver.name for text in files.values()):
        files["clnet.icd"] = str(driver)
    name = "vendors/" + hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    written = [_hold(f"{name}/{file}", f"{text}\n".encode()) for file, text in files.items()]
    return cache.folder() / name if all(written) else None


def _driver(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _hold(name: str, content: bytes) -> bool:
    return cache.read(name) == content or cache.write(name, content)
