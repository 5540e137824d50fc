"""Random numbers from counters: a function of (seed, stream, counter, element), the same on every device.

Nothing is stored: the backward pass computes a mask again. Source: Philox 4x32-10, see kernels_cl/random.cl.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clnet.compiled import eager
from clnet.errors import ArgumentError
from clnet.graph import Constant, Emitter, Node, Op, Pointwise, Routine, Spec
from clnet.index import Index, Var
from clnet.kernels import Launch, define, read
from clnet.lowering import Epilogue, Lowering, Target
from clnet.ops.elementwise import convert, cos, less, log, operands, sqrt, where
from clnet.tensor import Tensor
from clnet.trace import all_widened, apply, as_node

BLOCK = 256  # elements of a permutation that a core walks side by side
GROUP = 64  # work-items of a GPU, each with one element


@dataclass(frozen=True)
class Key:
    """What random numbers are a function of, beside their place in the tensor.

    `seed`: of a model or a run, or of each of many networks; `stream`: who asks (a layer's path as a number);
    `counter`: the step, a number or an integer tensor of shape ().
    """

    seed: int | tuple[int, ...]
    stream: int = 0
    counter: Tensor | int = 0

    def folded(self, number: int) -> Key:
        """The key of another stream, for a second tensor of the same step."""
        return Key(self.seed, (self.stream * 0x9E3779B1 + (number + 1) * 0x85EBCA6B) & 0xFFFFFFFF, self.counter)


@dataclass(frozen=True)
class Random(Pointwise):
    """What an element draws from its counter."""

    shape: tuple[int, ...]
    seed: int | tuple[int, ...]  # of each network
    stream: int
    title: str

    @property
    def name(self) -> str:
        return self.title

    @property
    def networks(self) -> int:
        return len(self.seed) if isinstance(self.seed, tuple) else 0

    def infer(self, *inputs: Spec) -> Spec:
        return Spec(self.shape, np.dtype(np.float32))

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        assert isinstance(self.seed, int)
        words = [emitter.scalar(word & 0xFFFFFFFF, np.dtype(np.uint32)) for word in (self.seed, self.seed >> 32)]
        return self.drawn(emitter, index, emitter.value(node.inputs[0], ()), words)

    def drawn(self, emitter: Emitter, index: Index, counter: str, words: Sequence[str]) -> str:
        """The C expression of a draw, given the words of the seed."""
        emitter.define("random.cl")
        stream = emitter.scalar(self.stream, np.dtype(np.uint32))
        key = f"(uint){counter}, {stream}, {', '.join(words)}"
        return f"unit(philox((uint)({emitter.code(index, self.shape)}), {key}))"

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        """What each network would draw alone, by its own seed."""
        each = RandomOfEach(self.shape, 0, self.stream, self.title)
        return each, [*all_widened(inputs, many, networks), as_node(_words(self.seed, networks))]


@dataclass(frozen=True)
class RandomOfEach(Random):
    """result[i] is what network i draws, by counters (networks,) and words of the seeds (networks, 2)."""

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((*inputs[0].shape, *self.shape), super().infer(*inputs).dtype)

    def emit(self, node: Node, index: Index, emitter: Emitter) -> str:
        counter, words = node.inputs
        low, high = (emitter.value(words, (index[0], Var(place, 2))) for place in "01")
        return self.drawn(emitter, index[1:], emitter.value(counter, index[:1]), (low, high))


@dataclass(frozen=True)
class Permutation(Routine):
    """Where each of `samples` goes in a random order: (samples,), or of each network (networks, samples).

    Inputs: the counter (), or counters (networks,) and words of the seeds (networks, 2).
    """

    samples: int
    seed: int | tuple[int, ...]
    stream: int
    each: bool = False  # whether its inputs are those of many networks
    fuses = False

    @property
    def networks(self) -> int:
        return len(self.seed) if isinstance(self.seed, tuple) else 0

    def infer(self, *inputs: Spec) -> Spec:
        return Spec((*inputs[0].shape, self.samples), np.dtype(np.int32))

    def runs(self, node: Node) -> tuple[int, int]:
        return 0, 0

    def multiply_adds(self, node: Node) -> float:
        return 2000.0 * node.size  # 40 ns for each

    def lower(self, node: Node, operands: Sequence[Hashable], epilogue: Epilogue, target: Target) -> Lowering:
        if not node.size:
            return Lowering(())
        words = operands[1] if self.each else _words(self.seed, 1).tobytes()
        block = 1 if target.gpu else BLOCK
        source = define(BLOCK=block) + read("random.cl") + read("permutation.cl")
        arguments = (epilogue.arguments[0], operands[0], words, np.int32(self.samples), np.uint32(self.stream))
        wide = GROUP if target.gpu else 1
        grid = (-(-self.samples // (block * wide)) * wide, node.size // self.samples)
        return Lowering((Launch(source, "permutation", arguments, grid, (wide, 1)),))

    def stacked(self, inputs: Sequence[Node], many: Sequence[bool], networks: int) -> tuple[Op, Sequence[Node]]:
        return replace(self, seed=0, each=True), [
            *all_widened(inputs, many, networks),
            as_node(_words(self.seed, networks)),
        ]


def _words(seed: int | tuple[int, ...], networks: int) -> np.ndarray[Any, Any]:
    """Two words of each network's seed, (networks, 2)."""
    seeds = seed if isinstance(seed, tuple) else (seed,) * networks
    return np.array([(each & 0xFFFFFFFF, each >> 32) for each in seeds], np.uint32)


def _draw(title: str, shape: int | Sequence[int], key: Key) -> Node:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    seed, stream, counter = _parts(title, key)
    return apply(Random(wanted, seed, stream, title), counter)


def _parts(who: str, key: Key) -> tuple[int | tuple[int, ...], int, Node]:
    """Seed, stream and counter as the kernels take them; networks of one seed share what they draw."""
    if not isinstance(key, Key):
        raise ArgumentError(f"{who}: got key {key!r}, wanted an ops.Key(seed, stream, counter)")
    seeds = (key.seed,) if isinstance(key.seed, int) else key.seed
    words = tuple(seed & 0xFFFFFFFFFFFFFFFF for seed in seeds)
    counter = convert(as_node(key.counter), np.dtype(np.int32))
    return words[0] if len(set(words)) == 1 else words, key.stream & 0xFFFFFFFF, counter


@eager
def random_uniform(shape: int | Sequence[int], *, key: Key, device: Any = None) -> Tensor:
    """float32 uniform in [0, 1), in steps of 2^-24."""
    return _draw("random_uniform", shape, key)


@eager
def random_normal(shape: int | Sequence[int], *, key: Key, device: Any = None) -> Tensor:
    """float32 of mean 0 and deviation 1. Source: Box and Muller (1958)."""
    radius = sqrt(log(1 - _draw("random_uniform", shape, key)) * -2.0)
    angle = _draw("random_uniform", shape, key.folded(0)) * (2 * math.pi)
    normal: Tensor = radius * cos(angle)
    return normal


@eager
def permutation(n: int, *, key: Key, device: Any = None) -> Tensor:
    """0 .. n-1 in a random order, int32; each element is computed on its own."""
    seed, stream, counter = _parts("permutation", key)
    if isinstance(counter.op, Constant):  # kernels take it from memory
        counter = as_node(np.asarray(counter.op.value))
    return apply(Permutation(n, seed, stream), counter)


@eager
def dropout(x: Tensor, rate: float, *, key: Key) -> Tensor:
    """x / (1 - rate) with probability 1 - rate, else 0. Source: Srivastava et al., JMLR 15 (2014)."""
    if not 0 <= rate < 1:
        raise ArgumentError(f"dropout: got rate {rate}, wanted 0 <= rate < 1")
    (node,) = operands("dropout", x, floating=True)
    if rate == 0:
        return node
    drawn = _draw("random_uniform", node.shape, key)
    return where(less(drawn, rate), 0.0, node * (1 / (1 - rate)))
