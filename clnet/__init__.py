"""clnet: deep learning on any OpenCL device."""

from clnet import runtimes as _runtimes

_runtimes.prepare()

from clnet.device import Device, device, devices  # noqa: E402  (after prepare: it imports pyopencl)

__version__ = "0.1.0"
__all__ = ["Device", "device", "devices"]
