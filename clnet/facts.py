"""Facts: what a driver says of its device."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import pyopencl as cl


@dataclass(frozen=True)
class Facts:
    """Sizes in bytes; `vector_width` is floats in a register (AVX-512: 16, AVX2: 8, NEON: 4), 1 on a GPU.

    `units`: compute units; on a CPU, cores that this process may run on.
    """

    units: int
    memory: int
    max_allocation: int
    local_memory: int
    max_work_group: int
    max_arguments: int
    float16: bool
    float64: bool
    vector_width: int
    alignment: int
    driver: str
    version: str
    vendor: str

    @classmethod
    def of(cls, device: cl.Device) -> Facts:
        """Ask the driver."""
        extensions = device.extensions.split()
        is_cpu = bool(device.type & cl.device_type.CPU)
        return cls(
            units=min(device.max_compute_units, _allowed_cores()) if is_cpu else device.max_compute_units,
            memory=device.global_mem_size,
            max_allocation=device.max_mem_alloc_size,
            local_memory=device.local_mem_size,
            max_work_group=device.max_work_group_size,
            max_arguments=device.max_parameter_size,
            float16="cl_khr_fp16" in extensions,
            float64="cl_khr_fp64" in extensions,
            vector_width=max(1, device.native_vector_width_float) if is_cpu else 1,
            alignment=device.mem_base_addr_align // 8,
            driver=device.driver_version.strip(),
            version=re.sub(r"^OpenCL \d+\.\d+ ?", "", device.platform.version).strip(),  # what the driver adds
            vendor=device.vendor.strip(),
        )


def _allowed_cores() -> int:
    """Cores that the process may run on (taskset, Slurm): more work-groups that wait for each other would take turns, a
    step of a network of Nielsen's 82 ms instead of 3.1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
