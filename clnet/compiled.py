"""compile: a function of tensors becomes a plan for each tuple of input shapes; value_and_grad; eager ops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from clnet import trace, tree
from clnet.device import Device
from clnet.device import device as find
from clnet.errors import ArgumentError, ShapeError
from clnet.graph import Routine, gradients
from clnet.plan import Options, Plan
from clnet.plan.build import build
from clnet.stacking import stacked
from clnet.tensor import Tensor, tensor
from clnet.variable import Variable

P = ParamSpec("P")
R = TypeVar("R")


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or type(value).__module__ == "pyopencl.array"


class Compiled:
    """A function with a plan for each key: the tree of its arguments, their shapes and dtypes, and all other values."""

    def __init__(self, function: Callable[..., Any], device: Any, options: Options) -> None:
        self.function, self._where, self.options = function, device, options
        self._plans: dict[Hashable, tuple[Plan, Hashable]] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        going_on = trace.current()
        if going_on is not None:
            return self.function(*args, **kwargs)
        plan, structure, inputs = self._find(args, kwargs)
        results = plan(*inputs)
        return results[0] if structure is tree.LEAF else tree.unflatten(structure, iter(results))

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """The plan for these arguments, made now if need be, with these arguments bound for `replay`."""
        plan, _, inputs = self._find(args, kwargs)
        plan.bind(*inputs)
        return plan

    def tune(self, *args: Any, seconds: float = 0.2, **kwargs: Any) -> Plan:
        """Measure which form suits each routine of the plan for these arguments, and make the plan anew.

        `seconds`: for each routine, building not counted. The choice is kept on disk, for this device and driver, and
        found by every later plan; it changes no bit of a result.
        """
        plan, _, inputs = self._find(args, kwargs)
        alike = {(node.op, *(source.spec for source in node.inputs)): node for node in plan.routines}
        for node in alike.values():
            assert isinstance(node.op, Routine)
            node.op.tune(node, seconds)
        self._plans = {key: found for key, found in self._plans.items() if found[0] is not plan}
        plan, _, inputs = self._find(args, kwargs)
        plan.bind(*inputs)
        return plan

    def release(self) -> None:
        """Let every plan go of the arguments of its last run, so that their memory can be freed."""
        for plan, _ in self._plans.values():
            plan.release()

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Plan, Hashable, Sequence[Tensor]]:
        kinds = tuple([(each.shape, each.dtype, each.device) if type(each) is Tensor else None for each in args])
        found = None if kwargs else self._plans.get(kinds)
        if found is not None:  # tensors alone are known without a walk through their nest, which takes 12 us
            return *found, args
        leaves, structure = tree.flatten((args, kwargs), _is_array)
        device = self._device(leaves)
        inputs = [leaf if isinstance(leaf, Tensor) else tensor(leaf, device=device) for leaf in leaves]
        if any(isinstance(value, Variable) and value.memory is not value for value in inputs):
            raise ArgumentError(
                "compile: got a Variable of many networks as an argument; a compiled function captures it instead"
            )
        key = (structure, device, *((value.shape, value.dtype) for value in inputs))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = _freeze(self.function, structure, inputs, device, self.options)
        if args and not kwargs and None not in kinds:
            self._plans[kinds] = found
        return *found, inputs

    def _device(self, leaves: Sequence[Any]) -> Device:
        """The device asked for, else the one of the tensors."""
        homes = {leaf.device for leaf in leaves if isinstance(leaf, Tensor)}
        if self._where is not None:
            homes.add(find(self._where))
        if len(homes) > 1:
            names = " and ".join(sorted(home.name for home in homes))
            raise ArgumentError(f"{self.function.__name__}: got tensors on {names}, wanted all on one device")
        return homes.pop() if homes else find(None)


def compile(
    function: Callable[..., Any],
    *,
    device: Any = None,
    gemm: str = "auto",
    form: Literal["auto", "cpu", "gpu"] = "auto",
) -> Compiled:
    """A function that runs as frozen plans, one for each tuple of input shapes.

    `function` takes and returns tensors in any nest of tuples, lists and dicts; arrays are uploaded, all other
    arguments are part of the plan. Python runs once a plan, so loops unroll and conditions are decided then.
    `gemm`: who multiplies matrices: "auto" (the form that `tune` measured for a shape, else the likely best), "rule"
    (always the likely best), "reikna", or a name of `clnet.gemm.forms`. `form`: kernels for a CPU or a GPU, anywhere.
    """
    return Compiled(function, device, Options(gemm=gemm, form=form))


def _freeze(
    function: Callable[..., Any], structure: Hashable, inputs: Sequence[Tensor], device: Device, options: Options
) -> tuple[Plan, Hashable]:
    """(plan, structure of the results) of a function for inputs like these."""
    with trace.tracing(device) as going_on:
        nodes = [trace.input_node(going_on, position, value) for position, value in enumerate(inputs)]
        args, kwargs = tree.unflatten(structure, iter(nodes))
        returned = function(*args, **kwargs)
        leaves, out = tree.flatten(returned, _is_array)
        results = [trace.as_node(leaf) for leaf in leaves]
        going_on, results = stacked(going_on, results)
        outputs, assignments = going_on.finish(results)
    return build(outputs, assignments, device, options), out


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """An op that can be called anywhere: part of the graph inside a trace, outside a plan of its own at once.

    Plans are kept by the device, keyed like those of `compile`.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if trace.current() is not None:
            return function(*args, **kwargs)
        leaves, _ = tree.flatten((args, kwargs), _is_array)
        home = next((leaf.device for leaf in leaves if isinstance(leaf, Tensor)), None)
        if home is None:
            where = kwargs.get("device")
            if where is None and leaves:
                raise ArgumentError(f"{function.__name__}: got no tensor among its arguments; use clnet.tensor(array)")
            home = find(where)
        compiled = home.cache(("eager", function), lambda: Compiled(function, home, Options()))
        return compiled(*args, **kwargs)  # type: ignore[no-any-return]

    return call


