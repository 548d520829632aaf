"""What do the operations of a computation really read and write, and how many are there?"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
MOVES_NOTHING = {
    aten._unsafe_view.default,
    aten.new_empty.default,
    aten.empty_like.default,
    aten.lift_fresh.default,
}
WRITTEN = {"out", "grad_input"}
ONLY_WRITES = {aten.new_zeros.default, aten.ones_like.default, aten.zeros_like.default}


class Traffic(TorchDispatchMode):
    """Adds up the bytes of every operation's operands and results; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0
        self.n_operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func not in MOVES_NOTHING:
            read = {name: value for name, value in (kwargs or {}).items() if name not in WRITTEN}
            operands = () if func in ONLY_WRITES else (args, read)
            if func is aten.index_select.default:  # reads the rows that it copies, not all of them
                operands = (args[2], result)
            tensors = [t for t in tree_leaves((operands, result)) if isinstance(t, torch.Tensor)]
            self.n_bytes += sum(t.nbytes for t in tensors)
            self.n_operations += 1
        return result


def forward_traffic(run: Callable[[], object]) -> Traffic:
    """The traffic of a run without gradients."""
    with torch.no_grad(), Traffic() as traffic:
        run()
    return traffic


def training_traffic(module: torch.nn.Module, x: torch.Tensor) -> Traffic:
    """The traffic of forward and backward, down to the gradients of x and of all parameters."""
    x = x.detach().requires_grad_()
    with Traffic() as traffic:
        out = module(x)
        y = out[0] if isinstance(out, tuple) else out
    seed = torch.ones_like(y)
    with traffic:
        torch.autograd.grad(y, [x, *module.parameters()], seed)
    return traffic
