"""Bytes that autograd really keeps for the backward pass."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _MadeInside(TorchDispatchMode):
    """Collects the addresses of all memory that operations make while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        fresh = func is torch.ops.aten.lift_fresh.default  # of torch.tensor: shares, but is new
        self.made |= _addresses(result) - (set() if fresh else _addresses((args, kwargs)))
        return result


def _addresses(values: Any) -> set[int]:
    tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor))
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def saved_activation_bytes(run: Callable[[], object]) -> int:
    """Bytes that autograd holds for the backward pass of what `run` returns.

    Counted is the memory that an operation inside `run` made and that backward will read: whole
    storages, each once however many views of it are saved. Not counted is what was there before,
    so no parameter and no input, nor what is not saved: results that backward does not need, the
    gradients, the graph itself.

    Args:
        run: a forward pass that returns what backward starts from, with gradients enabled.

    Returns:
        Bytes. With float64 x [3, 4] and w [4, 5] from outside, x @ w keeps 0, (x + 1) @ w the sum's
        96, relu(x @ w) its own output's 120.
    """
    saved: list[weakref.ref[Tensor]] = []

    def pack(tensor: Tensor) -> Tensor:
        detached = tensor.detach()  # the graph would hold itself if it held its own result
        saved.append(weakref.ref(detached))
        return detached

    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, unpack)
    with _MadeInside() as inside, hooks:
        result = run()  # its graph lives as long as this name
    storages = [tensor.untyped_storage() for ref in saved if (tensor := ref()) is not None]
    del result
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return sum(n_bytes for address, n_bytes in sizes.items() if address in inside.made)
