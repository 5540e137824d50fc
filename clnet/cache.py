"""Files that make the next start faster: found by name, replaced atomically, never needed."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

ROOM = 64 << 20  # bytes: PoCL ends the process when its own cache, which lies below this folder, finds the disk full


def folder() -> Path:
    """CLNET_CACHE, else clnet's folder among the user's caches; if it takes nothing, one that ends with the process."""
    path = Path(os.environ.get("CLNET_CACHE") or platformdirs.user_cache_dir("clnet", appauthor=False))
    return path if takes(path) else _temporary()


def takes(path: Path) -> bool:
    """The folder is there, or could be made, can be written and has room."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return os.access(path, os.W_OK | os.X_OK) and shutil.disk_usage(path).free >= ROOM
    except OSError:
        return False


@functools.cache
def _temporary() -> Path:
    path = Path(tempfile.mkdtemp(prefix="clnet-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def read(name: str) -> bytes | None:
    """What `write` put there under this name, or None."""
    try:
        return (folder() / name).read_bytes()
    except OSError:
        return None


def write(name: str, content: bytes) -> bool:
    """Replace the file in one step; False where the folder takes nothing (read-only, full)."""
    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError:
        return False
    return True


def remove(name: str) -> None:
    """Forget the file; one that is not there is forgotten already."""
    with contextlib.suppress(OSError):
        (folder() / name).unlink(missing_ok=True)
