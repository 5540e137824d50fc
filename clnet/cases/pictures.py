"""Convolutions, pools and upsampling, of pictures and sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnet import ops
from clnet.cases.case import Array, Case, Shapes


def _windows(x: Array, size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Array:
    """(n, rows, columns, kh, kw, c), by taking every tap's pixels."""
    (kh, kw), (sh, sw), (dh, dw) = size, strides, dilation
    rows, columns = (x.shape[1] - (kh - 1) * dh - 1) // sh + 1, (x.shape[2] - (kw - 1) * dw - 1) // sw + 1
    taps = [[x[:, i * dh :: sh, j * dw :: sw][:, :rows, :columns] for j in range(kw)] for i in range(kh)]
    return np.stack([np.stack(line, 3) for line in taps], 3)


def _convolution(
    x: Array, w: Array, strides: int = 1, pads: tuple[Any, Any] = ((0, 0), (0, 0)), dilation: int = 1, groups: int = 1
) -> Array:
    taken = _windows(np.pad(x, [(0, 0), *pads, (0, 0)]), w.shape[:2], (strides,) * 2, (dilation,) * 2)
    parts = zip(np.split(taken, groups, -1), np.split(w, groups, -1), strict=True)
    return np.concatenate([np.tensordot(a, b, ((3, 4, 5), (0, 1, 2))) for a, b in parts], -1)


def _transposed(
    x: Array, w: Array, strides: int, taken_off: tuple[int, int], more: int = 0, dilation: int = 1
) -> Array:
    """By adding each pixel's kernel to the result; rows and columns alike."""
    n, height, width, _ = x.shape
    reach = (w.shape[0] - 1) * dilation + 1
    full = np.zeros((n, (height - 1) * strides + reach + more, (width - 1) * strides + reach + more, w.shape[-1]))
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            rows, columns = i * dilation + strides * np.arange(height), j * dilation + strides * np.arange(width)
            full[:, rows[:, None], columns] += x @ w[i, j]
    before, after = taken_off
    return full[:, before : full.shape[1] - after, before : full.shape[2] - after]


def _pool(reduce: Callable[[Array], Any], size: int, strides: int, pads: tuple[int, int], fill: float) -> Any:
    def reference(x: Array) -> Array:
        padded = np.pad(x, [(0, 0), pads, pads, (0, 0)], constant_values=fill)
        result: Array = reduce(_windows(padded, (size, size), (strides, strides)))
        return result

    return reference


def _bilinear(x: Array) -> Array:
    for axis in (1, 2):
        extent = x.shape[axis]
        place = np.clip((np.arange(2 * extent) + 0.5) / 2 - 0.5, 0, extent - 1)
        low = np.floor(place).astype(int)
        part = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - part) + np.take(x, np.minimum(low + 1, extent - 1), axis) * part
    return x


def rows() -> list[Case]:
    return [*_convolutions(), *_pools()]


