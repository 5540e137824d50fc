"""Layer: a function of tensors that owns named variables.

    class Scale(nn.Layer):
        def setup(self, shape):                                     # once, when the first input's shape is known
            self.add_variable("factor", shape[-1:], "ones")         # becomes self.factor

        def call(self, x, *, training=False):
            return x * self.factor

Layers and Variables that are attributes, or in lists, tuples and dicts that are attributes, belong to the layer; the
path of attributes names them: "left/weight", "blocks/0/bias".
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from clnet import trace, tree
from clnet.device import Device
from clnet.device import device as find
from clnet.errors import ArgumentError, DTypeError, ShapeError
from clnet.graph import Spec
from clnet.nn.initializers import Initializer, InitializerName, initializer
from clnet.tensor import Tensor
from clnet.variable import Variable

Shape: TypeAlias = tuple[int, ...]
Seed: TypeAlias = int | tuple[int, ...]  # of a network, or of each of many that are trained at once
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """What a layer's variables are made from: the seed and the layer's path choose their values."""

    seed: Seed
    path: str
    device: Device
    dtype: np.dtype[Any]

    def rngs(self, name: str) -> list[np.random.Generator]:
        """Philox keyed by (seed, path of the variable), for each network: no value depends on what else there is."""
        stream = fingerprint(f"{self.path}/{name}")
        seeds = (self.seed,) if isinstance(self.seed, int) else self.seed
        return [np.random.Generator(np.random.Philox(key=[seed, stream])) for seed in seeds]


class Layer:
    """y = call(x): subclasses give `call`, and `setup` where they have variables; `__init__` need not be called.

    `trainable`: False freezes every variable below this layer, which then computes as in inference: batch statistics
    stay what they are, and nothing is dropped.
    """

    trainable: bool = True
    output_shape: Any = None  # of the last call; a tuple or dict of shapes where there are several outputs
    signature: tuple[Any, Any] | None = None  # of the first call: its positional and named inputs, `Spec` for tensor
    _place: Place | None = None
    _is_set_up: bool = False

    def setup(self, *shapes: Any, **named: Any) -> None:
        """Make the variables for inputs of these shapes, (batch, ...) each."""

    def call(self, *inputs: Any, **named: Any) -> Any:
        """The layer's result: `call(self, x, *, training=False)`, with as many tensors as the layer wants."""
        raise NotImplementedError(f"{self.name}: a layer needs a method call(self, x, *, training=False)")

    def __call__(self, *inputs: Any, training: bool = False, **named: Any) -> Any:
        """The layer's result; at the first call the variables of all layers below are made, with seed 0."""
        tensors = [value for value in (*inputs, *named.values()) if isinstance(value, Tensor)]
        if not tensors:
            raise DTypeError(f"{self.name}: got {[type(value).__name__ for value in inputs]}, wants a clnet tensor")
        if self._place is None:
            self._settle(0, tensors[0].device, _float(tensors[0].dtype))
        if not self._is_set_up:
            self.setup(*(tensor.shape for tensor in tensors))
            self.signature = (tree_map(_spec, inputs), tree_map(_spec, named))
            self._is_set_up = True
        outputs = self.call(*inputs, training=training and self.trainable, **named)
        self.output_shape = tree_map(_shape, outputs)
        return outputs

    def build(
        self, *shapes: tuple[int | None, ...], seed: Seed = 0, device: object = None, dtype: npt.DTypeLike = np.float32
    ) -> None:
        """Make all variables for inputs of these shapes, one an input, the batch first: `build((None, 784))`.

        The batch's size does not matter and may be None; a shape of one axis, (784,), is that of a sample. dtype: of
        the inputs; float64 inputs get float64 weights. Variables that exist already keep their values, so a network
        may contain one that has been trained. Nothing runs on the device. With a tuple of seeds the variables hold the
        values of as many networks (`Variable.stack`).
        """
        home, kind = find(device), np.dtype(dtype)
        samples = [tuple(1 if extent is None else extent for extent in shape) for shape in shapes]
        specs = tuple(Spec(shape if len(shape) > 1 else (1, *shape), kind) for shape in samples)
        self.build_like(specs, {}, seed=seed, device=home, dtype=_float(kind))

    def build_like(
        self,
        inputs: tuple[Any, ...],
        named: dict[str, Any],
        *,
        seed: Seed,
        device: Device,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        """`build` for any inputs: nests of `Spec` in place of the tensors that a call gets; dtype is the weights'."""
        self._settle(seed, device, np.dtype(dtype))
        with trace.tracing(device) as going_on:
            numbers = itertools.count()

            def node(spec: Spec) -> Tensor:
                return trace.input_node(going_on, next(numbers), Tensor(spec.shape, spec.dtype, device, None))

            self(*tree_map(node, inputs), **tree_map(node, named))

    def add_variable(
        self,
        name: str,
        shape: Shape,
        start: InitializerName | Initializer,
        *,
        trainable: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> Variable:
        """A new Variable, kept as the attribute `name`. dtype: default that of the network, float32 or float64."""
        if self._place is None:
            raise ArgumentError(f"{self.name}: add_variable({name!r}) belongs in setup, which knows the device")
        kind = np.dtype(self._place.dtype if dtype is None else dtype)
        values = np.stack([np.asarray(initializer(start)(shape, rng), kind) for rng in self._place.rngs(name)])
        if values.shape[1:] != tuple(shape):
            raise ShapeError(f"{self.name}: initializer of {name} gave shape {values.shape[1:]}, wants {tuple(shape)}")
        path = f"{self._place.path}/{name}".lstrip("/")
        variable = Variable(values[0], device=self._place.device, name=path, trainable=trainable)
        if not isinstance(self._place.seed, int):
            variable.stack(values)
        setattr(self, name, variable)
        return variable

    def members(self) -> Iterator[tuple[str, Layer | Variable]]:
        """(name, layer or variable) of what belongs to this layer directly, in order of assignment."""
        for name, value in vars(self).items():
            yield from _named(name, value)

    def walk(self) -> Iterator[tuple[str, Layer | Variable, bool]]:
        """(path, layer or variable, whether nothing above is frozen), each once, this layer itself first under ""."""
        seen = {id(self)}
        stack: list[tuple[str, Layer | Variable, bool]] = [("", self, True)]
        while stack:
            path, member, free = stack.pop()
            yield path, member, free
            if isinstance(member, Layer):
                below = [(f"{path}/{name}".lstrip("/"), each) for name, each in member.members()]
                fresh = [(where, each) for where, each in below if id(each) not in seen]
                seen.update(id(each) for _, each in fresh)
                stack.extend((where, each, free and member.trainable) for where, each in reversed(fresh))

    def variables(self) -> dict[str, Variable]:
        """Path -> Variable of all layers: weights, and states such as counters, whose `trainable` is False."""
        return {path: member for path, member, _ in self.walk() if isinstance(member, Variable)}

    def trainable_variables(self) -> dict[str, Variable]:
        """Path -> Variable of what training changes by gradients."""
        walk = self.walk()
        return {path: each for path, each, free in walk if isinstance(each, Variable) and each.trainable and free}

    def penalty(self) -> Tensor | float:
        """What the regularizers of all layers say of their variables, frozen ones too: a tensor of shape (); 0 if none.

        The attribute `<name>_regularizer` of a layer, a function of a tensor, belongs to its variable `<name>`.
        """
        found: Tensor | float = 0.0
        for _, layer, _ in self.walk():
            for name, member in layer.members() if isinstance(layer, Layer) else ():
                regularizer = getattr(layer, f"{name}_regularizer", None)
                if regularizer is not None and isinstance(member, Variable):
                    found = regularizer(member) + found
        return found

    @property
    def name(self) -> str:
        """What errors and summaries call it."""
        return type(self).__name__

    def _settle(self, seed: Seed, device: Device, dtype: np.dtype[Any]) -> None:
        if not all(0 <= each <= LARGEST_SEED for each in ((seed,) if isinstance(seed, int) else seed)):
            raise ArgumentError(f"{self.name}: seed is {seed}, wants 0 to {LARGEST_SEED}")
        for path, member, _ in self.walk():
            if isinstance(member, Layer) and not member._is_set_up:
                member._place = Place(seed, path, device, dtype)

    def __repr__(self) -> str:
        return f"{self.name}()"


def fingerprint(path: str) -> int:
    """64 bits that stand for a path, the same in every process (Python's own hash is not)."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "little")


def features(layer: Layer, x: Tensor, wanted: int) -> None:
    """`ShapeError` unless the last axis of x has the size that the layer's weights want."""
    if x.ndim < 2 or x.shape[-1] != wanted:
        got = f"input has {x.shape[-1]} features" if x.ndim > 1 else f"input has shape {x.shape}, not (batch, features)"
        raise ShapeError(f"{layer.name}: {got}, weights want {wanted}")


def tree_map(function: Callable[[Any], Any], nest: Any) -> Any:
    """The nest of tuples, lists and dicts with function(leaf) for each tensor, array and `Spec`; all else stays."""
    leaves, structure = tree.flatten(nest, lambda value: isinstance(value, (Tensor, np.ndarray, Spec)))
    return tree.unflatten(structure, iter([function(leaf) for leaf in leaves]))


def _shape(tensor: Tensor) -> Shape:
    return tensor.shape


def _spec(tensor: Tensor) -> Spec:
    return Spec(tensor.shape, tensor.dtype)


def _named(path: str, value: Any) -> Iterator[tuple[str, Layer | Variable]]:
    if isinstance(value, (Layer, Variable)):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _named(f"{path}/{key}", each)
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from _named(f"{path}/{index}", each)


def _float(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.float32)
