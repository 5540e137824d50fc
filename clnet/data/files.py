"""Files as the readers want them: unpacked by content, written in one step, every failure named."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clnet.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20  # bytes


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """The file's bytes, gzip unpacked; whatever fails until the block ends is a DataError that names the file.

    The content decides, not the name: browsers unpack a download and leave `.gz` on it.
    """
    try:
        with Path(path).open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not packed:
                yield raw
            else:
                with gzip.GzipFile(fileobj=raw) as file:
                    yield file  # type: ignore[misc]  # typeshed: GzipFile is not an IO, yet has all of its methods
    except EOFError as error:
        raise DataError(f"{path}: the gzip data ends too early; the file is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def take(file: IO[bytes], limit: int) -> bytearray:
    """At most `limit` bytes. Memory grows with what is there, not with what a header promises."""
    content = bytearray()
    while chunk := file.read(min(CHUNK, limit - len(content))):
        content += chunk
    return content


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes `path` when the block ends well, and leaves nothing behind when it does not."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
