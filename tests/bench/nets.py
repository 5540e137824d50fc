"""Networks as data: the layers that each side builds from one description, with their shapes, weights and operations.

A network is a list of layers, dicts that JSON can hold, made by the functions here; `parts` walks it for samples of a
shape. Weights have clnet's paths and layouts: (inputs, outputs), kernels (height, width, inputs, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Layer = dict[str, Any]
Shape = tuple[int, ...]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def dense(units: int, activation: str | None = None) -> Layer:
    return {"kind": "dense", "units": units, "activation": activation}


def conv(filters: int, size: int, *, padding: int = 0, activation: str | None = None) -> Layer:
    return {"kind": "conv", "filters": filters, "size": size, "padding": padding, "activation": activation}


def depthwise(size: int, *, padding: int = 0) -> Layer:
    """Without bias."""
    return {"kind": "depthwise", "size": size, "padding": padding}


def norm() -> Layer:
    """Batch normalization and ReLU."""
    return {"kind": "norm"}


def pool() -> Layer:
    """The maximum of 2 x 2."""
    return {"kind": "pool"}


def flatten() -> Layer:
    return {"kind": "flatten"}


def mean() -> Layer:
    """Over all axes but the batch and the last."""
    return {"kind": "mean"}


def residual(*layers: Layer) -> Layer:
    return {"kind": "residual", "layers": list(layers)}


def recurrent(kind: str, units: int, *, sequences: bool = False) -> Layer:
    """kind: rnn, gru or lstm; sequences: the state after each step, else after the last."""
    return {"kind": kind, "units": units, "sequences": sequences}


def encoder(heads: int, hidden: int, *, gpt: bool = False) -> Layer:
    """A transformer's layer as in the paper; gpt: GELU, normalized first, causal."""
    return {"kind": "encoder", "heads": heads, "hidden": hidden, "gpt": gpt}


def embedding(rows: int, width: int) -> Layer:
    return {"kind": "embedding", "rows": rows, "width": width}


def position() -> Layer:
    """A learned vector for each step, added."""
    return {"kind": "position"}


def layer_norm() -> Layer:
    return {"kind": "layer_norm"}


def mlp(*sizes: int, activation: str = "relu") -> list[Layer]:
    *hidden, last = sizes
    return [*(dense(units, activation) for units in hidden), dense(last)]


@dataclass(frozen=True)
class Part:
    """A layer of a network for samples of the shape `inputs`.

    multiply_adds: of a sample, forward; as many again for the gradient by the weights, and by the input, of which
    `by_input` are not needed where the input is data.
    """

    layer: Layer
    path: str
    inputs: Shape
    outputs: Shape
    weights: dict[str, Shape] = field(default_factory=dict)  # name -> shape
    multiply_adds: int = 0
    by_input: int = 0
    inner: tuple[Part, ...] = ()  # of a residual block

    @property
    def kind(self) -> str:
        kind: str = self.layer["kind"]
        return kind

    def __getitem__(self, option: str) -> Any:
        return self.layer[option]


def parts(layers: Sequence[Layer], shape: Shape, path: str = "") -> tuple[Part, ...]:
    """The layers with what they are for samples of this shape."""
    found: list[Part] = []
    for place, layer in enumerate(layers):
        found.append(_part(layer, f"{path}{place}", tuple(shape)))
        shape = found[-1].outputs
    return tuple(found)


def flat(all_parts: Sequence[Part]) -> Iterator[Part]:
    """The parts and those inside them."""
    for part in all_parts:
        yield part
        yield from flat(part.inner)


def _part(layer: Layer, path: str, shape: Shape) -> Part:
    kind, last = layer["kind"], shape[-1]
    if kind == "dense":
        units, rows = layer["units"], math.prod(shape[:-1])
        work = rows * last * units
        return Part(layer, path, shape, (*shape[:-1], units), {"weight": (last, units), "bias": (units,)}, work, work)
    if kind in ("conv", "depthwise"):
        size, filters = layer["size"], layer.get("filters", last)
        rows, columns = (extent + 2 * layer["padding"] - size + 1 for extent in shape[:2])
        weights = {"weight": (size, size, last if kind == "conv" else 1, filters)}
        weights |= {"bias": (filters,)} if kind == "conv" else {}
        work = rows * columns * math.prod(weights["weight"])
        return Part(layer, path, shape, (rows, columns, filters), weights, work, work)
    if kind in ("norm", "layer_norm"):
        return Part(layer, path, shape, shape, {"gamma": (last,), "beta": (last,)})
    if kind == "pool":
        return Part(layer, path, shape, (shape[0] // 2, shape[1] // 2, last))
    if kind == "flatten":
        return Part(layer, path, shape, (math.prod(shape),))
    if kind == "mean":
        return Part(layer, path, shape, (last,))
    if kind == "residual":
        inner = parts(layer["layers"], shape, f"{path}/layer/")
        return Part(layer, path, shape, shape, inner=inner)
    if kind == "embedding":
        return Part(layer, path, shape, (*shape, layer["width"]), {"weight": (layer["rows"], layer["width"])})
    if kind == "position":
        return Part(layer, path, shape, shape, {"weight": shape})
    return _encoder(layer, path, shape) if kind == "encoder" else _recurrent(layer, path, shape)


def _recurrent(layer: Layer, path: str, shape: Shape) -> Part:
    (steps, features), units = shape, layer["units"]
    columns = GATES[layer["kind"]] * units
    weights: dict[str, Shape] = {"weight": (features, columns), "recurrent_weight": (units, columns)}
    weights |= {"bias": (columns,)} | ({"recurrent_bias": (columns,)} if layer["kind"] == "gru" else {})
    outputs = (steps, units) if layer["sequences"] else (units,)
    projected = steps * features * columns
    return Part(layer, path, shape, outputs, weights, projected + steps * units * columns, projected)


def _encoder(layer: Layer, path: str, shape: Shape) -> Part:
    (steps, d), hidden = shape, layer["hidden"]
    weights: dict[str, Shape] = {"attention/input_weight": (d, 3 * d), "attention/input_bias": (3 * d,)}
    weights |= {"attention/output_weight": (d, d), "attention/output_bias": (d,)}
    weights |= {"hidden/weight": (d, hidden), "hidden/bias": (hidden,)}
    weights |= {"output/weight": (hidden, d), "output/bias": (d,)}
    weights |= {f"norms/{n}/{name}": (d,) for n in (0, 1) for name in ("gamma", "beta")}
    scores = 2 * steps * steps * d // (2 if layer["gpt"] else 1)  # half of them are masked
    return Part(layer, path, shape, shape, weights, steps * (4 * d * d + 2 * d * hidden) + scores, 0)


def initial(all_parts: Sequence[Part], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Path -> first value: Glorot's for what multiplies, 1 for what scales, 0 for what is added."""
    values = {}
    for part in flat(all_parts):
        for name, shape in part.weights.items():
            if len(shape) > 1:
                limit = math.sqrt(6 / ((shape[-2] + shape[-1]) * math.prod(shape[:-2])))
                value = random.uniform(-limit, limit, shape)
            else:
                value = np.full(shape, float(name.endswith("gamma")))
            values[f"{part.path}/{name}"] = value.astype(np.float32)
    return values
