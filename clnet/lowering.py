"""Lowering: what an op with kernels of its own is told, and the launches that it answers with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from clnet.device import Device
from clnet.kernels import Launch

WORKSPACE = "clnet: workspace"  # the slot of the scratch buffer that a Lowering asks for


@dataclass(frozen=True)
class Target:
    """How kernels run: as lanes of a GPU (`gpu`) or one work-item a work-group, shared by `units` cores.

    `gemm`: the form of a matrix product that a user has named, or "auto".
    """

    device: Device
    gpu: bool
    units: int
    gemm: str = "auto"

    @property
    def items(self) -> int:
        """Work-items that a launch is spread over: a few for each core, so that none waits long for the last."""
        return 1 if self.units == 1 else 4 * self.units

    def blocks(self, extent: int, *, grain: int = 1, items: int = 0) -> tuple[int, int]:
        """(work-items, elements of each) that cover `extent` in multiples of `grain`."""
        block = -(-extent // max(1, items or self.items))
        block = -(-max(1, block) // grain) * grain
        return -(-extent // block), block


class Ahead(NamedTuple):
    """What a routine fetches meanwhile for the next run: so many rows of so many bytes."""

    rows: int
    nbytes: int


@dataclass(frozen=True)
class Epilogue:
    """What becomes of each finished element of a result, in OpenCL C.

    `source` defines `static inline void epilogue(T value, size_t batch, int row, int column, <parameters>)`, which does
    all the writing. Parameters are called a letter and a number; `names` passes them on, `arguments` are their slots
    and scalars in that order. Where a parameter is a number that lies in memory, as a learning rate does, a kernel has
    its address (`declared`), and loads it once (`loaded`): in a masked loop compilers gather it, 16 times.

    `plain`: it only stores the value at its place in the result, slot `arguments[0]`. `fetches`: statements that fetch
    into the cache what it will read of other arrays at `batch`, `row` and `column`. `ahead`: rows of which `source`
    defines `__global const char *row_ahead(int row, <parameters>)`, the address.
    """

    source: str
    parameters: str
    names: str
    arguments: tuple[Hashable, ...]
    plain: bool = False
    fetches: str = ""
    declared: str = ""
    loaded: str = ""
    ahead: Ahead | None = None

    @property
    def macros(self) -> dict[str, str]:
        """What kernels declare (ARGUMENTS) and pass to functions (VALUES), and what these do (PARAMETERS, NAMES)."""
        return {
            "EPILOGUE_ARGUMENTS": self.declared or self.parameters,
            "EPILOGUE_VALUES": self.loaded or self.names,
            "EPILOGUE_PARAMETERS": self.parameters,
            "EPILOGUE_NAMES": self.names,
            "EPILOGUE_FETCHES": self.fetches,
        }


@dataclass(frozen=True)
class Lowering:
    """Launches that compute a result, in order; `workspace`: bytes of the scratch buffer in slot WORKSPACE, or 0."""

    launches: tuple[Launch, ...]
    workspace: int = 0
