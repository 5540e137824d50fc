"""What several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

import clnet
from clnet.errors import NoDeviceError

F = TypeVar("F", bound=Callable[..., Any])


class Interrupted(click.ClickException):
    """Ctrl-C, with something to say."""

    exit_code = 130


def found(context: click.Context, parameter: click.Parameter, value: str | None) -> clnet.Device | None:
    """The device of that name; a name that none has is a bad argument, a machine without any is not."""
    if value is None or not clnet.devices():
        return None
    try:
        return clnet.device(value)
    except NoDeviceError as error:
        raise click.BadParameter(str(error).splitlines()[0]) from error


def device(command: F) -> F:
    return click.option(
        "--device",
        callback=found,
        metavar="DEVICE",
        help="cpu, gpu, an index, or part of a name, as `clnet devices` shows them.  [default: the best one]",
    )(command)


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")(command)


def echo_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))


def label(device: clnet.Device) -> str:
    """A device in one line, with what tells it from another run's: its driver's version."""
    return f"{device.name} ({device.platform} {device.facts.driver})"
