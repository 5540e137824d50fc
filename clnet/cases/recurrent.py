"""Recurrences: every cell, with and without a mask, all states and the last ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import Array, Case, Shapes, captured, sigmoid

Step = Callable[..., tuple[Array, ...]]  # (x, states' part of the gates, states) -> states


def rows() -> list[Case]:
    return [
        *_cell("simple_rnn", ops.simple_rnn, _simple_rnn, gates=1, states=1),
        *_cell("simple_rnn_relu", lambda *a, **k: ops.simple_rnn(*a, activation="relu", **k), _relu, gates=1, states=1),
        *_cell("lstm", ops.lstm, _lstm, gates=4, states=2),
        *_cell("gru", ops.gru, _gru, gates=3, states=1, bias=True),
    ]


def _cell(name: str, op: Callable[..., Any], step: Step, *, gates: int, states: int, bias: bool = False) -> list[Case]:
    """The op alone, with a mask of ragged ends and a gap, and the last state alone, whose gradient is one step's."""

    def shapes(steps: int, batch: int, units: int) -> tuple[tuple[int, ...], ...]:
        middle = [(gates * units,)] if bias else []
        return ((steps, batch, gates * units), (units, gates * units), *middle, *[(batch, units)] * states)

    def run(masked: bool, last: bool = False) -> tuple[Callable[..., Any], Callable[..., Array]]:
        def function(x: Any, *others: Any) -> Any:
            mask = captured(x, _mask(*x.shape[:2])) if masked else None
            result = op(x, *others, mask=mask)
            if last:
                return (result[0] if states > 1 else result)[-1]
            return ops.concatenate([result[0], result[1][None]], axis=0) if states > 1 else result

        def reference(x: Array, weights: Array, *others: Array) -> Array:
            mask = _mask(*x.shape[:2]) if masked else np.ones(x.shape[:2], bool)
            constant = others[0] if bias else 0.0
            now, ys = others[int(bias) :], []
            for t in range(len(x)):
                new = step(np.split(x[t], gates, -1), np.split(now[0] @ weights + constant, gates, -1), now)
                now = tuple(np.where(mask[t][:, None], a, b) for a, b in zip(new, now, strict=True))
                ys.append(now[0])
            return ys[-1] if last else np.stack([*ys, now[1]] if states > 1 else ys)

        return function, reference

    plain: list[Shapes] = [shapes(3, 2, 5), shapes(1, 1, 1), shapes(9, 7, 33), shapes(4, 0, 3)]
    ragged: list[Shapes] = [shapes(3, 2, 5), shapes(9, 7, 33), *([shapes(2, 3, 300)] if bias else [])]
    length = lambda x, weights, *_: 2 * x[0] * weights[0]  # noqa: E731 (errors add up from step to step)
    return [
        Case(f"{name}{'_masked' * masked}", *run(masked), ragged if masked else plain, -1, 1, length=length)
        for masked in (False, True)
    ] + [Case(f"{name}_last", *run(masked=True, last=True), ragged[:2], -1, 1, length=length)]


def _mask(steps: int, batch: int) -> Array:
    """Rows of decreasing length; the last has a gap."""
    mask = np.arange(steps)[:, None] < steps - np.arange(batch) % steps
    mask[steps // 2, batch - 1 :] = False
    return mask


def _simple_rnn(x: list[Array], u: list[Array], states: tuple[Array, ...]) -> tuple[Array, ...]:
    return (np.tanh(x[0] + u[0]),)


def _relu(x: list[Array], u: list[Array], states: tuple[Array, ...]) -> tuple[Array, ...]:
    return (np.maximum(x[0] + u[0], 0),)


def _lstm(x: list[Array], u: list[Array], states: tuple[Array, ...]) -> tuple[Array, ...]:
    i, f, o = (sigmoid(x[gate] + u[gate]) for gate in (0, 1, 3))
    c = f * states[1] + i * np.tanh(x[2] + u[2])
    return o * np.tanh(c), c


def _gru(x: list[Array], u: list[Array], states: tuple[Array, ...]) -> tuple[Array, ...]:
    z, r = sigmoid(x[0] + u[0]), sigmoid(x[1] + u[1])
    n = np.tanh(x[2] + r * u[2])
    return (z * states[0] + (1 - z) * n,)
