"""The networks of nets.py as PyTorch's modules, with the weights that all sides begin with."""

from typing import Any

import nets
import numpy as np
import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
RECURRENT = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"gru": [1, 0, 2]}  # its gates are r, z, n, clnet's z, r, n
ENCODER = [
    *(f"attention/{part}" for part in ("input_weight", "input_bias", "output_weight", "output_bias")),
    *("hidden/weight", "hidden/bias", "output/weight", "output/bias"),
    *("norms/0/gamma", "norms/0/beta", "norms/1/gamma", "norms/1/beta"),
]


class Recurrent(nn.Module):
    """A recurrent layer without the tuple. An LSTM's second bias does not learn: clnet has one, as Keras has."""

    def __init__(self, part: nets.Part) -> None:
        super().__init__()
        self.sequences = part["sequences"]
        self.body = RECURRENT[part.kind](part.inputs[-1], part["units"], batch_first=True)
        self.body.bias_hh_l0.requires_grad_(part.kind == "gru")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)[0]
        return y if self.sequences else y[:, -1]


class Encoder(nn.Module):
    def __init__(self, part: nets.Part) -> None:
        super().__init__()
        gpt = {"activation": "gelu", "norm_first": True} if part["gpt"] else {}
        steps, features = part.inputs
        self.body = nn.TransformerEncoderLayer(features, part["heads"], part["hidden"], 0.0, batch_first=True, **gpt)
        mask = nn.Transformer.generate_square_subsequent_mask(steps) if part["gpt"] else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, src_mask=self.mask, is_causal=self.mask is not None)


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Position(nn.Module):
    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


class Mean(nn.Module):
    """Over the steps of a sequence, or the places of a picture, whose channels come first here."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3) if x.ndim == 4 else 1)


class Flatten(nn.Module):
    """In clnet's order, so that weights agree; a copy only where pictures are not channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def module(part: nets.Part) -> list[nn.Module]:
    last = part.inputs[-1]
    if part.kind == "dense":
        return [nn.Linear(last, part["units"]), *activation(part)]
    if part.kind == "conv":
        return [nn.Conv2d(last, part["filters"], part["size"], padding=part["padding"]), *activation(part)]
    if part.kind == "depthwise":
        return [nn.Conv2d(last, last, part["size"], padding=part["padding"], groups=last, bias=False)]
    if part.kind == "norm":
        return [nn.BatchNorm2d(last, eps=1e-3, momentum=0.01), nn.ReLU()]
    if part.kind == "residual":
        return [Residual(nn.Sequential(*(each for inner in part.inner for each in module(inner))))]
    if part.kind == "embedding":
        return [nn.Embedding(part["rows"], part["width"])]
    if part.kind == "position":
        return [Position(part.inputs)]
    if part.kind == "layer_norm":
        return [nn.LayerNorm(last, eps=1e-3)]
    if part.kind == "pool":
        return [nn.MaxPool2d(2)]
    return [{"flatten": Flatten, "mean": Mean}[part.kind]()] if part.kind in ("flatten", "mean") else [body(part)]


def activation(part: nets.Part) -> list[nn.Module]:
    return [ACTIVATIONS[part["activation"]]()] if part["activation"] else []


def body(part: nets.Part) -> nn.Module:
    return Encoder(part) if part.kind == "encoder" else Recurrent(part)


def values(part: nets.Part, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The part's weights in the order and the layouts of PyTorch's parameters."""
    own = {name: arrays[f"{part.path}/{name}"] for name in part.weights}
    if part.kind == "encoder":
        return [own[name].T for name in ENCODER]
    if part.kind in RECURRENT:
        named = [own["weight"], own["recurrent_weight"], own["bias"], own.get("recurrent_bias", 0 * own["bias"])]
        order = GATES.get(part.kind, [0])
        return [np.concatenate([np.split(each, len(order), -1)[gate] for gate in order], -1).T for each in named]
    if part.kind in ("conv", "depthwise"):
        return [each.transpose(3, 2, 0, 1) if each.ndim == 4 else each for each in own.values()]
    return [each.T if part.kind == "dense" else each for each in own.values()]


def network(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> nn.Sequential:
    found = nets.parts(task["net"], task["sample"])
    net = nn.Sequential(*(each for part in found for each in module(part)))
    wanted = [value for part in nets.flat(found) if part.weights for value in values(part, arrays)]
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), wanted, strict=True):
            parameter.copy_(torch.from_numpy(value))
    return net.to(memory_format=torch.channels_last) if task["side"] == "torch.channels_last" else net
