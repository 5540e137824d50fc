"""The exception tree: one root, and each kin to the builtin that a caller would expect."""

import inspect

import pytest

from clnet import errors

TREE = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


@pytest.mark.parametrize("error", TREE)
def test_all_have_one_root_and_a_promise(error):
    assert issubclass(error, errors.ClnetError)
    assert error.__doc__


@pytest.mark.parametrize("error", TREE)
def test_the_docstring_draws_the_tree(error):
    assert error.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.DeviceError, RuntimeError),
        (errors.DeviceMemoryError, MemoryError),
        (errors.ShapeError, ValueError),
        (errors.DTypeError, TypeError),
        (errors.TraceError, RuntimeError),
        (errors.DivergenceError, ArithmeticError),
        (errors.CheckpointError, ValueError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_builtin_kin(error, builtin):
    assert issubclass(error, builtin)


def test_facts_travel_with_the_error():
    memory = errors.DeviceMemoryError("no", wanted=7, available=3)
    assert (memory.wanted, memory.available) == (7, 3)
    divergence = errors.DivergenceError("NaN", step=12, epoch=2)
    assert (divergence.step, divergence.epoch) == (12, 2)
    assert str(errors.BuildError("kernel 'f' does not compile", log="line 3")) == "kernel 'f' does not compile\nline 3"


def test_a_missing_extra_says_what_to_install():
    assert 'pip install "clnet[plot]"' in str(errors.MissingExtraError("A learning curve", "plot"))
