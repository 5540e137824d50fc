"""Layers as small typed classes; networks are layers made of layers."""

from clnet.nn import initializers
from clnet.nn.activation import Activation
from clnet.nn.attention import CrossAttention, MultiHeadAttention, TransformerEncoderLayer
from clnet.nn.augmentation import (
    RandomCrop,
    RandomElasticTransform,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
)
from clnet.nn.containers import Parallel, Residual, Sequential
from clnet.nn.convolution import Conv1D, Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D
from clnet.nn.dense import Dense
from clnet.nn.dropout import Dropout, GaussianDropout, GaussianNoise, SpatialDropout2D
from clnet.nn.embedding import Embedding
from clnet.nn.flatten import Flatten
from clnet.nn.folding import fold_batch_norm
from clnet.nn.layer import Layer
from clnet.nn.mix_up import MixUp
from clnet.nn.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from clnet.nn.pooling import (
    AvgPool1D,
    AvgPool2D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    L2Pool1D,
    L2Pool2D,
    MaxPool1D,
    MaxPool2D,
    UpSample2D,
)
from clnet.nn.position import PositionalEncoding, PositionEmbedding
from clnet.nn.recurrent import GRU, LSTM, Bidirectional, SimpleRNN, TimeDistributed
from clnet.nn.regularizers import L1, L1L2, L2

__all__ = [
    "GRU",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "Activation",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNorm",
    "Bidirectional",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "CrossAttention",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "L2Pool1D",
    "L2Pool2D",
    "Layer",
    "LayerNorm",
    "MaxPool1D",
    "MaxPool2D",
    "MixUp",
    "MultiHeadAttention",
    "Parallel",
    "PositionEmbedding",
    "PositionalEncoding",
    "RMSNorm",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "Residual",
    "SeparableConv2D",
    "Sequential",
    "SimpleRNN",
    "SpatialDropout2D",
    "TimeDistributed",
    "TransformerEncoderLayer",
    "UpSample2D",
    "fold_batch_norm",
    "initializers",
]
