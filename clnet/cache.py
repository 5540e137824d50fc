"""Files that make the next start faster: found by name, replaced atomically, never needed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def folder() -> Path:
    """CLNET_CACHE, else clnet's folder among the user's caches; it need not exist."""
    chosen = os.environ.get("CLNET_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs  # here: it costs an import 20 ms, and a run with CLNET_CACHE never needs it

    return Path(platformdirs.user_cache_dir("clnet", appauthor=False))


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
