"""The direct convolution and its gradient by the weights, for CPUs; a GPU takes the product of its windows."""

from clnet.convolution.cpu import lower, lower_weights, suits
from clnet.convolution.problem import Problem

__all__ = ["Problem", "lower", "lower_weights", "suits"]
