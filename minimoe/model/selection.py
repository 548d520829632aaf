"""Selection: the k best of many, and the limit to the best groups of experts."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe import fast
from minimoe.config import MoEConfig


def best(values: Float[Tensor, "T E"], k: int) -> Int[Tensor, "T K"]:
    """The k columns with the largest values, largest first; equal values: the lower number first.

    (1, 3, 3, 2) with k=2 gives (1, 2), on every platform: the sort is stable.
    """
    if fast.allowed(values):
        return fast.best(values, k)
    return values.sort(dim=-1, descending=True, stable=True).indices[:, :k]


def limit_to_groups(scores: Float[Tensor, "T E"], config: MoEConfig) -> Float[Tensor, "T E"]:
    """Set the scores outside the best `n_limited_groups` groups to minus infinity.

    Minus infinity and not 0: with negative selection biases a masked score of 0 would win.
    """
    grouped = scores.unflatten(-1, (config.n_expert_groups, -1))
    group_scores = grouped.topk(config.n_group_scores, dim=-1).values.sum(-1)
    allowed = torch.zeros_like(group_scores).scatter(
        -1, best(group_scores, config.n_limited_groups), 1.0
    )
    return grouped.masked_fill(allowed.unsqueeze(-1) == 0, -math.inf).flatten(-2)
