"""clnet beside your own OpenCL code: one context, one queue, one memory, and no copies.

python examples/share_pyopencl.py
"""

import numpy as np
import pyopencl as cl
import pyopencl.array

import clnet
from clnet import nn, ops

MINE = """
__kernel void halve(__global float *values) { values[get_global_id(0)] *= 0.5f; }
"""


def main() -> None:
    context = cl.create_some_context(interactive=False)
    queue = cl.CommandQueue(context)
    device = clnet.device(queue)  # clnet now works in your context and enqueues on your queue

    # A pyopencl array becomes a tensor: the same buffer, so what your kernel writes is what clnet reads.
    array = cl.array.to_device(queue, np.arange(8, dtype=np.float32).reshape(2, 4))
    tensor = clnet.Tensor.from_pyopencl(array)
    cl.Program(context, MINE).build().halve(queue, (array.size,), None, array.data)
    print("your kernel halved the tensor:  ", tensor.numpy().ravel())

    # A tensor becomes a pyopencl array: what clnet computed is ready for your kernels, in order on your queue.
    squares = ops.square(tensor).to_pyopencl()
    print("clnet squared it for your array:", squares.get().ravel())
    print("your arithmetic on the result:  ", (squares + 1).get().ravel())

    # A network is the same: its output never leaves the device.
    net = nn.Sequential(nn.Dense(3, activation="tanh"))
    net.build((None, 4), seed=0, device=device)
    print("a layer's output, as your array: ", net(tensor).to_pyopencl().get().round(3).tolist())


if __name__ == "__main__":
    main()