def _convolutions() -> list[Case]:
    def length(x: tuple[int, ...], w: tuple[int, ...], *_: Any) -> int:
        return max(int(np.prod(w[:-1])), x[0] * x[1] * x[2])

    same = ((1, 1), (1, 1))
    plain: list[Shapes] = [
        ((2, 5, 6, 3), (3, 3, 3, 4)),
        ((5, 5, 6, 3), (3, 3, 3, 20)),  # so narrow that a tile has rows of three pictures
        ((1, 1, 1, 1), (1, 1, 1, 1)),
        ((3, 9, 19, 5), (2, 3, 5, 37)),
        ((2, 7, 8, 17), (5, 1, 17, 20)),
        ((1, 33, 9, 1), (3, 5, 1, 16)),
        ((0, 4, 4, 2), (3, 3, 2, 3)),
    ]
    few: list[Shapes] = [((2, 7, 8, 4), (3, 3, 4, 6)), ((1, 9, 12, 2), (3, 3, 2, 33))]
    upward: list[Shapes] = [((2, 3, 4, 3), (3, 3, 3, 5)), ((1, 5, 2, 17), (3, 3, 17, 20)), ((3, 2, 2, 3), (3, 3, 3, 5))]
    found = [
        Case("convolution", ops.convolution, _convolution, plain, length=length),
        Case(
            "convolution_relu",  # bias and activation in the epilogue, padding in memory
            lambda x, w, b: ops.relu(ops.convolution(x, w, padding=1) + b),
            lambda x, w, b: np.maximum(_convolution(x, w, 1, same) + b, 0),
            [
                ((2, 5, 6, 3), (3, 3, 3, 4), (4,)),
                ((5, 4, 3, 5), (3, 3, 5, 35), (35,)),
                ((2, 9, 18, 17), (3, 3, 17, 35), (35,)),
                ((1, 3, 40, 80), (3, 3, 80, 17), (17,)),
            ],
            length=length,
        ),
        Case(
            "convolution_1d",
            lambda x, w: ops.convolution(x, w, strides=2, padding="same"),
            lambda x, w: np.concatenate([_convolution(x[:, None], w[None], pads=((0, 0), (1, 1)))[:, 0, 1::2]], 1),
            [((2, 8, 3), (3, 3, 4)), ((3, 20, 17), (3, 17, 18))],
            length=lambda x, w: x[0] * x[1] * w[1],
        ),
    ]
    strided: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
        ("strided", {"strides": 2, "padding": "same"}, (2, ((1, 1), (0, 1)))),
        ("dilated", {"dilation": 2, "padding": ((2, 1), (0, 2))}, (1, ((2, 1), (0, 2)), 2)),
        ("both", {"strides": 3, "dilation": 2, "padding": (2, 1)}, (3, ((2, 2), (1, 1)), 2)),
    ]
    for name, more, reference in strided:
        found.append(
            Case(
                f"convolution_{name}",
                lambda x, w, more=more: ops.convolution(x, w, **more),
                lambda x, w, reference=reference: _convolution(x, w, *reference),
                few,
                length=length,
            )
        )
    for name, shape in [("grouped", (3, 3, 2, 6)), ("depthwise", (3, 3, 1, 8))]:
        groups = 4 // shape[2]
        found.append(
            Case(
                f"convolution_{name}",
                lambda x, w, groups=groups: ops.convolution(x, w, groups=groups, strides=2, padding=1),
                lambda x, w, groups=groups: _convolution(x, w, 2, same, 1, groups),
                [((2, 7, 8, 4), shape)],
                length=length,
            )
        )
    transposed: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
        ("same", {"strides": 2, "padding": "same"}, (2, (0, 1))),
        ("padded", {"strides": 2, "padding": 1, "output_padding": 1}, (2, (1, 1), 1)),
        ("apart", {"strides": 4}, (4, (0, 0), 1)),
        ("cut", {"strides": 3, "padding": 3, "dilation": 1}, (3, (3, 3))),
        ("dilated", {"dilation": 2, "padding": 1}, (1, (1, 1), 0, 2)),
    ]
    for name, more, reference in transposed:
        found.append(
            Case(
                f"transposed_convolution_{name}",
                lambda x, w, more=more: ops.transposed_convolution(x, w, **more),
                lambda x, w, reference=reference: _transposed(x, w, *reference),
                upward if name != "cut" else [((2, 3, 4, 3), (3, 3, 3, 5))],
                length=length,
            )
        )
    return found


def _pools() -> list[Case]:
    pictures: list[Shapes] = [((2, 6, 7, 3),), ((1, 4, 4, 1),), ((2, 9, 8, 20),)]

    def largest(taken: Array) -> Any:
        return np.max(taken, (3, 4))

    def mean(taken: Array) -> Any:
        return np.nanmean(taken, (3, 4))

    def root(taken: Array) -> Any:
        return np.sqrt(np.sum(taken**2, (3, 4)))

    pools: list[tuple[Any, Callable[[Array], Any], float]] = [
        (ops.max_pool, largest, -np.inf),
        (ops.average_pool, mean, np.nan),
        (ops.l2_pool, root, 0.0),
    ]
    found = [
        Case(
            "windows",
            lambda x: ops.windows(x, (2, 3), strides=(2, 1), dilation=(2, 1)),
            lambda x: _windows(x, (2, 3), (2, 1), (2, 1)),
            pictures,
        ),
        Case("upsample", lambda x: ops.upsample(x, (2, 3)), lambda x: x.repeat(2, 1).repeat(3, 2), pictures),
        Case(
            "upsample_bilinear",
            lambda x: ops.upsample(x, 2, interpolation="bilinear"),
            _bilinear,
            pictures,
            length=lambda x: x[1],
        ),
    ]
    for op, reduce, fill in pools:
        for name, arguments, reference in (
            ("", {}, (2, 2, (0, 0))),
            ("_padded", {"strides": 2, "padding": 1}, (3, 2, (1, 1))),
        ):
            found.append(
                Case(
                    op.__name__ + name,
                    lambda x, op=op, size=reference[0], arguments=arguments: op(x, size, **arguments),
                    _pool(reduce, *reference, fill),
                    pictures,
                    length=lambda x: 9,
                )
            )
    return found
