"""Schedules: the rates that their formulas say, computed on the device."""

import math

import pytest

from clnet import schedules
from clnet.errors import ArgumentError


def cosine(count):
    if count < 10:
        return 0.2 * (count + 1) / 10
    return 0.01 + 0.19 * (1 + math.cos(math.pi * min(1, (count - 10) / 50))) / 2


def one_cycle(count):
    top, last = 0.3 * 40 - 1, 39
    if count < top:
        return 0.5 + (0.02 - 0.5) * (1 + math.cos(math.pi * count / top)) / 2
    return 5e-6 + (0.5 - 5e-6) * (1 + math.cos(math.pi * min(1, (count - top) / (last - top)))) / 2


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        (schedules.Constant(0.3), lambda count: 0.3),
        (schedules.StepDecay(0.5, every=3, factor=0.1), lambda count: 0.5 * 0.1 ** (count // 3)),
        (schedules.ExponentialDecay(0.5, every=7, factor=0.9), lambda count: 0.5 * 0.9 ** (count / 7)),
        (schedules.CosineDecay(0.2, decay=50, warmup=10, lowest=0.01), cosine),
        (schedules.CosineDecay(0.2, decay=4), lambda count: 0.1 * (1 + math.cos(math.pi * min(1, count / 4)))),
        (schedules.OneCycle(0.5, total=40, final=1e5), one_cycle),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rates(device, schedule, rate):
    for count in (0, 1, 2, 3, 6, 9, 10, 30, 60, 1000):
        assert schedule.at(count, device=device) == pytest.approx(rate(count), rel=1e-4, abs=1e-7)


def test_refusals():
    with pytest.raises(ArgumentError, match="StepDecay: every is 0"):
        schedules.StepDecay(0.1, every=0)
    with pytest.raises(ArgumentError, match="CosineDecay: decay is 0"):
        schedules.CosineDecay(0.1, decay=0)
    with pytest.raises(ArgumentError, match="OneCycle: warmup is 1"):
        schedules.OneCycle(0.1, total=10, warmup=1)
