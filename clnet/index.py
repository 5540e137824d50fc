"""Where in an array an element lies: index arithmetic that is simplified before it becomes OpenCL C.

An index is a tuple of expressions, one an axis. Kernels loop over variables; reshapes, broadcasts and transposes only
rewrite indices, so that a fused kernel reads each element from where it lies and copies nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass


class Expr:
    """An integer that a kernel computes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Var(Expr):
    """A loop variable (or any C expression) `name`, with values 0..extent-1."""

    name: str
    extent: int


@dataclass(frozen=True, slots=True)
class Part(Expr):
    """whole / divisor % extent: one axis of a variable that runs over several merged ones."""

    whole: Var
    divisor: int
    extent: int

    @property
    def leads(self) -> bool:
        """Whether it is the first of those axes, so that nothing is left to take away."""
        return self.divisor * self.extent == self.whole.extent


@dataclass(frozen=True, slots=True)
class Flat(Expr):
    """Row-major position of several axes: parts[-1] + extents[-1] * (parts[-2] + ...)."""

    parts: tuple[Expr, ...]
    extents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shifted(Expr):
    """start + step * inner."""

    inner: Expr
    start: int
    step: int


@dataclass(frozen=True, slots=True)
class Sum(Expr):
    """a * left + b * right: where an element of a window lies, from the window's place and the one inside it."""

    left: Expr
    a: int
    right: Expr
    b: int


Index = tuple[Expr, ...]
ZERO = Var("0", 1)


def flatten(index: Sequence[Expr], extents: Sequence[int]) -> Expr:
    """The row-major position of an index; the inverse of `unflatten`."""
    merged: list[tuple[Expr, int]] = []
    for expr, extent in zip(index, extents, strict=True):
        if extent == 1:
            continue
        joined = _join(merged[-1], (expr, extent)) if merged else None
        if joined:
            merged[-1] = joined
        else:
            merged.append((expr, extent))
    if not merged:
        return ZERO
    if len(merged) == 1:
        return merged[0][0]
    return Flat(tuple(expr for expr, _ in merged), tuple(extent for _, extent in merged))


def _join(left: tuple[Expr, int], right: tuple[Expr, int]) -> tuple[Expr, int] | None:
    """Two neighbouring parts of one variable as one part, or the variable itself; the array may be wider than those."""
    (a, above), (b, wide) = left, right
    if not (isinstance(a, Part) and isinstance(b, Part) and a.whole == b.whole and a.divisor == b.divisor * b.extent):
        return None
    if b.extent != wide:
        return None
    extent = a.extent * b.extent
    return (a.whole if extent == a.whole.extent else Part(a.whole, b.divisor, extent)), above * wide


def unflatten(position: Expr, extents: Sequence[int]) -> Index:
    """The index of a row-major position in an array of this shape."""
    real = [extent for extent in extents if extent != 1]
    if len(real) <= 1:
        found: Iterable[Expr] = [position] * len(real)
    elif isinstance(position, Flat) and len(list(_blocks(position.extents, real))) > 1:
        found = reshape(position.parts, position.extents, real)
    else:
        found = _split(position, real)
    remaining = iter(found)
    return tuple(ZERO if extent == 1 else next(remaining) for extent in extents)


