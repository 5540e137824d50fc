"""Makes pip-installed OpenCL runtimes visible to pyopencl. Imports nothing heavy: it runs before everything else."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from clnet import cache

SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")
INTEL = "libintelocl.so"


def prepare() -> None:
    """Set POCL_DEVICES and OCL_ICD_VENDORS for drivers not loaded yet; what the user has set stays.

    PoCL lists its single-core `basic` device only when asked. Intel's wheel (`clnet[intel]`) puts its driver in
    sys.prefix/lib, where no loader looks. PyPI's PoCL needs nothing: pyopencl's own loader finds it.
    """
    os.environ.setdefault("POCL_DEVICES", "basic pthread")
    if "OCL_ICD_VENDORS" in os.environ or "OCL_ICD_FILENAMES" in os.environ or not sys.platform.startswith("linux"):
        return
    driver = Path(sys.prefix) / "lib" / INTEL
    if not driver.is_file():
        return
    vendors = vendors_with(driver, SYSTEM_VENDORS)
    if vendors is not None:
        os.environ["OCL_ICD_VENDORS"] = str(vendors)


def vendors_with(driver: Path, system: Path) -> Path | None:
    """A folder with the system's .icd files and one for `driver`; None where nothing can be written.

    Its name is a digest of its content, so that environments do not overwrite each other's.
    """
    entries = {path.name: path.read_text() for path in sorted(system.glob("*.icd")) if os.access(path, os.R_OK)}
    if any(Path(text.strip()).name == driver.name for text in entries.values()):
        return None  # the system's own Intel runtime is there already
    entries["clnet-intel.icd"] = f"{driver}\n"
    name = "vendors-" + hashlib.sha256(repr(sorted(entries.items())).encode()).hexdigest()[:16]
    if all(_holds(f"{name}/{entry}", text) for entry, text in entries.items()):
        return cache.folder() / name
    return None


def _holds(name: str, text: str) -> bool:
    return cache.read(name) == text.encode() or cache.write(name, text.encode())