Wrt = int | Sequence[int] | Variable | Sequence[Variable] | Mapping[str, Variable]


class Gradients(dict[str, Tensor]):
    """Gradients by path, and the `variables` that they belong to."""

    variables: Mapping[str, Variable]

    def __init__(self, found: Mapping[str, Tensor], variables: Mapping[str, Variable]) -> None:
        super().__init__(found)
        self.variables = variables


def value_and_grad(function: Callable[..., Any], wrt: Wrt = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns (value, gradients): d value / d what `wrt` names, in the shape of `wrt`.

    `wrt`: the position of an argument, several of them, Variables (one, a list, or a dict by path, of which the
    trainable ones count; the result is then `Gradients`). `function` returns a tensor of shape (), or with `has_aux`
    a pair of it and anything else. Outside a trace it is compiled; inside, it becomes part of the graph.
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        going_on = trace.current()
        assert going_on is not None
        args = tuple(trace.as_node(value) if _is_array(value) else value for value in args)
        returned = function(*args, **kwargs)
        loss = trace.as_node(returned[0] if has_aux else returned)
        if loss.shape != () or loss.dtype.kind != "f":
            raise ShapeError(
                f"value_and_grad: got a value of shape {loss.shape} and dtype {loss.dtype}, wanted a float of shape ()"
            )
        targets, rebuild = _targets(wrt, args)
        nodes = [trace.as_node(target) for target in targets]
        found = gradients(loss, nodes, going_on.constant(1, loss.dtype))
        filled = [
            going_on.filled(0, node.shape, node.dtype) if dx is None else dx
            for node, dx in zip(nodes, found, strict=True)
        ]
        return (returned if has_aux else loss), rebuild(filled)

    compiled = Compiled(traced, _home(wrt), Options())

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if trace.current() is not None:
            return traced(*args, **kwargs)
        value, found = compiled(*args, **kwargs)
        return value, (Gradients(found, _trainable(wrt)) if isinstance(wrt, Mapping) else found)

    return call


def _home(wrt: Wrt) -> Device | None:
    """The device of the Variables that `wrt` names, if it names any."""
    named = wrt.values() if isinstance(wrt, Mapping) else wrt if isinstance(wrt, Sequence) else [wrt]
    return next((each.device for each in named if isinstance(each, Variable)), None)


def _trainable(wrt: Mapping[str, Variable]) -> dict[str, Variable]:
    return {path: variable for path, variable in wrt.items() if variable.trainable}


def _targets(wrt: Wrt, args: Sequence[Any]) -> tuple[list[Any], Callable[[list[Tensor]], Any]]:
    """The tensors to differentiate by, and what shapes the gradients like `wrt`."""
    if isinstance(wrt, Variable):
        return [wrt], lambda found: found[0]
    if isinstance(wrt, int):
        return [_argument(wrt, args)], lambda found: found[0]
    if isinstance(wrt, Mapping):
        kept = _trainable(wrt)
        return list(kept.values()), lambda found: Gradients(dict(zip(kept, found, strict=True)), kept)
    chosen = [each if isinstance(each, Variable) else _argument(each, args) for each in wrt]
    return chosen, list if isinstance(wrt, list) else tuple


def _argument(position: int, args: Sequence[Any]) -> Tensor:
    if not -len(args) <= position < len(args) or not isinstance(args[position], Tensor):
        raise ArgumentError(
            f"value_and_grad: wrt={position}, but there are {len(args)} arguments and it must be a tensor"
        )
    found: Tensor = args[position]
    if found.dtype.kind != "f":
        raise ArgumentError(f"value_and_grad: argument {position} is {found.dtype}, wanted a float")
    return found


def hvp(function: Callable[..., Any], wrt: Wrt = 0) -> Callable[..., Any]:
    """A function (vectors, *arguments) that returns H v, H the second derivatives of `function` by what `wrt` names.

    `vectors` and the result have the shape of the gradients that `value_and_grad(function, wrt)` gives. H itself is
    never there: it is the gradient of (gradient . v), which costs about as much as two gradients (Pearlmutter 1994).
    Outside a trace it is compiled; inside, it becomes part of the graph. `ArgumentError`, with its name, for an op
    that has no second derivative.
    """

    def slope(*args: Any, vectors: Any, **kwargs: Any) -> Any:
        _, found = value_and_grad(function, wrt)(*args, **kwargs)
        along, given = (tree.flatten(nest, _is_array) for nest in (found, vectors))
        if [each.shape for each in along[0]] != [each.shape for each in given[0]]:
            raise ShapeError(
                f"hvp: got vectors of shapes {[each.shape for each in given[0]]}, wanted those of the gradients, "
                f"{[each.shape for each in along[0]]}"
            )
        terms = [(one * other).sum() for one, other in zip(along[0], given[0], strict=True)]
        return functools.reduce(lambda a, b: a + b, terms)

    product = value_and_grad(slope, wrt)

    def call(vectors: Any, *args: Any, **kwargs: Any) -> Any:
        return product(*args, vectors=vectors, **kwargs)[1]

    return call
