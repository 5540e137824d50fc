"""Optimizers: what a gradient does to a weight.

optimizer = optim.Adam(learning_rate=1e-3, clip_norm=1.0)
loss, gradients = clnet.value_and_grad(objective, wrt=net.trainable_variables())()
optimizer.apply(gradients)                                      # in a traced step
"""

from clnet.optim.adam import LAMB, Adam, Adamax, AdamW, Nadam
from clnet.optim.adaptive import Adadelta, Adagrad, RMSprop
from clnet.optim.averaging import EMA, SWA, Averaging
from clnet.optim.minimize import Minimum, minimize
from clnet.optim.momentum import SGD, Lion
from clnet.optim.optimizer import Optimizer

__all__ = [
    "EMA",
    "LAMB",
    "SGD",
    "SWA",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Averaging",
    "Lion",
    "Minimum",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "minimize",
]
