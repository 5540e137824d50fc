"""Checkpoint: one safetensors file with everything that training goes on from.

The arrays are named "net/<path>", "optimizer/<path>" and "training/<name>". The header's metadata has `format`
("clnet"), `schema` (below), `clnet` (the version that wrote it) and `model`, JSON: how to make the network, the
optimizer, the loss and the metrics again, the seed, the epochs done. Any safetensors reader can open it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet.errors import CheckpointError

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Arrays by name, and settings that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    def below(self, folder: str) -> dict[str, NDArray[Any]]:
        """The arrays named "folder/...", by the rest of their names."""
        start = f"{folder}/"
        return {name[len(start) :]: array for name, array in self.arrays.items() if name.startswith(start)}


def write(path: str | Path, checkpoint: Checkpoint, *, version: str) -> None:
    """Replace the file at once: whatever fails or interrupts, the path holds the old content or the new one, whole."""
    from safetensors.numpy import save  # here: `import clnet` need not wait for it

    metadata = {"format": "clnet", "schema": str(SCHEMA), "clnet": version, "model": json.dumps(checkpoint.settings)}
    content = save({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in checkpoint.arrays.items()}, metadata)
    target = Path(path).resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path}: cannot be written: {reason}; what was there before is untouched") from error
    finally:
        draft.unlink(missing_ok=True)


def read(path: str | Path) -> Checkpoint:
    """The checkpoint at this path; `CheckpointError` says what is wrong with a file that is not a whole one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            settings = _settings(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (safe_open is no dict)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    return Checkpoint(arrays, settings)


def _settings(path: str | Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != "clnet":
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of clnet's")
    if metadata.get("schema") != str(SCHEMA):
        raise CheckpointError(
            f"{path}: has schema {metadata.get('schema')}, wants {SCHEMA}; clnet {metadata.get('clnet')} wrote it"
        )
    try:
        settings = json.loads(metadata["model"])
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error!r}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: its metadata is {type(settings).__name__}, wants an object")
    return settings
