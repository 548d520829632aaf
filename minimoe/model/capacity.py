"""Capacity: how many assignments an expert keeps, and which ones."""

import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from minimoe.config import MoEConfig


def capacity(n_tokens: int, config: MoEConfig) -> int | None:
    """Assignments that one expert keeps: ceil(capacity_factor * T * K / E), or None if dropless.

    T counts all tokens of the batch, later ones too. 10 tokens, K=2, E=8 and a factor of 1.25 give
    ceil(3.125) = 4.
    """
    if config.capacity_factor is None:
        return None
    # Rounded first: 1.1 * 100 is 110.00000000000001, and its ceil would be one too many.
    per_expert = config.capacity_factor * n_tokens * config.top_k / config.n_routed_experts
    return math.ceil(round(per_expert, 9))


def keep_within_capacity(expert_ids: Int[Tensor, "T K"], config: MoEConfig) -> Bool[Tensor, "T K"]:
    """Keep each expert's first `capacity` assignments in token order; all of them if dropless."""
    limit = capacity(len(expert_ids), config)
    if limit is None:
        return torch.ones_like(expert_ids, dtype=torch.bool)
    flat = expert_ids.flatten()
    order = flat.argsort(stable=True)
    counts = count(flat, config.n_routed_experts)
    first = counts.cumsum(0) - counts  # where each expert's assignments begin in that order
    place = torch.arange(len(flat), device=flat.device) - first[flat[order]]
    return torch.zeros_like(flat).scatter(0, order, place).view_as(expert_ids) < limit


def count(ids: Int[Tensor, "..."], n: int) -> Int[Tensor, "n"]:
    """How often each of 0 to n - 1 occurs. (0, 2, 2) with n=4 gives (1, 0, 2, 0)."""
    flat = ids.flatten()
    return flat.new_zeros(n).scatter_add(0, flat, torch.ones_like(flat))
