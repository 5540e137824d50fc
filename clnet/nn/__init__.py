"""Layers as small typed classes; networks are layers made of layers."""

from clnet.nn import initializers
from clnet.nn.activation import Activation
from clnet.nn.augmentation import RandomCrop, RandomFlip, RandomTranslation
from clnet.nn.containers import Residual, Sequential
from clnet.nn.dense import Dense
from clnet.nn.dropout import Dropout
from clnet.nn.embedding import Embedding
from clnet.nn.flatten import Flatten
from clnet.nn.layer import Layer

__all__ = [
    "Activation",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "RandomCrop",
    "RandomFlip",
    "RandomTranslation",
    "Residual",
    "Sequential",
    "initializers",
]
