"""Sides of one comparison, each in a process of its own, run A B A B; figures are checked before times are taken.

The median of ratios is what is judged. Turns wait until other programs leave the processors alone, and are taken again
if they did not, while patience lasts: a barrier among two threads on one core costs milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import numpy as np
from processes import QUIET, Process, Side, SideError, Turn

PAUSE = 0.2  # seconds between turns: worker threads of OpenMP spin for some milliseconds after their last task


@dataclass
class Result:
    """What one side gave: its turns, and the figures checked; or why there are none."""

    side: str
    turns: list[Turn] = field(default_factory=list)
    figures: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def microseconds(self) -> float:
        """Median over the turns, a unit."""
        if self.failure or not self.turns:
            return float("nan")
        return statistics.median(turn.microseconds for turn in self.turns)

    def as_json(self) -> dict[str, Any]:
        if self.failure:
            return {"side": self.side, "skipped": self.failure}
        if not self.turns:
            return {"side": self.side, "figures": self.figures}
        return {
            "side": self.side,
            "microseconds": round(self.microseconds, 2),
            "best": round(min(turn.microseconds for turn in self.turns), 2),
            "processor_microseconds": round(statistics.median(t.own * 1e6 / t.units for t in self.turns), 2),
            "cores_busy_with_others": round(statistics.median(t.others / t.seconds for t in self.turns), 2),
            "figures": self.figures,
        }


@dataclass(frozen=True)
class Timing:
    """How turns are taken: `rounds` of about `seconds` each, and `patience` seconds in all to have them quiet."""

    rounds: int = 5
    seconds: float = 0.4
    patience: float = 30.0


class Team:
    """The processes of some sides, for one comparison or for many that are short beside the start of a process."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self.missing = {side.name: side.missing() for side in sides}
        self.processes = {side.name: Process(side) for side in sides if not self.missing[side.name]}

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes.values():
            process.close()

    def compare(
        self, task: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, timing: Timing, tolerance: float = 1e-3
    ) -> list[Result]:
        """Every side's microseconds a unit.

        The figures of `check()` must agree with the first side's within `tolerance` of their value; a side whose
        figures differ is not timed.
        """
        results = self.prepare(task, arrays)
        for result in results.values():
            self._tell(result, lambda process, result=result: result.figures.extend(process.ask("check")["figures"]))
        _check(list(results.values()), tolerance)
        if timing.rounds:
            _take_turns(results, self.processes, timing)
        return list(results.values())

    def prepare(self, task: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Result]:
        """A result for each side, with why it cannot do the task where it cannot."""
        results = {name: Result(name, failure=failure) for name, failure in self.missing.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "arrays.npz")
            np.savez(path, allow_pickle=False, **arrays)
            for name, result in results.items():
                words = {"task": {**task, "side": name}, "arrays": str(path)}
                self._tell(result, lambda process, words=words: process.ask("prepare", **words))
        return results

    def facts(self, result: Result) -> dict[str, Any]:
        """What the side says of its work; nothing if it failed."""
        found: dict[str, Any] = {}
        self._tell(result, lambda process: found.update(process.ask("facts")["facts"]))
        return found

    def _tell(self, result: Result, words: Callable[[Process], object]) -> None:
        """Say the words to the side's process unless the side has failed; if it fails at them, so does the result."""
        if result.failure:
            return
        try:
            words(self.processes[result.side])
        except SideError as error:
            result.failure = str(error)


def _check(results: Sequence[Result], tolerance: float) -> None:
    wanted = next((result.figures for result in results if not result.failure), [])
    for result in results:
        if not result.failure and not np.allclose(result.figures, wanted, rtol=tolerance, atol=0):
            result.failure = f"wrong figures: got {result.figures}, wanted {wanted}"


def _take_turns(results: Mapping[str, Result], processes: Mapping[str, Process], timing: Timing) -> None:
    """One untimed turn for each side, which also says how many runs fill a turn; then A B A B."""
    runs: dict[str, int] = {}
    patience = timing.patience
    for round_ in range(timing.rounds + 1):
        for name, process in processes.items():
            result = results[name]
            try:
                while not result.failure:
                    patience -= _wait_for_quiet(patience)
                    turn = process.turn(runs.get(name, 1))
                    if round_ == 0:
                        runs[name] = max(1, round(timing.seconds / turn.seconds))
                        break
                    if not turn.disturbed or patience <= 0:
                        result.turns.append(turn)
                        break
                    patience -= turn.seconds + PAUSE
            except SideError as error:
                result.failure = str(error)


def _wait_for_quiet(patience: float) -> float:
    """Sleep for PAUSE, and on while other programs are at work; the seconds that this took of the patience."""
    start = time.perf_counter()
    while True:
        busy = machine.busy_seconds()
        time.sleep(PAUSE)
        waited = time.perf_counter() - start
        if machine.busy_seconds() - busy <= QUIET * PAUSE or waited > patience:
            return waited - PAUSE


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all comparisons share."""
    default = Timing()
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers installed")
    parser.add_argument("--sides", help="names of the sides to run, with commas")
    parser.add_argument("--device", default="", help="clnet's device, as for clnet.device (the best one)")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="timed turns of each side")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="about how long a turn takes")
    parser.add_argument(
        "--patience",
        type=float,
        default=default.patience,
        help="seconds a case to wait for quiet, or to take disturbed turns again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")


def timing_of(options: argparse.Namespace) -> Timing:
    return Timing(rounds=options.rounds, seconds=options.seconds, patience=options.patience)
