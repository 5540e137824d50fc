"""Augmentation: pictures changed at random while a network trains, so that it sees more of them than there are.

    nn.Sequential(nn.RandomFlip(), nn.RandomCrop(32, 32, padding=4), nn.Conv2D(32, 3), ...)

Each sample of each step has a draw of its own, the same on every device. Outside training a picture stays as it is.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np

from clnet import ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.chance import Chance
from clnet.tensor import Tensor, tensor

Flip = Literal["horizontal", "vertical", "horizontal_and_vertical"]


class Augmentation(Chance):
    """In training y = change(x), y = rest(x) otherwise; x is (batch, height, width, channels) or without channels."""

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(
                f"{self.name}: got shape {x.shape}, wants (batch, height, width) or (batch, height, width, channels)"
            )
        pictures = x if x.ndim == 4 else ops.expand_dims(x, 3)
        y = self.change(pictures, self.draw()) if training else self.rest(pictures)
        return y if x.ndim == 4 else ops.squeeze(y, 3)

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        """x (batch, height, width, channels) as training sees it."""
        raise NotImplementedError

    def rest(self, x: Tensor) -> Tensor:
        """x as everything else sees it."""
        return x


class RandomTranslation(Augmentation):
    """y[i, j] = x[i - a, j - b], 0 where that is outside; a of -height..height and b of -width..width are drawn.

    In whole pixels, and up and down as far as to the sides unless `width` is given.
    """

    def __init__(self, height: int, width: int | None = None) -> None:
        if height < 0 or (width is not None and width < 0):
            raise ArgumentError(f"RandomTranslation: height={height}, width={width}; wants pixels, 0 or more")
        self.height = height
        self.width = width

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        most = self.height, self.height if self.width is None else self.width
        down, right = (
            drawn - far for drawn, far in zip(_integers(x, key, [2 * m + 1 for m in most]), most, strict=True)
        )
        rows, columns = _grid(x)
        return ops.sample(x, rows - down, columns - right)

    def __repr__(self) -> str:
        return f"RandomTranslation({self.height}, {self.width})"


class RandomFlip(Augmentation):
    """y is x or its mirror image, with even chances: left and right changed, up and down, or either."""

    def __init__(self, mode: Flip = "horizontal") -> None:
        if mode not in get_args(Flip):
            raise ArgumentError(f"RandomFlip: mode is {mode!r}, wants one of {', '.join(get_args(Flip))}")
        self.mode = mode

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        coins = _integers(x, key, (2, 2))
        chosen = "vertical" in self.mode, "horizontal" in self.mode
        places = [
            ops.where(ops.equal(coin, 1), place.size - 1 - place, place) if is_chosen else place
            for place, coin, is_chosen in zip(_grid(x), coins, chosen, strict=True)
        ]
        return ops.sample(x, *places)

    def __repr__(self) -> str:
        return f"RandomFlip({self.mode!r})"


class RandomCrop(Augmentation):
    """y (batch, height, width, channels) is a random window of x with `padding` zeros around it, else the middle one.

    height, width: of the window. RandomCrop(32, 32, padding=4) is what CIFAR's 32 x 32 pictures get (He et al. 2016).
    """

    def __init__(self, height: int, width: int, *, padding: int = 0) -> None:
        if height < 1 or width < 1 or padding < 0:
            raise ArgumentError(f"RandomCrop: height={height}, width={width}, padding={padding}; wants 1, 1, 0 or more")
        self.height = height
        self.width = width
        self.padding = padding

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        spare = self._spare(x)
        top, left = _integers(x, key, [each + 1 for each in spare])
        rows, columns = _grid(x, (self.height, self.width))
        return ops.sample(x, rows + (top - self.padding), columns + (left - self.padding))

    def rest(self, x: Tensor) -> Tensor:
        first = [each // 2 for each in self._spare(x)]
        padded = ops.pad(x, [(0, 0), (self.padding,) * 2, (self.padding,) * 2, (0, 0)]) if self.padding else x
        return ops.slice(padded, (0, *first, 0), (x.shape[0], self.height, self.width, x.shape[3]))

    def _spare(self, x: Tensor) -> tuple[int, int]:
        """The places, less one, that a window has along height and width."""
        spare = tuple(e + 2 * self.padding - w for e, w in zip(x.shape[1:3], (self.height, self.width), strict=True))
        if min(spare) < 0:
            raise ShapeError(
                f"RandomCrop: pictures are {x.shape[1]} x {x.shape[2]} and have {self.padding} zeros around, wants "
                f"{self.height} x {self.width} or more"
            )
        return spare[0], spare[1]

    def __repr__(self) -> str:
        return f"RandomCrop({self.height}, {self.width}, padding={self.padding})"


class RandomRotation(Augmentation):
    """y is x turned about its middle by an angle of -degrees..degrees, bilinear, 0 where x does not reach."""

    def __init__(self, degrees: float) -> None:
        if not degrees >= 0:
            raise ArgumentError(f"RandomRotation: degrees is {degrees}, wants 0 or more")
        self.degrees = degrees

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        (drawn,) = _uniform(x, key, 1)
        angle = (drawn * 2 - 1) * math.radians(self.degrees)
        sine, cosine = ops.sin(angle), ops.cos(angle)
        middles = [(extent - 1) / 2 for extent in x.shape[1:3]]
        down, right = (place - middle for place, middle in zip(_grid(x), middles, strict=True))
        rows = cosine * down + sine * right + middles[0]
        return ops.sample(x, rows, cosine * right - sine * down + middles[1])

    def __repr__(self) -> str:
        return f"RandomRotation({self.degrees})"


class RandomElasticTransform(Augmentation):
    """y[p] = x[p + alpha d(p)], bilinear: d is noise of -1..1 for each pixel and axis under a Gaussian of width sigma.

    alpha, sigma: in pixels; 34 and 4 bend handwriting as hands do (Simard, Steinkraus and Platt 2003).
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0) -> None:
        if not (alpha >= 0 and sigma > 0):
            raise ArgumentError(f"RandomElasticTransform: alpha={alpha}, sigma={sigma}; wants 0 or more, more than 0")
        self.alpha = alpha
        self.sigma = sigma

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        batch, height, width, _ = x.shape
        noise: Any = ops.random_uniform((batch, 2, height, width), key=key, device=x.device)
        across = ops.matmul(noise * 2 - 1, _gaussian(x, width, self.sigma))
        bent = ops.matmul(_gaussian(x, height, self.sigma), across) * self.alpha
        down, right = (ops.squeeze(each, 1) for each in ops.split(bent, 2, axis=1))
        rows, columns = _grid(x)
        return ops.sample(x, rows + down, columns + right)

    def __repr__(self) -> str:
        return f"RandomElasticTransform({self.alpha}, {self.sigma})"


