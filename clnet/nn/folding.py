"""Folding: a network for inference in which normalizations have become part of the layers before them."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np

from clnet.errors import ArgumentError
from clnet.nn.containers import Sequential
from clnet.nn.layer import Layer
from clnet.nn.normalization import BatchNorm
from clnet.variable import Variable

L = TypeVar("L", bound=Layer)


def fold_batch_norm(net: L) -> L:
    """The network with every `BatchNorm` that directly follows a layer of weights in a `Sequential` made part of it.

    y = (x W + b - mean) s + beta becomes x (W s) + (b - mean) s + beta, s = gamma / sqrt(variance + epsilon): the
    same outputs within rounding, one layer less. The network must be built; it stays as it is, and what needs no
    change is shared with the new one. Foldable layers have weights whose last axis is their outputs, no activation,
    and the normalization along that axis: `Dense`, and convolutions of weights (..., inputs, outputs).
    """
    if net.signature is None:
        raise ArgumentError("fold_batch_norm: the network has no variables yet; fit, or build it first")
    folded: L = _folded(net, {})
    return folded


def _folded(value: Any, known: dict[int, Any]) -> Any:
    """The same nest of layers with what is folded below; `known`: what became of each layer, shared ones too."""
    if type(value) in (list, tuple):
        return type(value)(_folded(each, known) for each in value)
    if type(value) is dict:
        return {key: _folded(each, known) for key, each in value.items()}
    if not isinstance(value, Layer):
        return value
    if id(value) not in known:
        own = {name: _folded(each, known) for name, each in vars(value).items() if not isinstance(each, Variable)}
        if all(each is vars(value)[name] or each == vars(value)[name] for name, each in own.items()):
            known[id(value)] = value
        else:
            known[id(value)] = copy.copy(value)
            vars(known[id(value)]).update(own)
        if isinstance(value, Sequential):
            known[id(value)] = _joined(known[id(value)])
    return known[id(value)]


def _joined(net: Sequential) -> Sequential:
    """A Sequential whose pairs of a layer with weights and its normalization are one layer each."""
    layers: list[Layer] = []
    for layer in net.layers:
        if isinstance(layer, BatchNorm) and layers and _is_foldable(layers[-1], layer):
            layers[-1] = _with(layers[-1], layer)
        else:
            layers.append(layer)
    if len(layers) == len(net.layers):
        return net
    joined = copy.copy(net)
    joined.layers = tuple(layers)
    return joined


def _is_foldable(layer: Layer, norm: BatchNorm) -> bool:
    weight, last = getattr(layer, "weight", None), len(layer.output_shape) - 1
    return (
        isinstance(weight, Variable)
        and weight.shape[-1:] == norm.moving_mean.shape
        and norm.axis in (-1, last)
        and getattr(layer, "activation", "?") in (None, "linear")
    )


def _with(layer: Any, norm: BatchNorm) -> Any:
    """A copy of a layer that normalizes its outputs by its weights."""
    factor = 1 / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
    if norm.gamma is not None:
        factor = factor * norm.gamma.numpy()
    bias = (0.0 if layer.bias is None else layer.bias.numpy()) - norm.moving_mean.numpy()
    bias = bias * factor + (0.0 if norm.beta is None else norm.beta.numpy())
    joined = copy.copy(layer)
    joined.use_bias = True
    joined.weight = _like(layer.weight, layer.weight.numpy() * factor, layer.weight.name)
    joined.bias = _like(layer.weight, bias, layer.weight.name.removesuffix("weight") + "bias")
    joined.output_shape = norm.output_shape
    return joined


def _like(variable: Variable, value: Any, name: str) -> Variable:
    return Variable(value.astype(variable.dtype), device=variable.device, name=name, trainable=variable.trainable)
