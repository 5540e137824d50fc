"""The sides of a comparison as processes: what they are told, what they answer, what they use of the processors."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUIET = 0.1  # cores' worth of other programs' work during a turn, above which it is disturbed


@dataclass(frozen=True)
class Side:
    """One contender: `script` prepares the work under `python`, where the module `needs` must import."""

    name: str
    script: Path
    python: str
    needs: str

    def missing(self) -> str:
        """Why this side cannot run here; empty if it can."""
        return _missing(self.python, self.needs)


@functools.cache
def _missing(python: str, needs: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", f"import {needs}"], capture_output=True, text=True, env=environment(), timeout=120
        )
    except OSError as error:
        return f"no interpreter {python}: {error.strerror}"
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@dataclass(frozen=True)
class Turn:
    """One stretch of work: its wall time, its units, and what it and all other programs used of the processors."""

    seconds: float
    units: int
    own: float  # CPU seconds
    others: float  # CPU seconds

    @property
    def microseconds(self) -> float:
        return self.seconds * 1e6 / self.units

    @property
    def disturbed(self) -> bool:
        return self.others > QUIET * self.seconds


class SideError(Exception):
    """A side's process failed; the message is its own last word."""


class Process:
    """A side's process, which prepares one work after another and obeys words about it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        command = [side.python, str(HERE / "worker.py"), str(side.script)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment()
        )

    def ask(self, word: str, **options: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as the lack of a reply will say
            self._process.stdin.write(json.dumps({"word": word, **options}) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def turn(self, runs: int) -> Turn:
        busy, own = machine.busy_seconds(), machine.process_seconds(self._process.pid)
        taken = self.ask("run", times=runs)
        used = machine.process_seconds(self._process.pid) - own
        others = machine.busy_seconds() - busy - used
        return Turn(taken["seconds"], taken["units"], used, others)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SideError((self._errors.read().strip().splitlines() or ["ended without a word"])[-1])
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SideError(reply["error"])
        return reply


def environment() -> dict[str, str]:
    """This process's environment, with the checkout importable (a peer's interpreter never asks for clnet)."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
