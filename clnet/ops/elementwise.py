"""Elementwise arithmetic, comparison and choice, with NumPy's broadcasting; ops of the user's own.

Numbers take the dtype of the tensors beside them. Tensors of two dtypes meet in the wider one, integers beside floats
in the float's. float16 is how elements lie in memory: every op computes in float32 and rounds its result, so that a
fused plan has the bits of ops called one by one; what adds up or takes several ops rounds once, at the end.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np

from clnet.compiled import eager
from clnet.errors import ArgumentError, DTypeError, ShapeError
from clnet.graph import Broadcast, Constant, Emitter, Inline, Node, Op, Pointwise, Spec, View
from clnet.index import Index
from clnet.tensor import C_TYPES, Tensor, check_dtype, value_type
from clnet.trace import all_widened, apply, as_node, current

Number = bool | int | float
Operand = Tensor | Number
Unary = Callable[[Tensor], Tensor]
Binary = Callable[[Operand, Operand], Tensor]
P = ParamSpec("P")
R = TypeVar("R")
HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)
Rule = Callable[..., Sequence[Tensor | None]]  # (inputs..., result, its gradient) -> gradients of the inputs


@dataclass(frozen=True)
class Elementwise(Pointwise):
    """result[i] = text(inputs[i]...): `text` is C with {0}, {1} for the inputs, all of one shape.

    `libraries`: files of kernels_cl/ or definitions that it needs; `result`: dtype, None for that of the first
    `floats` inputs; `rule` gives gradients as expressions over ops.
    """

    title: str
    text: str
    rule: Rule | None = field(default=None, compare=False)
    libraries: tuple[str, ...] = ("math.cl",)
    result: np.dtype[Any] | None = None
    fold: Callable[..., Any] | None = field(default=None, compare=False)
    unit: float | None = None  # x op unit is x
    cheap: bool = False

    @property
    def name(self) -> str:
        return self.title

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(inputs[0].shape, self.result or inputs[-1].dtype)

    def simplify(self, inputs: tuple[Node, ...]) -> Node | None:
        numbers = [_number(node) for node in inputs]
        if self.fold is not None and all(number is not None for number in numbers):
            trace = current()
            assert trace is not None
            with np.errstate(all="ignore"):
                return trace.filled(self.fold(*numbers), inputs[0].shape, self.result or inputs[-1].dtype)
        if self.unit is not None and numbers[-1] == self.unit:
            return inputs[0]
        commutes = self.title in ("add", "multiply")
        return inputs[1] if self.unit is not None and commutes and numbers[0] == self.unit else None

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        for library in self.libraries:
            emitter.define(library)
        return self.text.format(*(emitter.value(source, index) for source in node.inputs))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return self, all_widened(inputs, many, networks)

    def gradient(self, node: Node, dy: Tensor) -> Sequence[Tensor | None]:
        return [None] * len(node.inputs) if self.rule is None else self.rule(*node.inputs, node, dy)


def _number(node: Node) -> Any:
    """The value of a node that is one number everywhere, else None."""
    while isinstance(node.op, Broadcast | View):
        node = node.inputs[0]
    return node.op.value if isinstance(node.op, Constant) else None


def common_dtype(tensors: Sequence[Any], who: str) -> np.dtype[Any]:
    """The dtype in which tensors meet."""
    kinds = [value.dtype for value in tensors if isinstance(value, (Tensor, np.ndarray))]
    if not kinds:
        raise ArgumentError(f"{who}: got no tensor among its arguments; use clnet.tensor(array)")
    floats = [kind for kind in kinds if kind.kind == "f"]
    found: np.dtype[Any] = np.result_type(*(floats or kinds))
    return found


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which elements of this one are added up."""
    return SINGLE if dtype == HALF else dtype


def product_dtype(tensors: Sequence[Any], who: str) -> np.dtype[Any]:
    """The dtype in which a product takes these: as they meet, or as mixed precision wants."""
    dtype, trace = common_dtype(tensors, who), current()
    if dtype.kind != "f":
        raise DTypeError(f"{who}: got {dtype}, wanted float16, float32 or float64; use ops.cast")
    return HALF if dtype == SINGLE and trace is not None and trace.products_in_half else dtype