def _blocks(shape: Sequence[int], into: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """The shortest runs of axes of two shapes of one array that have equal products."""
    taken, start = 0, 0
    for stop in range(1, len(into) + 1):
        goal, product, end = math.prod(into[start:stop]), 1, taken
        while product < goal and end < len(shape):
            product *= shape[end]
            end += 1
        if product == goal:
            yield slice(taken, end), slice(start, stop)
            taken, start = end, stop


def _split(position: Expr, extents: Sequence[int]) -> list[Expr]:
    whole, outer = (position.whole, position.divisor) if isinstance(position, Part) else (position, 1)
    total = math.prod(extents)
    if not isinstance(whole, Var):
        whole = Var(code(whole, str), total)
    divisors = [outer * math.prod(extents[axis + 1 :]) for axis in range(len(extents))]
    return [Part(whole, divisor, extent) for divisor, extent in zip(divisors, extents, strict=True)]


def reshape(index: Index, shape: Sequence[int], into: Sequence[int]) -> Index:
    """The index in an array of shape `into` of the element that lies at `index` in its reshaped form `shape`.

    Axes are matched in blocks of equal products, so that a reshape that only adds, drops or merges some axes leaves
    the others as they are.
    """
    if 0 in into:
        return (ZERO,) * len(into)  # of no element
    blocks = _blocks(shape, into)
    return tuple(each for old, new in blocks for each in unflatten(flatten(index[old], shape[old]), into[new]))


def stride(expr: Expr, name: str) -> int:
    """How far apart elements lie that are neighbours along the variable `name`; 0: in one place."""
    if isinstance(expr, Flat):
        apart = [math.prod(expr.extents[axis + 1 :]) for axis in range(len(expr.parts))]
        return sum(stride(part, name) * each for part, each in zip(expr.parts, apart, strict=True))
    if isinstance(expr, Sum):
        return expr.a * stride(expr.left, name) + expr.b * stride(expr.right, name)
    if isinstance(expr, Shifted):
        return expr.step * stride(expr.inner, name)
    if isinstance(expr, Part):
        return int(expr.divisor == 1 and expr.whole.name == name)
    return int(isinstance(expr, Var) and expr.name == name)


def variables(expr: Expr) -> set[str]:
    """Names of all variables, and C expressions, that it is computed from."""
    if isinstance(expr, Flat):
        return set().union(*map(variables, expr.parts))
    if isinstance(expr, Sum):
        return variables(expr.left) | variables(expr.right)
    if isinstance(expr, Shifted):
        return variables(expr.inner)
    whole = expr.whole if isinstance(expr, Part) else expr
    return {whole.name} if isinstance(whole, Var) and whole != ZERO else set()


def is_split(expr: Expr) -> bool:
    """Whether computing it takes a division."""
    if isinstance(expr, Flat):
        return any(is_split(part) for part in expr.parts)
    if isinstance(expr, Shifted):
        return is_split(expr.inner)
    if isinstance(expr, Sum):
        return is_split(expr.left) or is_split(expr.right)
    return isinstance(expr, Part) or (isinstance(expr, Var) and "/" in expr.name)


def code(expr: Expr, size: Callable[[int], str], part: Callable[[Part], str] | None = None) -> str:
    """The expression in OpenCL C; `size` names the extents, so that one kernel can serve many shapes, and `part` what
    takes a division."""
    if isinstance(expr, Var):
        return expr.name
    if isinstance(expr, Shifted):
        inner = code(expr.inner, size, part)
        scaled = inner if expr.step == 1 else f"{size(expr.step)} * {inner}"
        return f"({size(expr.start)} + {scaled})" if expr.start else f"({scaled})"
    if isinstance(expr, Sum):
        terms = [(code(expr.left, size, part), expr.a), (code(expr.right, size, part), expr.b)]
        return f"({' + '.join(text if factor == 1 else f'{size(factor)} * {text}' for text, factor in terms)})"
    if isinstance(expr, Part):
        return part(expr) if part else divided(expr, expr.whole.name, size)
    assert isinstance(expr, Flat)
    text = code(expr.parts[0], size, part)
    for each, extent in zip(expr.parts[1:], expr.extents[1:], strict=True):
        text = f"({text} * {size(extent)} + {code(each, size, part)})"
    return text


def divided(part: Part, whole: str, size: Callable[[int], str]) -> str:
    """The part of a whole in OpenCL C."""
    quotient = whole if part.divisor == 1 else f"{whole} / {size(part.divisor)}"
    return f"({quotient})" if part.leads else f"({quotient} % {size(part.extent)})"