class RandomErasing(Augmentation):
    """y is x with a window of height x width zeros around a pixel that is drawn: "cutout" (DeVries and Taylor 2017).

    The window is square unless `width` is given; what of it lies outside the picture erases nothing.
    """

    def __init__(self, height: int, width: int | None = None) -> None:
        if height < 1 or (width is not None and width < 1):
            raise ArgumentError(f"RandomErasing: height={height}, width={width}; wants pixels, 1 or more")
        self.height = height
        self.width = width

    def change(self, x: Tensor, key: ops.Key) -> Tensor:
        sizes = self.height, self.height if self.width is None else self.width
        middles = _integers(x, key, x.shape[1:3])
        past = [place - (middle - size // 2) for place, middle, size in zip(_grid(x), middles, sizes, strict=True)]
        rows, columns = ((each >= 0) & (each < size) for each, size in zip(past, sizes, strict=True))
        return ops.where(ops.expand_dims(rows & columns, 3), 0, x)

    def __repr__(self) -> str:
        return f"RandomErasing({self.height}, {self.width})"


def _gaussian(x: Tensor, extent: int, sigma: float) -> Tensor:
    """The matrix that convolves `extent` numbers with a Gaussian of sum 1, cut off at 4 sigma; zeros around them."""
    far = int(4 * sigma + 0.5)
    total = float(np.exp(-0.5 * np.square(np.arange(-far, far + 1) / sigma)).sum())
    away = np.abs(np.subtract.outer(np.arange(extent), np.arange(extent)))
    weights = np.where(away <= far, np.exp(-0.5 * np.square(away / sigma)) / total, 0)
    return tensor(weights.astype(np.float32), device=x.device)


def _along(x: Tensor, extent: int, axis: int) -> Tensor:
    """0, 1, ... along one of the axes (batch, height, width)."""
    return ops.reshape(ops.arange(extent, device=x.device), [extent if place == axis else 1 for place in range(3)])


def _grid(x: Tensor, shape: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """The rows (1, height, 1) and the columns (1, 1, width) of a picture, x's unless its shape is given."""
    height, width = shape or (x.shape[1], x.shape[2])
    return _along(x, height, 1), _along(x, width, 2)


def _uniform(x: Tensor, key: ops.Key, count: int) -> list[Any]:
    """`count` numbers in [0, 1) for each sample, (batch, 1, 1) each."""
    drawn = ops.random_uniform((x.shape[0], count), key=key, device=x.device)
    return [ops.reshape(each, (-1, 1, 1)) for each in ops.split(drawn, count, axis=1)]


def _integers(x: Tensor, key: ops.Key, ends: Any) -> list[Any]:
    """For each sample a number of 0..end-1 for each end, int32 (batch, 1, 1)."""
    return [ops.cast(drawn * end, "int32") for drawn, end in zip(_uniform(x, key, len(ends)), ends, strict=True)]
