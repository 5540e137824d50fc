"""clnet: deep learning on any OpenCL device."""

from clnet import runtimes as _runtimes

_runtimes.prepare()

# After prepare, because everything below imports pyopencl.
from clnet import callbacks, data, losses, metrics, nn, ops, optim, schedules  # noqa: E402
from clnet.compiled import compile, hvp, value_and_grad  # noqa: E402
from clnet.device import Device, device, devices  # noqa: E402
from clnet.ensemble import Ensemble  # noqa: E402
from clnet.model import Model  # noqa: E402
from clnet.search import GridSearch, cross_validate, grid_search  # noqa: E402
from clnet.tensor import Tensor, tensor  # noqa: E402
from clnet.variable import Variable  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Device",
    "Ensemble",
    "GridSearch",
    "Model",
    "Tensor",
    "Variable",
    "callbacks",
    "compile",
    "cross_validate",
    "data",
    "device",
    "devices",
    "grid_search",
    "hvp",
    "losses",
    "metrics",
    "nn",
    "ops",
    "optim",
    "schedules",
    "tensor",
    "value_and_grad",
]
