"""The direct forms for CPUs: convolution_cpu.cl and convolution_weights_cpu.cl with tiles that suit the sizes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil

import numpy as np

from clnet.convolution.problem import Problem
from clnet.device import Device
from clnet.gemm.problem import Registers
from clnet.kernels import Launch, define, read
from clnet.lowering import WORKSPACE, Epilogue, Lowering

ROWS, VECTORS = 14, 4  # the largest tile's sides
LAID_OUT, MOST_LAID_OUT = 8192, 65536  # elements of x on the stack: those that a core's first cache holds, and at most
TOGETHER = 24 << 10  # bytes of images, or of rows of them, that a core's first cache holds: 130 -> 165-190 GFLOP/s
STEPS = 128  # of pixels, at least, before a tile goes back to memory
NEAR = 512 << 10  # bytes of weights that stay in a core's own cache beside what else it reads
HELD = 384 << 10  # bytes of a panel of weights that do; its rows lie apart, and meet in few sets
AHEAD = 16  # rows of a larger panel that are under way: 8 images of 7 x 7 x 512, 512 filters of 3 x 3, 10.3 -> 8.8 ms
ZERO = 0  # for convolution_tile.cl
FEW, PARTS = 2048, 8  # weights of too few tiles to keep cores busy: then the batch is cut in so many parts


def suits(device: Device, problem: Problem) -> bool:
    """Whether the kernels are for it: strides on one side only, rows that the stack can hold."""
    one_sided = all(1 in sides for sides in zip(problem.strides, problem.spread, strict=True))
    if not one_sided or problem.outputs[1] < problem.spread[1]:
        return False
    found = tile(_columns(problem), problem, _registers(device, problem))
    return problem.is_whole or _laid_out(problem, found.rows) <= MOST_LAID_OUT


def lower(device: Device, problem: Problem, x: Hashable, w: Hashable, epilogue: Epilogue, units: int) -> Lowering:
    """One launch: each work-group does some rows of an image of y, a panel of its channels.

    Neighbours share those rows' x, or where weights are large, a panel of them: 8 images of 7 x 7 x 512, 512 filters of
    3 x 3, 24 -> 11 ms.
    """
    registers = _registers(device, problem)
    columns = _columns(problem)
    most = problem.batch if problem.is_whole else max(1, MOST_LAID_OUT // _laid_out(problem, columns))
    found = tile(columns, problem, registers, images=min(most, problem.batch))
    images = max(1, found.rows // columns)
    panels = ceil(problem.filters / found.channels)
    sets = problem.networks * ceil(problem.batch / images)
    wanted = 1 if units == 1 else ceil(8 * units / (sets * panels))
    block = ceil(problem.outputs[0] / min(wanted, problem.outputs[0]))
    axis = 0 if problem.weights * registers.size <= NEAR else 2
    segment = _segment(problem, found.rows // images, images)
    panel = problem.weights // problem.filters * found.channels * registers.size
    ahead = AHEAD if panel > HELD else 0
    constants = {**found.parameters, "FETCH": ahead, "IMAGES": images, "SEGMENT": segment, "PANEL": axis}
    plain = epilogue.plain and problem.filters >= registers.width
    source = _source(problem, epilogue, registers, PLAIN=int(plain), **constants)
    down = ceil(problem.outputs[0] / block)
    grid = (panels, down, sets) if axis == 0 else (sets, down, panels)
    sizes = (block, problem.batch, problem.batch * (1 if problem.x_shared else problem.networks), ZERO)
    arguments = (x, w, *map(np.int32, sizes), *epilogue.arguments)
    text = source + read("gemm_registers.cl") + read("convolution_tile.cl") + read("convolution_cpu.cl")
    return Lowering((Launch(text, "convolution", arguments, grid, (1, 1, 1)),))


@dataclass(frozen=True)
class Tile:
    """Rows in registers, each of `vectors` of channels of `width` and one of `tail`, if that is not 0."""

    rows: int
    vectors: int
    tail: int
    width: int

    @property
    def channels(self) -> int:
        """Of a row."""
        return self.vectors * self.width + self.tail

    @property
    def parameters(self) -> dict[str, int]:
        """What convolution_tile.cl wants to know."""
        return {"MR": self.rows, "NV": self.vectors, "TAIL": self.tail}


@dataclass(frozen=True)
class Cover:
    """How `tiles` of a shape cover dw, and blocks the batch: `cut` parts of `part` images; `together` of them, or
    `lines` rows of one, at a time. `merged`: a row of the kernel is one tap."""

    tile: Tile
    tiles: int
    part: int
    cut: int
    together: int
    lines: int
    merged: bool


def cover(problem: Problem, registers: Registers) -> Cover:
    """The tiles with which the gradient by the weights takes the least time."""
    merged = problem.is_whole and problem.starts[1] == 0 and problem.dilation[1] == 1
    depth = problem.channels * (problem.kernel[1] if merged else 1)
    taps = problem.kernel[0] * (1 if merged else problem.kernel[1])
    found = tile(depth, problem, registers)
    tiles = taps * ceil(depth / found.rows) * ceil(problem.filters / found.channels)
    part = ceil(problem.batch / parts(problem))
    line = problem.inputs[1] * problem.channels * problem.strides[0] + problem.outputs[1] * problem.filters
    lines = max(ceil(STEPS / problem.outputs[1]), TOGETHER // (line * registers.size))
    together = min(part, max(1, lines // problem.outputs[0]))
    return Cover(found, tiles, part, ceil(problem.batch / part), together, min(lines, problem.outputs[0]), merged)


def lower_weights(
    device: Device, problem: Problem, x: Hashable, dy: Hashable, epilogue: Epilogue, units: int
) -> Lowering:
    """Each work-group does some tiles of dw, over the whole batch, or over a part of it where tiles are few."""
    registers = _registers(device, problem)
    how = cover(problem, registers)
    is_cut = how.cut > 1
    each = ceil(how.tiles / (1 if units == 1 else ceil(4 * units / (how.cut * problem.networks))))
    constants = {**how.tile.parameters, "MERGED": int(how.merged), "PARTS": int(is_cut)}
    text = _source(problem, epilogue, registers, **constants) + read("gemm_registers.cl")
    text += read("convolution_tile.cl") + read("convolution_weights_cpu.cl")
    sizes = map(np.int32, (problem.batch, how.part, how.together, how.lines, each, ZERO))
    arguments = (WORKSPACE, x, dy, *sizes, *map(np.uint64, _strides(problem)), *epilogue.arguments)
    grid = (ceil(how.tiles / each), how.cut, problem.networks)
    launches = [Launch(text, "convolution_weights", arguments, grid, (1, 1, 1))]
    if is_cut:
        height = problem.weights // problem.filters
        block = ceil(height / (4 * units))
        merge = (WORKSPACE, np.int32(how.cut), np.int32(block), *epilogue.arguments)
        launches.append(Launch(text, "merge", merge, (ceil(height / block), problem.networks), (1, 1)))
    waiting = how.tiles * how.tile.rows * how.tile.channels
    space = problem.networks * how.cut * (waiting + problem.weights * is_cut)
    return Lowering(tuple(launches), space * registers.size)


def _strides(problem: Problem) -> tuple[int, int]:
    """Elements of x and of dy from one network to the next."""
    x = problem.batch * problem.inputs[0] * problem.inputs[1] * problem.channels
    dy = problem.batch * problem.outputs[0] * problem.outputs[1] * problem.filters
    return x * (not problem.x_shared), dy * (not problem.dy_shared)


def parts(problem: Problem) -> int:
    """Into how many parts the batch is cut for the gradient by the weights: by shape alone, because it decides bits."""
    return min(problem.batch, PARTS) if problem.weights < FEW else 1


def tile(extent: int, problem: Problem, registers: Registers, images: int = 1) -> Tile:
    """The tile with which `extent` rows of filters, of each of some images, take the least time.

    It has rows of one image, or all of several: 8 images of 7 x 7 x 512, 512 filters of 3 x 3, 11.4 -> 9.9 ms.
    """

    def cost(tile: Tile) -> float:
        """Cycles a step, times tiles: one multiply-add of a vector, or one load, a cycle; a sum waits for four.

        Narrow vectors take half the time on some cores, as long as wide ones on others.
        """
        vectors, last = tile.vectors, tile.tail > 0
        step = max(tile.rows * (vectors + 0.75 * last), tile.rows + vectors + last, 4) + 0.3 * (vectors + last)
        turns = ceil(extent / tile.rows) if tile.rows < extent else ceil(images * extent / tile.rows) / images
        return turns * ceil(problem.filters / tile.channels) * step

    width, narrow = registers.width, [1 << bit for bit in range(registers.width.bit_length() - 1)]
    shapes = [(vectors, 0) for vectors in range(1, min(VECTORS, ceil(problem.filters / width)) + 1)]
    shapes += [(vectors, tail) for vectors in range(1, VECTORS) if vectors * width < problem.filters for tail in narrow]
    heights = [*range(1, min(ROWS, extent) + 1), *range(2 * extent, min(ROWS, images * extent) + 1, extent)]
    return min(
        (
            Tile(rows, vectors, tail, width)
            for vectors, tail in shapes
            for rows in heights
            if rows <= (registers.count - 1) // (vectors + (tail > 0)) - 1
        ),
        key=cost,
    )


def _registers(device: Device, problem: Problem) -> Registers:
    """Of which a row of filters fills all; but three fill four, with zero."""
    return Registers.of(device, problem).within(4 if problem.filters == 3 else problem.filters)


def _columns(problem: Problem) -> int:
    """Columns of y that a tile can have: those of a row, or those that meet the same columns of the kernel."""
    return problem.outputs[1] // problem.spread[1]


def _segment(problem: Problem, rows: int, images: int) -> int:
    """Columns of y in each image whose x is laid out at once, all or some tiles of them; 0: x is read where it lies."""
    if problem.is_whole:
        return 0
    columns = ceil(problem.outputs[1] / problem.spread[1])
    if images * _laid_out(problem, columns) <= LAID_OUT:
        return columns
    there = LAID_OUT // (images * problem.kernel[0] * problem.channels) - problem.reach[1]
    return max(1, there // problem.strides[1] // rows) * rows


def _laid_out(problem: Problem, columns: int) -> int:
    """Elements of x under so many columns of y, for all rows of the kernel."""
    across = (columns - 1) * problem.strides[1] + ceil((problem.reach[1] - 1) / problem.spread[1]) + 1
    return problem.kernel[0] * across * problem.channels


def _source(problem: Problem, epilogue: Epilogue, registers: Registers, **constants: int) -> str:
    return epilogue.source + define(
        **registers.parameters,
        **problem.constants,
        **constants,
        **epilogue.macros,
    )