def operands(who: str, *values: Any, floating: bool = False) -> list[Node]:
    """Values as nodes of one dtype and one shape. `floating`: integers become float32 first."""
    dtype = common_dtype(values, who)
    fractional = any(isinstance(value, float) for value in values)
    if dtype.kind != "f" and (floating or fractional):
        dtype = np.dtype(np.float32)
    like = next(value for value in values if isinstance(value, (Tensor, np.ndarray)))
    nodes = [convert(as_node(value, _like(dtype, like)), dtype) for value in values]
    return aligned(who, nodes)


def _like(dtype: np.dtype[Any], value: Any) -> Any:
    """Something that has this dtype, for numbers to take."""
    return Spec(value.shape, dtype)


def aligned(who: str, nodes: Sequence[Node]) -> list[Node]:
    """Nodes broadcast to one shape."""
    try:
        shape = np.broadcast_shapes(*(node.shape for node in nodes))
    except ValueError as error:
        shapes = " and ".join(str(node.shape) for node in nodes)
        raise ShapeError(f"{who}: shapes {shapes} do not broadcast together") from error
    return [apply(Broadcast(shape), node) for node in nodes]


def convert(node: Node, dtype: np.dtype[Any]) -> Node:
    """The node in another dtype, as C converts."""
    if node.dtype == dtype:
        return node
    if is_cast(node) and node.dtype.kind == "f" and node.inputs[0].dtype == dtype == HALF:
        return node.inputs[0]  # which the wider one holds exactly
    text = "{0} != 0" if dtype == np.bool_ else f"({C_TYPES[dtype]}){{0}}"
    op = Elementwise("cast", text, _cast_rule, (), dtype, _fold_cast(dtype))
    return apply(Inline(op) if node.dtype == HALF else op, node)  # what half holds is not stored again in full


def is_cast(node: Node) -> bool:
    """Whether it is another node in a dtype of its own."""
    return node.op.name == "cast"


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """The op, of float16 tensors computed in float32, its results rounded at the end: for sums and chains of ops."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        floats = {
            each.dtype for each in (*args, *kwargs.values()) if isinstance(each, Tensor) and each.dtype.kind == "f"
        }
        if HALF not in floats:
            return function(*args, **kwargs)
        wide: Any = [_recast(each, HALF, SINGLE) for each in args]
        named: Any = {name: _recast(each, HALF, SINGLE) for name, each in kwargs.items()}
        found: Any = function(*wide, **named)
        if floats != {HALF}:
            return found  # type: ignore[no-any-return]
        if isinstance(found, tuple):
            return tuple(_recast(each, SINGLE, HALF) for each in found)  # type: ignore[return-value]
        return _recast(found, SINGLE, HALF)  # type: ignore[no-any-return]

    return call


def _recast(value: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    """A tensor of one dtype in the other; all else as it is."""
    return cast(value, new) if isinstance(value, Tensor) and value.dtype == old else value


def like(gradient: Tensor, operand: Node) -> Tensor:
    """A gradient in its operand's dtype; but what is a cast, of a weight for instance, passes it on unrounded."""
    source = operand
    while isinstance(source.op, Pointwise) and source.op.inline and len(source.inputs) == 1:
        source = source.inputs[0]
    return gradient if is_cast(source) else convert(as_node(gradient), operand.dtype)


