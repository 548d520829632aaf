"""Load balancing: the losses of the router, and the update of the selection bias."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minimoe.model.routing import Router, Routing


def load_balancing_loss(
    routing: Routing, mask: Bool[Tensor, "T"] | None = None
) -> Float[Tensor, ""]:
    """E * sum over experts of f_i * P_i (arXiv 2101.03961, equations 4 to 6, for any K).

    f_i is the share of the T * K assignments that expert i got (no gradient passes through it),
    P_i the mean over tokens of its score, scores taken over ALL experts and made to sum to 1.

    Args:
        routing: of one layer.
        mask: False for padding tokens, which do not count.

    Returns:
        The loss, no unit. 1 at perfect balance for every K; E if every token has score 1 on one
        expert and K = 1. It is not bounded below by 1: with E = 2, K = 1, three tokens in four on
        expert 0 by near-ties (scores 1/2, 1/2) and one on expert 1 with score 1, it is 0.875.
    """
    routing = routing.of(mask)
    scores, load = routing.scores, routing.load.to(routing.scores.dtype)
    smallest = torch.finfo(scores.dtype).tiny  # sigmoid scores can all be 0
    probabilities = scores / scores.sum(-1, keepdim=True).clamp_min(smallest)
    return len(load) * (load * probabilities.mean(0)).sum()


def router_z_loss(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """Mean over tokens of the squared log-partition, logsumexp(logits)^2 (arXiv 2202.08906, eq. 5).

    Returns:
        The loss, no unit. Logits of 0 for E = 8 experts give (ln 8)^2 = 4.324.
    """
    return routing.of(mask).logits.logsumexp(-1).square().mean()


@torch.no_grad()
def update_expert_bias_(router: Router, routing: Routing, rate: float) -> None:
    """Raise the selection bias of experts below the mean load by `rate`, lower that of the others.

    arXiv 2408.15664, algorithm 1. Nothing else writes to the buffer. Counts (3, 1) and a rate of
    0.001 change the biases by (-0.001, +0.001).
    """
    if router.expert_bias is None:
        return
    counts = routing.assigned_per_expert
    missing = counts.sum() - len(counts) * counts  # E * (mean - count), in whole numbers
    router.expert_bias += rate * missing.sign().to(router.expert_bias.dtype)
