"""The direct convolution as a pair of ops that are closed under differentiation: each is the other's gradient.

With x' for x spread out and padded (see `clnet.convolution.Problem`), Convolve(x, w) and ConvolveWeights(x, dy)
are sums of products of the same pairs of elements; so is the gradient by x, a Convolve with stride and spread exchanged
and the kernel turned. Where the kernels do not suit, all are products of windows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from clnet import convolution
from clnet.graph import Node, Op, Routine, Spec, count
from clnet.lowering import Epilogue, Lowering, Target
from clnet.ops.elementwise import HALF, like, sum_dtype
from clnet.ops.product import narrower, product
from clnet.ops.shape import Embed, Reshape, reshape, slice, transpose
from clnet.ops.windows import Pair, reach, windows
from clnet.tensor import Tensor
from clnet.trace import apply, as_node


@dataclass(frozen=True)
class Geometry:
    """Which elements meet: r stride + i dilation - start = h spread, along height and width."""

    strides: Pair
    dilation: Pair
    spread: Pair
    starts: Pair

    def back(self, kernel: Pair) -> Geometry:
        """The geometry of the gradient by x, whose kernel is turned."""
        starts = [
            reach(size, apart) - 1 - start
            for size, apart, start in zip(kernel, self.dilation, self.starts, strict=True)
        ]
        return Geometry(self.spread, self.dilation, self.strides, (starts[0], starts[1]))

    def problem(self, x: Tensor, outputs: Pair, kernel: Pair, filters: int) -> convolution.Problem:
        """What `clnet.convolution` is asked."""
        n, height, width, channels = x.shape[-4:]
        return convolution.Problem(
            n, (height, width), channels, outputs, filters, kernel, self.strides, self.dilation, self.spread,
            self.starts, sum_dtype(x.dtype), half=x.dtype == HALF,
        )  # fmt: skip


@dataclass(frozen=True)
class _Direct(Routine):
    """`extents`: height and width of the result. Operands and result may have a first axis of networks."""

    geometry: Geometry
    extents: Pair

    def problem(self, node: Node) -> convolution.Problem:
        raise NotImplementedError

    def multiply_adds(self, node: Node) -> float:
        return self.problem(node).multiply_adds


class Convolve(_Direct):
    """x (n, height, width, c) and w (kh, kw, c, o) to y (n, rows, columns, o)."""

    def infer(self, *inputs: Spec) -> Spec:
        x, w = inputs
        return Spec((*w.shape[:-4], x.shape[-4], *self.extents, w.shape[-1]), sum_dtype(x.dtype))

    def runs(self, node: Node) -> tuple[int, int]:
        return node.ndim - 3, node.ndim - 1

    def problem(self, node: Node) -> convolution.Problem:
        x, w = node.inputs
        found = self.geometry.problem(x, self.extents, _kernel(w), w.shape[-1])
        return replace(found, networks=count(w.shape[:-4]), x_shared=x.ndim < w.ndim)

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        x, w = operands
        return convolution.lower(self.problem(node), x, w, epilogue, target)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """Weights that serve all networks see their pictures as one batch."""
        x, w = inputs
        if many[1]:
            return self, inputs
        y = apply(self, reshape(x, (-1, *x.shape[2:])), w)
        return Reshape((*x.shape[:2], *y.shape[1:])), [y]

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        x, w = node.inputs
        dx, dw = backward(dy, w, self.geometry, _extents(x)), by_weights(x, dy, self.geometry, _kernel(w))
        return [like(dx, x), like(dw, w)]


class ConvolveWeights(_Direct):
    """x (n, height, width, c) and dy (n, rows, columns, o) to dw (kh, kw, c, o)."""

    def infer(self, *inputs: Spec) -> Spec:
        x, dy = inputs
        return Spec((*max(x.shape[:-4], dy.shape[:-4]), *self.extents, x.shape[-1], dy.shape[-1]), sum_dtype(x.dtype))

    def runs(self, node: Node) -> tuple[int, int]:
        return node.ndim - 4, node.ndim - 1

    def problem(self, node: Node) -> convolution.Problem:
        x, dy = node.inputs
        found = self.geometry.problem(x, _extents(dy), self.extents, dy.shape[-1])
        return replace(
            found, networks=count(node.shape[:-4]), x_shared=x.ndim < node.ndim, dy_shared=dy.ndim < node.ndim
        )

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        x, dy = operands
        return convolution.lower_weights(self.problem(node), x, dy, epilogue, target)

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return self, inputs

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        x, y = node.inputs
        dx, ddy = backward(y, dy, self.geometry, _extents(x)), forward(x, dy, self.geometry, _extents(y))
        return [like(dx, x), like(ddy, y)]


def forward(x: Tensor, w: Tensor, geometry: Geometry, outputs: Pair) -> Tensor:
    """The convolution of x with w; of float16 it is float32, in which the sums are."""
    left, right = narrower(x, w)
    kernel, (n, filters) = _kernel(right), (left.shape[0], right.shape[-1])
    if _is_pointwise(left, geometry, outputs, kernel):
        return product(left, reshape(right, right.shape[2:]))
    if convolution.suits(left.device, geometry.problem(left, outputs, kernel, filters)):
        return apply(Convolve(geometry, outputs), left, right)
    flat = product(_rows(left, geometry, outputs, kernel), reshape(right, (-1, filters)))
    return reshape(flat, (n, *outputs, filters))


def backward(dy: Tensor, w: Tensor, geometry: Geometry, inputs: Pair) -> Tensor:
    """The gradient of a convolution by x: dy convolved with the kernel turned, its channels and filters exchanged."""
    kh, kw = kernel = _kernel(as_node(w))
    turned = slice(w, (kh - 1, kw - 1, 0, 0), w.shape, steps=(-1, -1, 1, 1))
    return forward(dy, transpose(turned, (0, 1, 3, 2)), geometry.back(kernel), inputs)


def by_weights(x: Tensor, dy: Tensor, geometry: Geometry, kernel: Pair) -> Tensor:
    """The gradient of a convolution by w."""
    left, right = narrower(x, dy)
    channels, filters = left.shape[-1], right.shape[-1]
    if convolution.suits(left.device, geometry.problem(left, _extents(right), kernel, filters)):
        return apply(ConvolveWeights(geometry, kernel), left, right)
    rows = _rows(left, geometry, _extents(right), kernel)
    return reshape(product(rows, reshape(right, (-1, filters)), transpose_a=True), (*kernel, channels, filters))


def spread_windows(x: Node, geometry: Geometry, outputs: Pair, kernel: Pair) -> Tensor:
    """(n, rows, columns, kh, kw, c): the window under each element of y."""
    spread = _spread(x, geometry, outputs, kernel)
    return windows(spread, kernel, strides=geometry.strides, dilation=geometry.dilation)


def _rows(x: Node, geometry: Geometry, outputs: Pair, kernel: Pair) -> Tensor:
    """The windows as rows of a matrix."""
    return reshape(
        spread_windows(x, geometry, outputs, kernel),
        (x.shape[0] * outputs[0] * outputs[1], kernel[0] * kernel[1] * x.shape[-1]),
    )


def _spread(x: Node, geometry: Geometry, outputs: Pair, kernel: Pair) -> Tensor:
    """x with zeros between and around its elements, as far as windows reach; without what they do not reach."""
    begins, counts, places, extents = [0], [x.shape[0]], [0], [x.shape[0]]
    for axis, height in enumerate(_extents(x)):
        apart, start = geometry.spread[axis], geometry.starts[axis]
        extent = (outputs[axis] - 1) * geometry.strides[axis] + reach(kernel[axis], geometry.dilation[axis])
        first = max(0, -(start // apart))  # the first element at place 0 or later
        begins.append(min(first, height))
        counts.append(max(0, min(height, (extent - 1 - start) // apart + 1) - begins[-1]))
        places.append(start + begins[-1] * apart)
        extents.append(extent)
    kept = slice(x, (*begins, 0), (*counts, x.shape[-1]))
    return apply(Embed((*places, 0), (1, *geometry.spread, 1), (*extents, x.shape[-1])), as_node(kept))


def _is_pointwise(x: Node, geometry: Geometry, outputs: Pair, kernel: Pair) -> bool:
    """Whether every element of y sees one of x, at the same place."""
    plain = geometry.strides == geometry.spread == (1, 1) and geometry.starts == (0, 0)
    return plain and kernel == (1, 1) and outputs == _extents(x)


def _kernel(w: Node) -> Pair:
    return w.shape[-4], w.shape[-3]


def _extents(x: Node) -> Pair:
    return x.shape[-3], x.shape[-2]
