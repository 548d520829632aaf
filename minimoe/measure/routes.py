"""What did the router do? Load, dead experts, entropy, and the worst overload."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minimoe.model.routing import Routing


def expert_load(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, "E"]:
    """Share of the T * K assignments that each expert got; it sums to 1, 1/E at perfect balance.

    Choices (0, 0, 1) of 2 experts give loads (2/3, 1/3).
    """
    expert_ids = routing.expert_ids if mask is None else routing.expert_ids[mask]
    n_experts = routing.logits.shape[1]
    counts = torch.bincount(expert_ids.flatten(), minlength=n_experts)
    return counts.double() / counts.sum().clamp_min(1)


def mean_load(batches: Sequence[Routing]) -> Float[Tensor, "E"]:
    """Load of one layer over several batches, each weighed by its number of assignments."""
    counts = torch.stack([routing.tokens_per_expert for routing in batches]).sum(0)
    return counts.double() / counts.sum().clamp_min(1)


def dead_experts(load: Float[Tensor, "E"]) -> int:
    """Experts that got no assignment. Loads (1, 0, 0, 0) have 3."""
    return int((load == 0).sum())


def max_violation(load: Float[Tensor, "E"]) -> float:
    """MaxVio: (largest load - mean load) / mean load (arXiv 2408.15664, equation 4).

    0 at perfect balance, E - 1 if one expert gets everything; loads (1/2, 1/4, 1/4) have 0.5.
    """
    return float(load.max() / load.mean() - 1)


def load_entropy(load: Float[Tensor, "E"]) -> float:
    """Entropy of the load in bits: log2 E at perfect balance, 0 if one expert gets everything."""
    return float(torch.special.entr(load).sum()) / math.log(2)


def router_entropy(routing: Routing) -> Float[Tensor, "T"]:
    """Entropy of each token's scores in bits: how undecided the router was, 0 to log2 E.

    Scores are made to sum to 1 first (sigmoid scores do not).
    """
    p = routing.scores.double()
    p = p / p.sum(-1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    return torch.special.entr(p).sum(-1) / math.log(2)
