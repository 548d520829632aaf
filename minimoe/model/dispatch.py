"""How do tokens get to their experts, and how do the results get back?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.model.routing import Routing


@dataclass(frozen=True)
class DispatchPlan:
    """The N kept assignments, sorted by expert and, within an expert, by token.

    Attributes:
        slots: where each assignment stands in the flattened [T * K] choice.
        tokens_per_expert: kept assignments of each expert; they sum to N.
    """

    slots: Int[Tensor, "N"]
    tokens_per_expert: Int[Tensor, "E"]

    @property
    def expert_of_slot(self) -> Int[Tensor, "N"]:
        """The expert of each kept assignment, in the plan's order; counts (1, 2) give (0, 1, 1)."""
        counts = self.tokens_per_expert
        experts = torch.arange(len(counts), device=counts.device)
        return experts.repeat_interleave(counts, output_size=len(self.slots))


def plan_dispatch(routing: Routing) -> DispatchPlan:
    """Sort the kept assignments by expert.

    Three tokens with K=1 that chose experts (1, 0, 1) give slots (1, 0, 2) and counts (1, 2).
    """
    n_experts = routing.logits.shape[1]
    # A dropped assignment goes to an expert that does not exist, behind all the others.
    expert = routing.expert_ids.masked_fill(~routing.kept, n_experts).flatten()
    counts = torch.bincount(expert, minlength=n_experts + 1)
    slots = sorted_slots(expert, n_experts)[: len(expert) - int(counts[-1])]
    return DispatchPlan(slots, counts[:-1])


def sorted_slots(expert: Int[Tensor, "A"], highest: int) -> Int[Tensor, "A"]:
    """Where the assignments of expert 0 stand, then those of 1, up to `highest`; (1, 0) is (1, 0).

    On a CPU by numpy: it counts numbers of 8 or 16 bits instead of comparing them, which takes a
    tenth of the time of torch's sort.
    """
    if expert.device.type != "cpu" or highest >= 2**16:
        return expert.argsort(stable=True)
    small = expert.numpy().astype(np.uint8 if highest < 2**8 else np.uint16)
    return torch.from_numpy(small.argsort(kind="stable"))


def dispatch(x: Float[Tensor, "T D"], plan: DispatchPlan, top_k: int) -> Float[Tensor, "N D"]:
    """Copy each token once for every kept assignment, in the plan's order."""
    return x.index_select(0, plan.slots // top_k)


def combine(
    rows: Float[Tensor, "N D"], plan: DispatchPlan, weights: Float[Tensor, "T K"]
) -> Float[Tensor, "T D"]:
    """Weigh the experts' outputs and sum them back per token; a dropped assignment adds nothing.

    The K terms of a token are summed in the order of its choice, whatever the batch around it.
    """
    weighted = rows * weights.flatten()[plan.slots].unsqueeze(-1)
    slots = rows.new_zeros(weights.numel(), rows.shape[1]).index_copy(0, plan.slots, weighted)
    return slots.view(*weights.shape, rows.shape[1]).sum(1)
