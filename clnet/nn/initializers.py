"""Initializers: the first values of a weight, drawn on the host, so that one seed gives the same bits on every device.

An initializer is any callable `(shape, rng) -> array`. The names in `InitializerName` select the usual ones; the frozen
dataclasses below are what the names stand for, and configure the rest:

    nn.Dense(30, weight_initializer="he_normal")
    nn.Dense(30, weight_initializer=nn.initializers.Normal(stddev=0.01))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from clnet.errors import ArgumentError

Array: TypeAlias = NDArray[Any]
Initializer: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], Array]
InitializerName = Literal[
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "uniform",
    "orthogonal",
    "zeros",
    "ones",
]


@dataclass(frozen=True)
class VarianceScaling:
    """Mean 0 and variance scale / fan, where fan is what enters an output, what leaves an input, or the mean of both.

    Glorot and Bengio 2010 (scale 1, "fan_avg"), He et al. 2015 (scale 2, "fan_in"), LeCun et al. 1998 and Nielsen's
    chapter 3 (scale 1, "fan_in"). The normal form is not truncated.
    """

    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["normal", "uniform"] = "normal"

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = float(np.sqrt(self.scale / max(fan, 1)))
        if self.distribution == "normal":
            return rng.normal(0.0, stddev, shape)
        limit = np.sqrt(3.0) * stddev
        return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class Normal:
    """N(mean, stddev squared); the defaults are N(0, 1), as in Nielsen's chapter 1 (Keras's stddev is 0.05)."""

    mean: float = 0.0
    stddev: float = 1.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


@dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high)."""

    low: float = -0.05
    high: float = 0.05

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Orthogonal:
    """Q transposed Q = gain squared I, over all axes but the last flattened (Saxe et al. 2014)."""

    gain: float = 1.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ArgumentError(f"Orthogonal: got shape {shape}, wants at least 2 axes")
        rows, columns = int(np.prod(shape[:-1])), shape[-1]
        normal = rng.normal(0.0, 1.0, (max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the factorisation unique, and Q uniformly distributed
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


@dataclass(frozen=True)
class Constant:
    """Every element is value."""

    value: float = 0.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.full(shape, self.value)


@dataclass(frozen=True)
class ForgetBias:
    """1 for the forget gate of an LSTM, the second quarter, else 0: it begins by remembering (Gers et al. 2000)."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.repeat([0.0, 1.0, 0.0, 0.0], shape[-1] // 4)


_NAMED: Mapping[str, Initializer] = MappingProxyType(
    {
        "glorot_normal": VarianceScaling(1.0, "fan_avg", "normal"),
        "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
        "he_normal": VarianceScaling(2.0, "fan_in", "normal"),
        "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
        "lecun_normal": VarianceScaling(1.0, "fan_in", "normal"),
        "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
        "normal": Normal(),
        "uniform": Uniform(),
        "orthogonal": Orthogonal(),
        "zeros": Constant(0.0),
        "ones": Constant(1.0),
    }
)


def initializer(choice: InitializerName | Initializer) -> Initializer:
    """The initializer that a name stands for; a callable is itself."""
    if isinstance(choice, str) and choice in _NAMED:
        return _NAMED[choice]
    if callable(choice):
        return choice
    raise ArgumentError(
        f"initializer: got {choice!r}, wants a callable (shape, rng) -> array or one of "
        + ", ".join(get_args(InitializerName))
    )


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(what enters an output, what leaves an input) of weights (..., inputs, outputs), windows first."""
    if len(shape) < 2:
        size = int(np.prod(shape))
        return size, size
    window = int(np.prod(shape[:-2]))
    return window * shape[-2], window * shape[-1]
