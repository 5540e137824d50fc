"""The bytes of PyTorch's tensors that are alive at once."""

from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Watches the storages that ops give, and keeps the most bytes that were alive after one."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def watch(self, tensors: Any) -> None:
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.storages = {at: held for at, held in self.storages.items() if not held[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.storages.values()))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        self.watch(found)
        return found


def peak(step: Any, net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The most bytes of tensors alive at once in the step, weights and the state that the optimizer has included."""
    alive = Alive()
    alive.watch([*net.parameters(), *net.buffers(), *(list(state.values()) for state in optimizer.state.values())])
    with alive:
        step()
    return alive.most