def _fold_cast(dtype: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda value: dtype.type(value)


def _cast_rule(x: Node, y: Node, dy: Tensor) -> list[Tensor | None]:
    return [convert(as_node(dy), x.dtype) if x.dtype.kind == "f" else None]


def _binary(title: str, text: str, rule: Rule | None, *, floating: bool = False, **more: Any) -> Binary:
    op = Elementwise(title, text, rule, **more)

    def function(a: Operand, b: Operand) -> Tensor:
        return apply(op, *operands(title, a, b, floating=floating))

    return _named(function, title, f"{text.format('a', 'b')}, elementwise; shapes broadcast.")


def _unary(title: str, text: str, rule: Rule | None, *, floating: bool = True, **more: Any) -> Unary:
    op = Elementwise(title, text, rule, **more)

    def function(x: Tensor) -> Tensor:
        return apply(op, *operands(title, x, floating=floating))

    return _named(
        function,
        title,
        f"{title} of each element; integers become float32 first." if floating else f"{title} of each element.",
    )


def _named(function: Callable[P, Tensor], title: str, doc: str) -> Callable[P, Tensor]:
    """A public op under its own name."""
    function.__name__ = function.__qualname__ = title
    function.__doc__ = doc
    return eager(function)


BOOL = np.dtype(np.bool_)


def _comparison(title: str, text: str) -> Binary:
    op = Elementwise(title, text, None, (), BOOL)

    def function(a: Operand, b: Operand) -> Tensor:
        return apply(op, *operands(title, a, b))

    return _named(function, title, f"{text.format('a', 'b')} as bool, elementwise; shapes broadcast.")


equal = _comparison("equal", "{0} == {1}")
not_equal = _comparison("not_equal", "{0} != {1}")
less = _comparison("less", "{0} < {1}")
less_equal = _comparison("less_equal", "{0} <= {1}")
greater = _comparison("greater", "{0} > {1}")
greater_equal = _comparison("greater_equal", "{0} >= {1}")
logical_and = _comparison("logical_and", "({0} != 0) & ({1} != 0)")
logical_or = _comparison("logical_or", "({0} != 0) | ({1} != 0)")

add = _binary("add", "{0} + {1}", lambda a, b, y, dy: [dy, dy], libraries=(), fold=np.add, unit=0, cheap=True)
subtract = _binary(
    "subtract", "{0} - {1}", lambda a, b, y, dy: [dy, -dy], libraries=(), fold=np.subtract, unit=0, cheap=True
)
multiply = _binary(
    "multiply", "{0} * {1}", lambda a, b, y, dy: [dy * b, dy * a], libraries=(), fold=np.multiply, unit=1, cheap=True
)
divide = _binary(
    "divide",
    "{0} / {1}",
    lambda a, b, y, dy: [dy / b, -(dy * y) / b],
    floating=True,
    libraries=(),
    fold=np.divide,
    unit=1,
)
maximum = _binary("maximum", "larger({0}, {1})", lambda a, b, y, dy: _shared(a, b, y, dy))
minimum = _binary("minimum", "smaller({0}, {1})", lambda a, b, y, dy: _shared(a, b, y, dy))
_power = _binary("pow", "pow({0}, {1})", lambda a, b, y, dy: _power_rule(a, b, y, dy), floating=True, libraries=())

negative = _unary(
    "negative", "-{0}", lambda x, y, dy: [-dy], floating=False, libraries=(), fold=np.negative, cheap=True
)
exp = _unary("exp", "exponential({0})", lambda x, y, dy: [dy * y])
log = _unary("log", "logarithm({0})", lambda x, y, dy: [dy / x])
log1p = _unary("log1p", "logarithm_of_one_plus({0})", lambda x, y, dy: [dy / (x + 1)])
sqrt = _unary("sqrt", "root({0})", lambda x, y, dy: [dy * 0.5 / y], fold=np.sqrt)
rsqrt = _unary("rsqrt", "1 / root({0})", lambda x, y, dy: [dy * -0.5 * y / x])
tanh = _unary("tanh", "hyperbolic_tangent({0})", lambda x, y, dy: [dy * (1 - y * y)])
erf = _unary("erf", "error_function({0})", lambda x, y, dy: [dy * 1.1283791670955126 * exp(-(x * x))])
sin: Unary = _unary("sin", "sin({0})", lambda x, y, dy: [dy * cos(x)], libraries=())
cos: Unary = _unary("cos", "cos({0})", lambda x, y, dy: [-dy * sin(x)], libraries=())
abs = _unary("abs", "magnitude({0})", lambda x, y, dy: [dy * sign(x)])
floor = _unary("floor", "round_down({0})", None)
sign: Unary = _unary("sign", "({0} > 0) - ({0} < 0)", None, floating=False, libraries=())
square = _unary("square", "{0} * {0}", lambda x, y, dy: [dy * 2 * x], floating=False, libraries=(), cheap=True)
isnan = _unary("isnan", "{0} != {0}", None, floating=False, libraries=(), result=BOOL)
logical_not = _unary("logical_not", "{0} == 0", None, floating=False, libraries=(), result=BOOL)


def _shared(a: Node, b: Node, y: Node, dy: Tensor) -> list[Tensor | None]:
    """Where both are the result, each gets half."""
    half = where(equal(a, b), dy * 0.5, dy)
    return [where(equal(a, y), half, 0.0), where(equal(b, y), half, 0.0)]


def _power_rule(a: Node, b: Node, y: Node, dy: Tensor) -> list[Tensor | None]:
    logs = log(where(a > 0, a, 1.0))
    return [dy * b * _power(a, b - 1), dy * y * logs]


@eager
def pow(x: Operand, exponent: Operand) -> Tensor:
    """x ** exponent, elementwise; shapes broadcast. 2, 1, 0.5, -0.5 and -1 are computed without a power."""
    special: dict[float, Callable[[Any], Tensor]] = {
        2: square,
        1: lambda base: convert(as_node(base), base.dtype),
        0.5: sqrt,
        -0.5: rsqrt,
        -1: lambda base: divide(1, base),
    }
    if isinstance(exponent, (int, float)) and exponent in special and isinstance(x, Tensor):
        return special[exponent](x)
    return _power(x, exponent)


def _where_rule(c: Node, a: Node, b: Node, y: Node, dy: Tensor) -> list[Tensor | None]:
    return [None, where(c, dy, 0.0), where(c, 0.0, dy)]


_where = Elementwise("where", "{0} ? {1} : {2}", _where_rule, (), cheap=True)


@eager
def where(condition: Tensor, a: Operand, b: Operand) -> Tensor:
    """a where the condition holds, b elsewhere; shapes broadcast."""
    values = [value for value in (a, b) if isinstance(value, (Tensor, np.ndarray))]
    if values:
        chosen = operands("where", a, b)
    else:
        chosen = [as_node(value, _like(np.dtype(np.float32), condition)) for value in (a, b)]
    return apply(_where, *aligned("where", [as_node(condition), *chosen]))


@eager
def clip(x: Tensor, low: Operand, high: Operand) -> Tensor:
    """min(max(x, low), high), elementwise; shapes broadcast."""
    limited: Tensor = minimum(maximum(x, low), high)
    return limited


@eager
def cast(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype: floats lose their fraction in integers, everything but 0 is True in bool."""
    node = as_node(x)
    return convert(node, check_dtype(dtype, node.device, "cast"))


@dataclass(frozen=True)
class Stop(Pointwise):
    """x, of which gradients see nothing."""

    inline = True

    def infer(self, *inputs: Spec) -> Spec:
        return inputs[0]

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return self, inputs

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        return emitter.value(node.inputs[0], index)


@eager
def stop_gradient(x: Tensor) -> Tensor:
    """x, as a constant for gradients."""
    return apply(Stop(), as_node(x))


def elementwise(name: str, expression: str, derivative: str | None = None) -> Callable[[Tensor], Tensor]:
    """An op of one's own: y = expression(x), C over `x`; dx = derivative(x, y, dy), C over `x`, `y` and `dy`.

    `elementwise("softsign", "x / (1 + fabs(x))", "dy / ((1 + fabs(x)) * (1 + fabs(x)))")`. Both may use every builtin
    of OpenCL C. Without a derivative its gradient is an error, as is a second derivative.
    """
    if not name.isidentifier():
        raise ArgumentError(f"elementwise: got the name {name!r}, wanted an identifier")

    def no_gradient(*_: Any) -> Sequence[Tensor | None]:
        raise ArgumentError(f"{name}: has no derivative of this order; give one as an expression over ops")

    def rule(x: Node, y: Node, dy: Tensor) -> list[Tensor | None]:
        if derivative is None:
            no_gradient()
        return [apply(_own(f"{name}_backward", str(derivative), ("x", "y", "dy"), x.dtype, no_gradient), x, y, dy)]

    def function(x: Tensor) -> Tensor:
        (node,) = operands(name, x, floating=True)
        return apply(_own(name, expression, ("x",), node.dtype, rule), node)

    return _named(function, name, f"y = {expression}, elementwise.")


def _own(name: str, expression: str, arguments: Sequence[str], dtype: np.dtype[Any], rule: Rule) -> Elementwise:
    """A user's expression as a C function of its own."""
    kind = value_type(dtype)
    parameters = ", ".join(f"const {kind} {argument}" for argument in arguments)
    unique = f"user_{name}_{zlib.crc32(expression.encode()):08x}"  # two ops of one name may meet in a plan
    definition = f"static inline {kind} {unique}({parameters}) {{ return {expression}; }}"
    call = ", ".join(f"{{{position}}}" for position in range(len(arguments)))
    return Elementwise(name, f"{unique}({call})", rule, (definition,))
