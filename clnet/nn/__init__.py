"""Layers as small typed classes; networks are layers made of layers."""

from clnet.nn import initializers
from clnet.nn.activation import Activation
from clnet.nn.augmentation import (
    RandomCrop,
    RandomElasticTransform,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
)
from clnet.nn.containers import Residual, Sequential
from clnet.nn.dense import Dense
from clnet.nn.dropout import Dropout, GaussianDropout, GaussianNoise, SpatialDropout2D
from clnet.nn.embedding import Embedding
from clnet.nn.flatten import Flatten
from clnet.nn.folding import fold_batch_norm
from clnet.nn.layer import Layer
from clnet.nn.mix_up import MixUp
from clnet.nn.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm

__all__ = [
    "Activation",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "MixUp",
    "RMSNorm",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "Residual",
    "Sequential",
    "SpatialDropout2D",
    "fold_batch_norm",
    "initializers",
]
