"""clnet devices: what there is to run on."""

from __future__ import annotations

from dataclasses import asdict

import click

import clnet
from clnet.cli import options

HEADER = ("", "name", "kind", "platform", "driver", "units", "memory", "float16", "float64")


@click.command("devices", short_help="List the OpenCL devices.")
@options.as_json
def command(as_json: bool) -> None:
    """List the OpenCL devices, the best first: its number, or part of its name, is what --device takes."""
    clnet.device()  # says how to get one where there is none
    found = clnet.devices()
    if as_json:
        options.echo_json({"devices": [record(device) for device in found]})
    else:
        click.echo(table([HEADER, *(row(number, device) for number, device in enumerate(found))]))


def record(device: clnet.Device) -> dict[str, object]:
    return {"name": device.name, "kind": device.kind, "platform": device.platform} | asdict(device.facts)


def row(number: int, device: clnet.Device) -> tuple[str, ...]:
    facts = device.facts
    return (
        str(number),
        device.name,
        device.kind,
        device.platform,
        facts.driver,
        str(facts.units),
        f"{facts.memory / 2**30:.1f} GiB",
        "yes" if facts.float16 else "no",
        "yes" if facts.float64 else "no",
    )


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows)
