"""The command line: devices, train, predict, bench.

Bad arguments end it with status 2, what clnet refuses with 1, Ctrl-C with 130, each with a message and no traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from clnet import __version__
from clnet.cli import bench, devices, predict, train
from clnet.errors import ClnetError

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(invoke_without_command=True, context_settings=SETTINGS)
@click.version_option(__version__, message="clnet %(version)s")
@click.pass_context
def clnet(context: click.Context) -> None:
    """Deep learning on any OpenCL device.

    \b
    clnet devices                     what there is to run on
    clnet train digits                97 % of held-out pictures, in seconds
    clnet train mnist --hidden 100 --save net.safetensors
    clnet predict net.safetensors pictures.npz
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (devices.command, train.command, predict.command, bench.command):
    clnet.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Exit status of the command line with these arguments (sys.argv's)."""
    try:
        return int(clnet.main(arguments, prog_name="clnet", standalone_mode=False) or 0)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "clnet"
        return _fail(f"{where}: {_line(error.format_message())} (see {where} --help)", 2)
    except click.ClickException as error:
        return _fail(f"clnet: {_line(error.format_message())}", error.exit_code)
    except ClnetError as error:
        return _fail(f"clnet: {error}", 1)
    except OSError as error:
        return _silenced() if isinstance(error, BrokenPipeError) else _fail(f"clnet: {error}", 1)
    except click.Abort:  # what click makes of Ctrl-C
        return _fail("clnet: interrupted", 130)


def _line(message: str) -> str:
    return " ".join(message.split())


def _fail(message: str, status: int) -> int:
    click.echo(message, err=True)
    return status


def _silenced() -> int:
    """The reader of our output has gone (`clnet ... | head`): nothing to say, and nobody to say it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
