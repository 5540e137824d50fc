"""clnet: deep learning on any OpenCL device."""

from clnet import runtimes as _runtimes

_runtimes.prepare()

from clnet import ops  # noqa: E402  (after prepare: everything below imports pyopencl)
from clnet.compiled import compile, value_and_grad  # noqa: E402
from clnet.device import Device, device, devices  # noqa: E402
from clnet.tensor import Tensor, tensor  # noqa: E402
from clnet.variable import Variable  # noqa: E402

__version__ = "0.1.0"
__all__ = ["Device", "Tensor", "Variable", "compile", "device", "devices", "ops", "tensor", "value_and_grad"]
