"""matmul: the matrix product, batched, with both transposes; `clnet.gemm` runs it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from clnet import gemm
from clnet.compiled import eager
from clnet.errors import ShapeError
from clnet.graph import Broadcast, Node, Op, Routine, Spec, count
from clnet.lowering import Epilogue, Lowering, Target
from clnet.ops import reduction
from clnet.ops.elementwise import HALF, convert, like, product_dtype, sum_dtype
from clnet.ops.shape import Transpose, reshape
from clnet.tensor import Tensor
from clnet.trace import apply, as_node


@dataclass(frozen=True)
class MatMul(Routine):
    """(..., m, k) times (..., k, n), each side transposed or not; a side without batch axes serves every batch.

    Of float16 sides the result is float32, in which the sums are.
    """

    transpose_a: bool = False
    transpose_b: bool = False
    fetches = True

    def infer(self, *inputs: Spec) -> Spec:
        a, b = inputs
        m = a.shape[-1] if self.transpose_a else a.shape[-2]
        n = b.shape[-2] if self.transpose_b else b.shape[-1]
        return Spec((*(a.shape[:-2] or b.shape[:-2]), m, n), sum_dtype(a.dtype))

    def problem(self, node: Node) -> gemm.Problem:
        """What `clnet.gemm` is asked."""
        a, b = node.inputs
        batch = count(node.shape[:-2])
        return gemm.Problem(
            m=node.shape[-2],
            n=node.shape[-1],
            k=a.shape[-2] if self.transpose_a else a.shape[-1],
            batch=batch,
            transpose_a=self.transpose_a,
            transpose_b=self.transpose_b,
            a_batched=batch > 1 and count(a.shape[:-2]) == batch,
            b_batched=batch > 1 and count(b.shape[:-2]) == batch,
            dtype=node.dtype,
            half=a.dtype == HALF,
        )

    def multiply_adds(self, node: Node) -> float:
        return gemm.work(node.device, self.problem(node))

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        form = target.gemm if target.gemm != "auto" else "gpu" if target.gpu and target.device.kind == "cpu" else None
        a, b = operands
        return gemm.lower(target.device, self.problem(node), a, b, epilogue, form=form, units=target.units)

    def tune(self, node: Node, seconds: float) -> None:
        gemm.measure(node.device, self.problem(node), seconds=seconds)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """A side that serves all batches of all networks stays as it is, any other gets every batch axis."""
        own = [side.ndim - 2 - is_many for side, is_many in zip(inputs, many, strict=True)]
        batches = max(zip(own, inputs, many, strict=True), key=lambda each: each[0])
        batch = (networks, *batches[1].shape[int(batches[2]) : -2])
        return self, [
            side if side.ndim == 2 else _over(side, batch, is_many) for side, is_many in zip(inputs, many, strict=True)
        ]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        """dA = dY op(B)^T and dB = op(A)^T dY, each transposed where its operand was."""
        a, b = node.inputs
        da = (
            _product(b, dy, self.transpose_b, True)
            if self.transpose_a
            else _product(dy, b, False, not self.transpose_b)
        )
        db = (
            _product(dy, a, True, self.transpose_a)
            if self.transpose_b
            else _product(a, dy, not self.transpose_a, False)
        )
        return [like(_over_batches(da, a), a), like(_over_batches(db, b), b)]


def _over(side: Node, batch: tuple[int, ...], is_many: bool) -> Node:
    """A side repeated for the batch axes that it lacks, of which the first is that of networks."""
    first = side.shape[:1] if is_many else (1,)
    own = side.shape[is_many:-2]
    new = (1,) * (len(batch) - 1 - len(own))
    return apply(Broadcast((*batch, *side.shape[-2:])), reshape(side, (*first, *new, *own, *side.shape[-2:])))


def _over_batches(gradient: Tensor, operand: Node) -> Tensor:
    """The sum over batches, for a side that served all of them."""
    extra = gradient.ndim - operand.ndim
    return reduction.sum(gradient, axis=tuple(range(extra))) if extra else gradient


def narrower(a: Tensor, b: Tensor) -> tuple[Node, Node]:
    """Both operands of a product in the narrower of their dtypes: gradients of float32 meet values of float16."""
    dtype = min(a.dtype, b.dtype, key=lambda each: each.itemsize)
    return convert(as_node(a), dtype), convert(as_node(b), dtype)


def _product(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    """The node, with a transpose of the last two axes of an operand taken into its flag."""
    (left, flip_a), (right, flip_b) = (_untransposed(side) for side in narrower(a, b))
    return apply(MatMul(transpose_a != flip_a, transpose_b != flip_b), left, right)


def _untransposed(node: Node) -> tuple[Node, bool]:
    last = node.ndim
    swap = (*range(last - 2), last - 1, last - 2)
    if isinstance(node.op, Transpose) and node.op.axes == swap:
        return node.inputs[0], True
    return node, False


@eager
def matmul(a: Tensor, b: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """a @ b over the last two axes, (..., m, k) by (..., k, n), each side transposed where asked.

    First axes broadcast as in NumPy; a one-dimensional side is a row or a column, whose axis the result lacks. float16
    is summed in float32.
    """
    dtype = product_dtype((a, b), "matmul")
    left, right = (convert(as_node(side), dtype) for side in (a, b))
    return convert(as_node(product(left, right, transpose_a=transpose_a, transpose_b=transpose_b)), dtype)


def product(left: Tensor, right: Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """`matmul` of two sides of one dtype; of float16 sides it is float32, as the sums are."""
    a, b = left, right
    if not left.ndim or not right.ndim:
        raise ShapeError(f"matmul: shapes {left.shape} and {right.shape}: wanted one axis or more on both sides")
    row, column = left.ndim == 1, right.ndim == 1
    left = as_node(reshape(left, (1, -1) if not transpose_a else (-1, 1))) if row else left
    right = as_node(reshape(right, (-1, 1) if not transpose_b else (1, -1))) if column else right
    k, wanted = left.shape[-2 if transpose_a else -1], right.shape[-1 if transpose_b else -2]
    if k != wanted:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape}: the left has {k} columns, the right {wanted} rows")
    found = _batched(as_node(left), as_node(right), transpose_a, transpose_b)
    shape = list(found.shape)
    if column:
        del shape[-1]
    if row:
        del shape[-1 if column else -2]
    return reshape(found, shape)


def _batched(a: Node, b: Node, transpose_a: bool, transpose_b: bool) -> Tensor:
    """The product with first axes made equal; a stack of left sides on one right side becomes one tall product."""
    if b.ndim == 2 and a.ndim > 2 and not transpose_a:
        flat = _product(reshape(a, (-1, a.shape[-1])), b, False, transpose_b)
        return reshape(flat, (*a.shape[:-1], flat.shape[-1]))
    try:
        batches = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise ShapeError(f"matmul: batches {a.shape[:-2]} and {b.shape[:-2]} do not broadcast together") from error
    a, b = (
        side if count(side.shape[:-2]) == 1 and side.ndim == 2 else apply(Broadcast((*batches, *side.shape[-2:])), side)
        for side in (a, b)
    )
    return _product(a, b, transpose_a, transpose_b)
