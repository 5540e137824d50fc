"""Recipe: an object of clnet's as JSON, and the object again: layers, initializers, optimizers, losses and metrics.

    Dense(10, activation="relu")     {"make": "nn.Dense", "with": {"units": 10, "activation": "relu", ...}}
    losses.huber                     {"name": "losses.huber"}
    partial(losses.huber, delta=2)   {"partial": "losses.huber", "with": {"delta": 2}}
    Spec((1, 784), float32)          {"spec": [[1, 784], "float32"]}
    a layer that is used again       {"again": 0}, and "as": 0 in the recipe of where it was first

It works because a constructor of clnet's keeps each argument as the attribute of that name. Only public names of
clnet's own modules are written and looked up, so a file cannot make anything else run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from clnet import losses, metrics, nn, ops, optim, schedules
from clnet.errors import CheckpointError
from clnet.graph import Spec
from clnet.nn import initializers

_MODULES: Mapping[str, ModuleType] = MappingProxyType(
    {
        "nn": nn,
        "initializers": initializers,
        "optim": optim,
        "schedules": schedules,
        "losses": losses,
        "metrics": metrics,
        "ops": ops,
    }
)


class NoRecipeError(Exception):
    """The object is of the user's own making: only their code can make it again."""


def write(value: Any) -> Any:
    """The recipe of an object; `NoRecipeError` names the part that has none."""
    return _write(value, {})


def _write(value: Any, layers: dict[int, dict[str, Any]]) -> Any:
    """`layers`: the recipes of those written so far, by id."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_write(each, layers) for each in value]
    if isinstance(value, dict):
        return {"dict": {str(key): _write(each, layers) for key, each in value.items()}}
    if isinstance(value, Spec):
        return {"spec": [list(value.shape), str(value.dtype)]}
    if isinstance(value, functools.partial) and not value.args:
        keywords = {key: _write(each, layers) for key, each in value.keywords.items()}
        return {"partial": _name(value.func), "with": keywords}
    if inspect.isfunction(value):
        return {"name": _name(value)}
    if id(value) in layers:
        number = layers[id(value)].setdefault("as", sum("as" in each for each in layers.values()))
        return {"again": number}
    made: dict[str, Any] = {"make": _name(type(value))}
    if isinstance(value, nn.Layer):
        layers[id(value)] = made
    arguments = inspect.signature(type(value)).parameters
    made["with"] = {argument: _write(getattr(value, argument), layers) for argument in arguments}
    return made


def read(recipe: Any) -> Any:
    """The object that a recipe makes; `CheckpointError` if it makes none."""
    return _read(recipe, {})


def _read(recipe: Any, layers: dict[int, Any]) -> Any:
    """`layers`: those made so far that are used again, by number."""
    if isinstance(recipe, list):
        return tuple(_read(each, layers) for each in recipe)
    if not isinstance(recipe, dict):
        return recipe
    try:
        if "dict" in recipe:
            return {key: _read(each, layers) for key, each in recipe["dict"].items()}
        if "spec" in recipe:
            shape, dtype = recipe["spec"]
            return Spec(tuple(map(int, shape)), np.dtype(dtype))
        if "name" in recipe:
            return _named(recipe["name"])
        if "again" in recipe:
            return layers[recipe["again"]]
        arguments = {key: _read(each, layers) for key, each in recipe["with"].items()}
        if "partial" in recipe:
            return functools.partial(_named(recipe["partial"]), **arguments)
        made = _make(_named(recipe["make"]), arguments)
        if "as" in recipe:
            layers[recipe["as"]] = made
        return made
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"recipe: cannot make {recipe}: {error}") from error


def _make(factory: Any, arguments: dict[str, Any]) -> Any:
    several = [p.name for p in inspect.signature(factory).parameters.values() if p.kind is p.VAR_POSITIONAL]
    positional = [each for name in several for each in arguments.pop(name)]
    return factory(*positional, **arguments)


def _name(value: Any) -> str:
    name: str = value.__name__
    for folder, module in _MODULES.items():
        if getattr(module, name, None) is value:
            return f"{folder}.{name}"
    raise NoRecipeError(f"{value.__module__}.{name} is not clnet's")


def _named(name: str) -> Any:
    folder, _, last = name.partition(".")
    value: Any = None if last.startswith("_") else getattr(_MODULES.get(folder), last, None)
    if not callable(value) or not getattr(value, "__module__", "").startswith("clnet."):
        raise CheckpointError(f"recipe: clnet has no {name!r}")
    return value
