"""Pace: windows of about 50 ms, whatever a step takes."""

import time

from clnet.training.pace import WINDOW, Pace


class Plan:
    """Steps that take their time."""

    def __init__(self, seconds):
        self.seconds, self.runs, self.device = seconds, [], self

    def replay(self, times):
        self.runs.append(times)
        time.sleep(self.seconds * times)

    def finish(self):
        pass


def test_windows_grow_until_they_take_their_time():
    plan = Plan(0.0005)
    assert sum(Pace().windows(plan, 400)) == 400
    assert plan.runs[:2] == [1, 8]
    assert 0.3 * WINDOW <= max(plan.runs) * plan.seconds <= WINDOW


def test_slow_steps_are_windows_of_one():
    plan = Plan(1.5 * WINDOW)
    assert list(Pace().windows(plan, 2)) == [1, 1]


def test_a_pace_remembers():
    pace = Pace()
    list(pace.windows(Plan(0.0005), 200))
    plan = Plan(0.0005)
    list(pace.windows(plan, 200))
    assert plan.runs[0] > 30
