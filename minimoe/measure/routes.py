"""Routing decisions of a model: trace, load, agreement, and the effect of removing an expert."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from minimoe.data.batches import Batch
from minimoe.errors import InputError
from minimoe.measure.bits import bits_per_byte
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer


@dataclass(frozen=True)
class Trace:
    """What every MoE layer decided for every token, stacked over the layers.

    Attributes:
        logits, expert_ids, weights, kept: as in `Routing`.
        margin: the smallest selection score of a chosen expert minus the largest of the others, at
            least 0. The choice does not change while every score changes by less than half of it
            (with groups: and while the same groups are chosen). Infinite where no other expert
            could be chosen.
    """

    logits: Float[Tensor, "layers T E"]
    expert_ids: Int[Tensor, "layers T K"]
    weights: Float[Tensor, "layers T K"]
    kept: Bool[Tensor, "layers T K"]
    margin: Float[Tensor, "layers T"]


@torch.no_grad()
def trace(model: Transformer, tokens: Int[Tensor, "B L"]) -> Trace:
    """Run the model on a text and record what each MoE layer decides for each token.

    Returns:
        The trace, in the model's dtype; token (b, l) has index b * L + l. Scores (1/2, 1/4, 1/4)
        with top_k=1 have margin 1/4.

    Raises:
        InputError: the model is dense.
    """
    layers = model.moe_layers()
    if not layers:
        raise InputError(
            f"a trace needs at least 1 MoE layer, got 0 of {model.config.n_layers}; "
            "a dense model has no router"
        )
    names = ("logits", "selection_scores", "expert_ids", "weights", "kept")
    routings = model(tokens)[1]
    logits, values, expert_ids, weights, kept = (
        torch.stack([getattr(routing, name) for routing in routings]) for name in names
    )
    others = values.scatter(-1, expert_ids, -math.inf)
    margin = values.gather(-1, expert_ids).amin(-1) - others.amax(-1)
    return Trace(logits, expert_ids, weights, kept, margin)


def expert_load(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, "E"]:
    """Compute each expert's share of the T * K assignments; where the mask is False none counts.

    Returns:
        Shares that sum to 1, 1/E each at perfect balance; all 0 without a token. Choices (0, 0, 1)
        of 2 experts give (2/3, 1/3).
    """
    return routing.of(mask).load


@torch.no_grad()
def model_load(model: Transformer, batches: Sequence[Batch]) -> Float[Tensor, "_ _"]:
    """Compute the load of each MoE layer [layers, E] over all batches together, without noise."""
    counts = [
        torch.stack([routing.assigned_per_expert for routing in routings])
        for batch in batches
        if (routings := model(batch.inputs)[1])
    ]
    total = torch.stack(counts).sum(0).double() if counts else torch.empty(0, 0).double()
    return total / total.sum(-1, keepdim=True)


def dead_experts(load: Float[Tensor, "E"]) -> int:
    """Count the experts without an assignment: 3 for loads (1, 0, 0, 0)."""
    return int((load == 0).sum())


def max_violation(load: Float[Tensor, "E"]) -> float:
    """MaxVio: (largest load - mean load) / mean load (arXiv 2408.15664, equation 4).

    0 at perfect balance, E - 1 if one expert gets everything; loads (1/2, 1/4, 1/4) have 0.5.
    """
    return float(load.max() / load.mean() - 1)


def coactivation(expert_ids: Int[Tensor, "T K"], n_experts: int) -> Float[Tensor, "E E"]:
    """Compute the share of expert i's tokens that also chose expert j (row i, column j).

    Returns:
        Shares in [0, 1], 0 on the diagonal. The row of an expert with tokens sums to K - 1.
        Choices (0, 1), (0, 2) give row 0 (0, 1/2, 1/2) and row 1 (1, 0, 0).
    """
    cells = (expert_ids.unsqueeze(2) * n_experts + expert_ids.unsqueeze(1)).flatten()
    together = torch.bincount(cells, minlength=n_experts**2).view(n_experts, n_experts).double()
    tokens = together.diagonal().clone()
    return together.fill_diagonal_(0) / tokens.clamp_min(1).unsqueeze(1)


def saturation(
    earlier: Integer[Tensor, "layers T K"], final: Integer[Tensor, "layers T K"]
) -> Float[Tensor, "layers"]:
    """Compute the share of the final choices that an earlier step already made, for each layer.

    The order of the K experts does not matter. arXiv 2409.02060 names it router saturation.

    Returns:
        1 if all are the same; K/E on average for independent, balanced choices. One token that
        first chose (0, 1) and finally (1, 2) has 1/2.
    """
    same = (earlier.unsqueeze(-1) == final.unsqueeze(-2)).any(-2)
    return same.double().mean((1, 2))


def chance_saturation(
    earlier: Integer[Tensor, "layers T K"], final: Integer[Tensor, "layers T K"], n_experts: int
) -> Float[Tensor, "layers"]:
    """Compute the saturation to expect if each token's final choices were those of a random token.

    It is K * sum over experts of the product of the two loads: K/E if one of them is balanced.
    """
    loads = [
        torch.stack([torch.bincount(ids.flatten().long(), minlength=n_experts) for ids in each])
        / each[0].numel()
        for each in (earlier, final)
    ]
    return final.shape[-1] * (loads[0].double() * loads[1].double()).sum(-1)


@contextmanager
def without_expert(model: Transformer, layer: int, expert: int) -> Iterator[None]:
    """Remove one expert inside a `with` block, by a selection bias of minus infinity.

    Its tokens choose the next best expert instead. Nothing else changes and nothing is retrained.
    The old selection bias returns at the end of the block, also after an error. Nest several
    blocks to remove several experts.

    Args:
        model: changed in place.
        layer, expert: indices, from 0.

    Raises:
        InputError: there is no such layer or expert, or fewer than top_k would be left.
    """
    layers = model.moe_layers()
    if not 0 <= layer < len(layers):
        raise InputError(f"layer must lie in [0, {len(layers)}), the MoE layers, got {layer}")
    router = layers[layer].router
    before = router.expert_bias
    n_experts = router.config.n_routed_experts
    if not 0 <= expert < n_experts:
        raise InputError(f"expert must lie in [0, n_routed_experts={n_experts}), got {expert}")
    bias = router.weight.new_zeros(n_experts) if before is None else before.clone()
    bias[expert] = -math.inf
    config = router.config
    left = bias.isfinite().view(config.n_expert_groups, -1).sum(1)
    fewest = int(left.sort().values[: config.n_limited_groups].sum())  # in the allowed groups
    if fewest < config.top_k:
        raise InputError(f"top_k={config.top_k} experts must be left to choose, got {fewest}")
    router.expert_bias = bias
    try:
        yield
    finally:
        router.expert_bias = before


def removal_cost(
    model: Transformer, batches: Sequence[Batch], domains: tuple[str, ...], layer: int
) -> dict[str, Float[Tensor, "E"]]:
    """Compute how much the loss rises when one expert of a layer is removed, for each expert.

    Args:
        model: not retrained.
        batches, domains: the text, and the names of its domains.
        layer: index of the MoE layer, from 0.

    Returns:
        For each domain that occurs, and for "all": the rise in bits a token. It is 0 for an expert
        that no token chose, and below 0 where the model is better without the expert.
    """
    whole = bits_per_byte(model, batches, domains)
    n_experts = model.moe_layers()[layer].config.n_routed_experts
    costs = []
    for expert in range(n_experts):
        with without_expert(model, layer, expert):
            bits = bits_per_byte(model, batches, domains)
        costs.append([bits[name] - whole[name] for name in whole])
    table = torch.tensor(costs, dtype=torch.float64)
    return dict(zip(whole, table.unbind(1), strict=True))
