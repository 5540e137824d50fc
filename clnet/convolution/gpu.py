"""The form for GPUs: convolution_gpu.cl. It runs on any device."""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil

import numpy as np

from clnet.convolution.problem import Problem
from clnet.gemm.problem import c_type
from clnet.kernels import Launch, define, read
from clnet.lowering import WORKSPACE, Epilogue, Lowering

ROWS, SIDE = 64, 4  # rows of a work-group's tile, and of a work-item's square of sums
LAYERS = 65535  # work-groups in the third dimension, which drivers limit
GROUPS = 256  # that a GPU wants to be busy: where the gradient by the weights has fewer, the batch is cut


def lower(problem: Problem, x: Hashable, w: Hashable, epilogue: Epilogue) -> Lowering:
    """One launch: a work-group does a tile of an image of y."""
    images = problem.networks * problem.batch
    rows = problem.outputs[0] * problem.outputs[1]
    launch = _launch(problem, (x, w, w), problem.batch, 1, images, rows, (not problem.x_shared, True), epilogue)
    return Lowering((launch,))


def lower_weights(problem: Problem, x: Hashable, dy: Hashable, epilogue: Epilogue) -> Lowering:
    """A work-group does a tile of dw over a part of the batch; the parts are added up in order."""
    rows = problem.weights // problem.filters
    tiles = ceil(rows / ROWS) * ceil(problem.filters / _columns(problem))
    part = ceil(problem.batch / min(problem.batch, max(1, GROUPS // tiles)))
    parts = ceil(problem.batch / part)
    own = (not problem.x_shared, not problem.dy_shared)
    layers = problem.networks * parts
    constants = {"BY_WEIGHTS": 1, "PARTS": int(parts > 1)}
    slots = (x, dy, WORKSPACE if parts > 1 else x)
    launch = _launch(problem, slots, parts, part, layers, rows, own, epilogue, **constants)
    if parts == 1:
        return Lowering((launch,))
    merge = (WORKSPACE, np.int32(parts), *epilogue.arguments)
    grid = (ceil(problem.weights / ROWS) * ROWS, problem.networks)
    space = layers * problem.weights * problem.dtype.itemsize
    return Lowering((launch, Launch(launch.source, "merge", merge, grid, (ROWS, 1))), space)


def _columns(problem: Problem) -> int:
    """Channels of a tile: no more than about what there are."""
    return next((columns for columns in (16, 32) if problem.filters <= columns), 64)


def _launch(
    problem: Problem,
    slots: tuple[Hashable, Hashable, Hashable],
    each: int,
    part: int,
    layers: int,
    rows: int,
    own: tuple[bool, bool],
    epilogue: Epilogue,
    **constants: int,
) -> Launch:
    """`each`: layers to a network; `own`: whether each network has left and right operands of its own."""
    columns = _columns(problem)
    source = epilogue.source + define(
        T=c_type(problem.dtype),
        TM=ROWS,
        TN=columns,
        SIDE=SIDE,
        **problem.constants,
        **constants,
        **epilogue.macros,
    )
    left = problem.batch * problem.inputs[0] * problem.inputs[1] * problem.channels
    dy = problem.batch * problem.outputs[0] * problem.outputs[1] * problem.filters
    right = dy if constants else problem.weights
    sizes = map(np.int32, (layers, each, part, problem.batch))
    strides = (np.uint64(left * own[0]), np.uint64(right * own[1]))
    across, down = columns // SIDE, ROWS // SIDE
    grid = (ceil(problem.filters / columns) * across, ceil(rows / ROWS) * down, min(layers, LAYERS))
    arguments = (*slots, *sizes, *strides, *epilogue.arguments)
    return Launch(source + read("convolution_gpu.cl"), "convolution", arguments, grid, (across, down, 1))
