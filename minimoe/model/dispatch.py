"""Dispatch of tokens to their experts, and the way back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.model.fixed_shapes import fixed_shapes
from minimoe.model.routing import Routing


@dataclass(frozen=True)
class DispatchPlan:
    """The N kept assignments, sorted by expert and, within an expert, by token.

    Attributes:
        slots: place of each assignment in the flattened [T * K] choice.
        token_ids: the token of each assignment.
        kept_per_expert: assignments of each expert; they sum to N.
    """

    slots: Int[Tensor, "N"]
    token_ids: Int[Tensor, "N"]
    kept_per_expert: Int[Tensor, "E"]


@torch.compiler.disable  # how many assignments are kept differs from batch to batch
def plan_dispatch(routing: Routing) -> DispatchPlan:
    """Sort the kept assignments by expert.

    Three tokens with K=1 that chose experts (1, 0, 1) give slots (1, 0, 2) and counts (1, 2).
    """
    n_experts, top_k = routing.logits.shape[1], routing.expert_ids.shape[1]
    # A dropped assignment goes to an expert that does not exist, behind all the others.
    expert = routing.expert_ids.masked_fill(~routing.kept, n_experts).flatten()
    slots, kept = expert.argsort(stable=True), routing.kept_per_expert
    if not fixed_shapes(expert):
        slots = slots[: int(kept.sum())]
    return DispatchPlan(slots, slots // top_k, kept)


def dispatch(x: Float[Tensor, "T D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
    """Copy each token once for each of its kept assignments, in the plan's order."""
    return x.index_select(0, plan.token_ids)


def combine(
    rows: Float[Tensor, "N D"], plan: DispatchPlan, weights: Float[Tensor, "T K"]
) -> Float[Tensor, "T D"]:
    """Multiply the experts' outputs by their weights and sum them per token.

    A dropped assignment adds nothing. The K terms of a token are summed in the order of its choice,
    so the sum does not depend on the other tokens of the batch.
    """
    weighted = rows * weights.flatten()[plan.slots].unsqueeze(-1)
    n_tokens, top_k = weights.shape
    chosen = weighted.new_zeros(n_tokens * top_k, rows.shape[1])
    return chosen.index_copy(0, plan.slots, weighted).unflatten(0, (n_tokens, top_k)).sum(1)
