"""Bytes that autograd keeps for the backward pass."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _MadeInside(TorchDispatchMode):
    """Collect the addresses of all memory that operations allocate while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        fresh = (
            func is torch.ops.aten.lift_fresh.default
        )  # from torch.tensor: shares its memory, yet it is new
        self.made |= _addresses(result) - (set() if fresh else _addresses((args, kwargs)))
        return result


def _addresses(values: Any) -> set[int]:
    tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor))
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def saved_activation_bytes(run: Callable[[], object]) -> int:
    """Measure the bytes that autograd holds for the backward pass of a run.

    Memory counts if an operation inside `run` allocated it and backward will read it. A storage
    counts whole, and once however many views of it are saved. Parameters and inputs existed
    before and do not count. Gradients and the graph itself do not count either.

    Args:
        run: a forward pass with gradients enabled; it returns the start of the backward pass.

    Returns:
        Bytes. With float64 x [3, 4] and w [4, 5] from outside, x @ w keeps 0 bytes. (x + 1) @ w
        keeps the 96 bytes of the sum, and relu(x @ w) the 120 bytes of its output.
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
