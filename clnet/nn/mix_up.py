"""MixUp: a batch of samples between samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.tensor import Tensor, tensor

STEPS = 1024  # of the table of a distribution, linear between them


@dataclass(frozen=True)
class MixUp:
    """x <- t x + (1 - t) x', y <- t y + (1 - t) y': each sample is mixed with the one as far from the batch's end.

    t ~ Beta(alpha, alpha) is drawn for each sample (Zhang et al. 2018). What `Model(..., augmentation=)` takes: a
    function of x (batch, ...), y (batch, ...) and an `ops.Key`. `classes`: how many there are, where y are labels
    (batch,), which become rows of shares; the loss then has to take those, as `softmax_cross_entropy` does.
    """

    alpha: float = 0.2
    classes: int | None = None

    def __post_init__(self) -> None:
        if not self.alpha > 0 or (self.classes is not None and self.classes < 1):
            raise ArgumentError(f"MixUp: alpha={self.alpha}, classes={self.classes}; wants more than 0, 1 or more")

    def __call__(self, x: Tensor, y: Tensor, *, key: ops.Key) -> tuple[Tensor, Tensor]:
        """The batch that takes the place of (x, y)."""
        if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.shape[:1] != y.shape[:1]:
            raise ShapeError(f"MixUp: x is {_said(x)}, y {_said(y)}; wants a tensor each, equally many samples")
        if y.dtype.kind in "iu":
            if self.classes is None or y.ndim != 1:
                raise ArgumentError(f"MixUp: y is {_said(y)}; wants floats, or labels (batch,) and MixUp(classes=...)")
            y = ops.one_hot(y, self.classes)
        share = self._shares(x, key)
        return _mixed(x, share), _mixed(y, share)

    def _shares(self, x: Tensor, key: ops.Key) -> Any:
        """t of each sample, (batch,): the quantile of Beta(alpha, alpha) at a uniform draw, from a table."""
        place: Any = ops.random_uniform((x.shape[0],), key=key, device=x.device) * STEPS
        first = ops.floor(place)
        table = tensor(_quantiles(self.alpha), device=x.device)
        below, above = (ops.gather(table, ops.cast(first + step, "int32")) for step in (0, 1))
        return below + (place - first) * (above - below)


def _mixed(values: Tensor, share: Tensor) -> Tensor:
    """share v + (1 - share) v', v' the values in opposite order."""
    shares: Any = ops.reshape(share, (-1, *(1 for _ in values.shape[1:])))
    one: Any = ops.cast(values, share.dtype)
    mixed: Tensor = shares * one + (1 - shares) * one[::-1]
    return mixed


def _quantiles(alpha: float) -> NDArray[np.float32]:
    """The distribution function's inverse of Beta(alpha, alpha) at 0, 1 / STEPS, ..., 1.

    Below 1/2 by the power series of the incomplete beta function (Abramowitz and Stegun, 26.5.4 and 6.6.8), whose terms
    fall by half; above by symmetry.
    """
    x = 0.5 * np.linspace(0, 1, 4097) ** max(1.0, 1 / alpha)
    term, total = np.ones_like(x), np.zeros_like(x)
    for n in range(64):
        total += term / (alpha + n)
        term *= x * (n + 1 - alpha) / (n + 1)
    below = x**alpha * total
    half = np.interp(np.linspace(0, 1, STEPS // 2 + 1), below / below[-1], x)
    return np.concatenate([half, 1 - half[-2::-1]]).astype(np.float32)


def _said(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
