"""Table: a CSV file as features and a target."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from clnet.data import targets
from clnet.data.dataset import Task, representable
from clnet.data.files import CHUNK, opened
from clnet.errors import DataError

Row = tuple[int, list[str]]  # line in the file, cells


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a CSV file.

    x (n, features) float32, all finite; y int32 labels (n,) that index `classes`, or float32 (n, 1), or (n, 0) where no
    column is the target; `features` are the names of x's columns: those of the header, or their numbers from 1.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    features: tuple[str, ...]
    classes: tuple[str, ...] | None
    task: Task


def read_csv(
    path: str | Path,
    *,
    target: int | str | None = -1,
    header: bool | None = None,
    task: Task | None = None,
    delimiter: str | None = None,
) -> Table:
    """The table in a CSV file (UTF-8, plain or gzip): numbers, and a target column of numbers or of class names.

    target: the column to predict, by position or by the header's name; None if there is none (to predict from).
    header: whether the first row names the columns; by default it does if the target is a name, or if none of its
        features is a number.
    task: by default text is classes, so are at most 100 different whole numbers that repeat; other numbers are values.
    delimiter: by default that of `,` `;` and tab which the first line has most of.
    DataError with line and column for a missing value, a ragged row, a cell that is not a finite number.
    """
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            return _table(_rows(text, delimiter), target, header, task)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text: {error.reason}") from error
        except csv.Error as error:
            raise DataError(f"{path}: not CSV: {error}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _rows(text: TextIO, delimiter: str | None) -> Iterator[Row]:
    """Every row that is not blank, with the number of its last line."""
    if delimiter is None:
        first = text.read(CHUNK).lstrip().partition("\n")[0]
        text.seek(0)
        delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    return ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())


def _table(rows: Iterator[Row], target: int | str | None, header: bool | None, task: Task | None) -> Table:
    first = next(rows, None)
    if first is None:
        raise DataError("empty, wants rows of numbers")
    names = [cell.strip() for cell in first[1]]
    column = _column(names, target)
    if header is None or isinstance(target, str):
        header = isinstance(target, str) or not any(_is_number(name) for i, name in enumerate(names) if i != column)
    if not header:
        names, rows = [str(i + 1) for i in range(len(names))], chain([first], rows)
    x, labels, lines = _cells(rows, names, column)
    features = tuple(name for i, name in enumerate(names) if i != column)
    if column is None:
        return Table(x, np.empty((len(x), 0), np.float32), features, None, "regression")
    values = _target(labels, lines, _called(names, column), task)
    task = task or ("classification" if values.dtype.kind == "U" else targets.of_numbers(values))
    y, classes = targets.encode(values, task)
    return Table(x, y, features, classes, task)


def _column(names: list[str], target: int | str | None) -> int | None:
    """Position of the target among the columns."""
    if target is None:
        return None
    if isinstance(target, str):
        if names.count(target) != 1:
            raise DataError(f"target {target!r} is {names.count(target)} times in the header {', '.join(names)}")
        return names.index(target)
    if not -len(names) <= target < len(names):
        raise DataError(f"target {target}, the first row has {len(names)} columns")
    return target % len(names)


def _cells(
    rows: Iterator[Row], names: list[str], column: int | None
) -> tuple[NDArray[np.float32], list[str], array[int]]:
    """Features (n, features), the target's cells and the line of each row."""
    values, labels, lines = array("f"), [], array("q")
    for line, row in rows:
        if len(row) != len(names):
            raise DataError(f"line {line}: {len(row)} cells, the first row has {len(names)}")
        if column is not None:
            labels.append(row.pop(column).strip())
        try:
            values.extend(map(float, row))
        except ValueError:
            i = next(i for i, cell in enumerate(row) if not _is_number(cell))
            raise _bad(line, _called(names, i, column), row[i].strip()) from None
        lines.append(line)
    if not values:
        raise DataError(f"{len(lines)} rows and {len(names)} columns besides the header: no features to learn from")
    x = np.frombuffer(values, np.float32).reshape(len(lines), -1)
    for sample, i in np.argwhere(~np.isfinite(x))[:1]:
        raise _bad(lines[sample], _called(names, i, column), str(x[sample, i]))
    return x, labels, lines


def _target(cells: list[str], lines: array[int], called: str, task: Task | None) -> NDArray[Any]:
    """The target's cells as float64 numbers, or as text where they name classes."""
    numbers = np.array([_is_number(cell) for cell in cells])
    as_text = task == "classification" or (task is None and 2 * np.count_nonzero(numbers) < len(cells))
    refused = np.array([not cell for cell in cells]) if as_text else ~numbers
    for sample in np.flatnonzero(refused)[:1]:
        raise _bad(lines[sample], called, cells[sample])
    if not numbers.all():
        return np.array(cells)
    values = np.array(cells, np.float64)
    for sample in np.flatnonzero(~representable(values))[:1]:
        raise _bad(lines[sample], called, cells[sample])
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _called(names: list[str], i: int, target: int | None = None) -> str:
    """What a message calls a column: its place and its name; the features' i skips the target."""
    i += target is not None and i >= target
    return f"column {i + 1}" if names[i] == str(i + 1) else f"column {i + 1} ({names[i]})"


def _bad(line: int, called: str, cell: str) -> DataError:
    what = f"{cell!r} is not a finite number" if cell else "the value is missing"
    return DataError(f"line {line}, {called}: {what}")
