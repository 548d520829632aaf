"""Experts where no shape may depend on a number: torch.export, vmap, the meta device."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fixed_shapes(x: Tensor) -> bool:
    """Whether no shape may depend on a number in a tensor.

    Then a dispatch plan keeps its dropped assignments at the end, and `every_expert` computes.
    torch.compile is not among these cases: it breaks its graph where the segments are cut.
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    if x.is_meta or torch.jit.is_tracing():
        return True
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(x):
        if functorch.is_batchedtensor(x):  # torch.func.vmap hides a dimension of x
            return True
        x = functorch.get_unwrapped(x)
    return False


def every_expert(
    rows: Float[Tensor, "N D"],
    kept_per_expert: Int[Tensor, "E"],
    compute: Callable[[Tensor, int], Tensor],
) -> Float[Tensor, "N D"]:
    """Let every expert compute every row; each row takes its own expert's result.

    That is E times the work. The rows are sorted by expert; those of dropped assignments come last,
    belong to no expert and stay 0. `compute` is what an expert makes of rows.
    """
    ends = kept_per_expert.cumsum(0)
    place = torch.arange(rows.shape[0], device=rows.device)
    y = torch.zeros_like(rows)
    for expert in range(len(kept_per_expert)):
        own = (place < ends[expert]) & (place >= ends[expert] - kept_per_expert[expert])
        y = torch.where(own.unsqueeze(-1), compute(rows, expert), y)
    return y
