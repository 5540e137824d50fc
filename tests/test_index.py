"""Index arithmetic: what it says, computed with Python's integers, is what NumPy does."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clnet.index import Expr, Flat, Index, Part, Var, code, flatten, is_split, reshape, unflatten

SHAPES = st.lists(st.integers(1, 6), min_size=0, max_size=5)


def evaluate(expr: Expr, values: dict[str, int]) -> int:
    """The C expression as Python."""
    return int(eval(code(expr, str).replace("/", "//"), {}, values))


def loops(shape: list[int]) -> Index:
    return tuple(Var(f"i{axis}", extent) for axis, extent in enumerate(shape))


@given(SHAPES, st.data())
def test_flatten_is_row_major(shape: list[int], data: st.DataObject) -> None:
    at = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    values = {f"i{axis}": place for axis, place in enumerate(at)}
    wanted = int(np.ravel_multi_index(at, shape)) if shape else 0
    assert evaluate(flatten(loops(shape), shape), values) == wanted


@given(SHAPES, st.data())
def test_unflatten_is_the_inverse(shape: list[int], data: st.DataObject) -> None:
    total = math.prod(shape)
    place = data.draw(st.integers(0, total - 1))
    index = unflatten(Var("row", total), shape)
    assert [evaluate(expr, {"row": place}) for expr in index] == list(np.unravel_index(place, shape) if shape else [])


@given(SHAPES)
def test_flattening_what_was_unflattened_needs_no_division(shape: list[int]) -> None:
    total = math.prod(shape)
    row = Var("row", total)
    flat = flatten(unflatten(row, shape), shape)
    assert flat == (row if total > 1 else Var("0", 1))
    assert not is_split(flat)


@given(SHAPES, st.data())
def test_a_part_of_an_array_keeps_its_distances(shape: list[int], data: st.DataObject) -> None:
    """The first elements along each axis, as a slice reads them, in a loop over all of them."""
    wide = [extent + data.draw(st.integers(0, 2)) for extent in shape]
    total = math.prod(shape)
    place = data.draw(st.integers(0, total - 1))
    at = np.unravel_index(place, shape) if shape else ()
    wanted = int(np.ravel_multi_index(at, wide)) if shape else 0
    assert evaluate(flatten(unflatten(Var("row", total), shape), wide), {"row": place}) == wanted


@given(st.permutations([2, 3, 4, 1, 5]), st.data())
def test_reshape_finds_the_same_element(shape: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, 4))))
    into = [math.prod(shape[start:stop]) for start, stop in zip([0, *cuts], [*cuts, 5], strict=True)]
    at = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    values = {f"i{axis}": place for axis, place in enumerate(at)}
    index = reshape(loops(shape), shape, into)
    wanted = np.unravel_index(np.ravel_multi_index(at, shape), into)
    assert [evaluate(expr, values) for expr in index] == list(wanted)
    back = reshape(index, into, shape)
    assert [evaluate(expr, values) for expr in back] == at
    assert not any(is_split(expr) for expr in back)


def test_axes_that_a_reshape_leaves_alone_keep_their_variables() -> None:
    i, j, k = loops([2, 3, 4])
    assert reshape((i, j, k), (2, 3, 4), (2, 1, 12)) == (i, Var("0", 1), Flat((j, k), (3, 4)))
    assert reshape((i, Var("0", 1)), (2, 1), (2,)) == (i,)


def test_parts_of_one_variable_join() -> None:
    row = Var("row", 24)
    two, three, four = unflatten(row, (2, 3, 4))
    assert flatten((three, four), (3, 4)) == Part(row, 1, 12)
    assert flatten((two, three), (2, 3)) == Part(row, 4, 6)
