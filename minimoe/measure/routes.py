"""What did the router do? Every choice of a model, load, agreement, and life without an expert."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from minimoe.config import InputError
from minimoe.data.batches import Batch
from minimoe.measure.bits import bits_per_byte
from minimoe.model.routing import Router, Routing
from minimoe.model.transformer import Transformer


@dataclass(frozen=True)
class Trace:
    """What every MoE layer decided for every token, stacked over the layers.

    Attributes:
        logits, scores, expert_ids, weights, kept: as in `Routing`; kept is False where an
            assignment was dropped.
        values: what the choice was made by: scores plus selection bias, minus infinity for the
            experts of a group that was ruled out.
        margin: the least value of a chosen expert minus the largest of one not chosen, at least 0.
            The choice stays as it is while no value moves by half of it; with groups, while the
            groups stay as well. Infinite where no other expert could be chosen.
    """

    logits: Float[Tensor, "layers T E"]
    scores: Float[Tensor, "layers T E"]
    values: Float[Tensor, "layers T E"]
    expert_ids: Int[Tensor, "layers T K"]
    weights: Float[Tensor, "layers T K"]
    kept: Bool[Tensor, "layers T K"]
    margin: Float[Tensor, "layers T"]


@torch.no_grad()
def trace(model: Transformer, tokens: Int[Tensor, "B L"]) -> Trace:
    """Read a text with the model and note what each MoE layer decides for each token.

    Args:
        model: has at least one MoE layer; its dtype is that of the trace.
        tokens: in [0, vocab_size).

    Returns:
        The trace; token (b, l) stands at b * L + l. Scores (1/2, 1/4, 1/4) with top_k=1 have
        margin 1/4.

    Raises:
        InputError: the model is dense.
    """
    layers = model.moe_layers()
    if not layers:
        raise InputError(
            f"a trace needs at least 1 MoE layer, got 0 of {model.config.n_layers}; "
            "a dense model has no router"
        )
    routings = model(tokens)[1]
    margins = [_margin(r.selection_scores, r.expert_ids) for r in routings]
    return Trace(
        torch.stack([r.logits for r in routings]),
        torch.stack([r.scores for r in routings]),
        torch.stack([r.selection_scores for r in routings]),
        torch.stack([r.expert_ids for r in routings]),
        torch.stack([r.weights for r in routings]),
        torch.stack([r.kept for r in routings]),
        torch.stack(margins),
    )


def _margin(values: Float[Tensor, "T E"], expert_ids: Int[Tensor, "T K"]) -> Float[Tensor, "T"]:
    others = values.scatter(-1, expert_ids, -math.inf)
    return values.gather(-1, expert_ids).amin(-1) - others.amax(-1)


# How busy are they? -----------------------------------------------------------------------------


def expert_load(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, "E"]:
    """Share of the T * K assignments that each expert got; it sums to 1, 1/E at perfect balance.

    Choices (0, 0, 1) of 2 experts give loads (2/3, 1/3).
    """
    return routing.of(mask).load


def mean_load(batches: Sequence[Routing]) -> Float[Tensor, "E"]:
    """Load of one layer over several batches, each weighed by its number of assignments."""
    counts = torch.stack([routing.assigned_per_expert for routing in batches]).sum(0)
    return counts.double() / counts.sum().clamp_min(1)


def dead_experts(load: Float[Tensor, "E"]) -> int:
    """Experts that got no assignment. Loads (1, 0, 0, 0) have 3."""
    return int((load == 0).sum())


def max_violation(load: Float[Tensor, "E"]) -> float:
    """MaxVio: (largest load - mean load) / mean load (arXiv 2408.15664, equation 4).

    0 at perfect balance, E - 1 if one expert gets everything; loads (1/2, 1/4, 1/4) have 0.5.
    """
    return float(load.max() / load.mean() - 1)


def batch_max_violation(batches: Sequence[Routing]) -> float:
    """MaxVio_batch: the mean over batches of each batch's own MaxVio.

    Two batches that send everything to expert 0 and to expert 1 of 2 have 1, and MaxVio_global 0.
    """
    return sum(max_violation(expert_load(routing)) for routing in batches) / len(batches)


def global_max_violation(batches: Sequence[Routing]) -> float:
    """MaxVio_global: MaxVio of the load over all batches together; a whole validation text.

    At most MaxVio_batch if the batches are of one size: overloads of different experts cancel.
    """
    return max_violation(mean_load(batches))


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


# Who goes with whom, and since when? ------------------------------------------------------------


def coactivation(expert_ids: Int[Tensor, "T K"], n_experts: int) -> Float[Tensor, "E E"]:
    """Of the tokens that chose expert i, the share that chose expert j too (row i, column j).

    Returns:
        Shares in [0, 1], 0 on the diagonal: the row of an expert that was chosen at all sums to
        K - 1. Choices (0, 1), (0, 2) give row 0 (0, 1/2, 1/2) and row 1 (1, 0, 0).
    """
    cells = (expert_ids.unsqueeze(2) * n_experts + expert_ids.unsqueeze(1)).flatten()
    together = torch.bincount(cells, minlength=n_experts**2).view(n_experts, n_experts).double()
    tokens = together.diagonal().clone()
    return together.fill_diagonal_(0) / tokens.clamp_min(1).unsqueeze(1)


def saturation(
    earlier: Integer[Tensor, "layers T K"], final: Integer[Tensor, "layers T K"]
) -> Float[Tensor, "layers"]:
    """Share of the final choices that were made at an earlier step already, for each layer.

    The order of the K does not matter (arXiv 2409.02060 calls it router saturation).

    Returns:
        1 if all are the same, K/E on average for independent, balanced choices. Choices (0, 1) of
        one token that end as (1, 2) have 1/2.
    """
    same = (earlier.unsqueeze(-1) == final.unsqueeze(-2)).any(-2)
    return same.double().mean((1, 2))


def chance_saturation(
    earlier: Integer[Tensor, "layers T K"], final: Integer[Tensor, "layers T K"], n_experts: int
) -> Float[Tensor, "layers"]:
    """The saturation to expect if each token's final choices were those of a random token.

    It is K * sum over experts of the product of the two loads: K/E where one is balanced.
    """
    loads = [
        torch.stack([torch.bincount(ids.flatten().long(), minlength=n_experts) for ids in each])
        / each[0].numel()
        for each in (earlier, final)
    ]
    return final.shape[-1] * (loads[0].double() * loads[1].double()).sum(-1)


# What if an expert were not there? --------------------------------------------------------------


@contextmanager
def without_expert(model: Transformer, layer: int, expert: int) -> Iterator[None]:
    """For a while no token chooses this expert: its selection bias is minus infinity.

    The next best takes its place, and the weights are those of the experts then chosen. Nothing
    else changes, nothing is retrained, and the old selection bias is back afterwards, whatever
    happens within. May be nested to remove several.

    Args:
        model: is changed in place.
        layer: which MoE layer, counted from 0.
        expert: its number.

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
    _check_enough_left(router, bias)
    router.expert_bias = bias
    try:
        yield
    finally:
        router.expert_bias = before


def _check_enough_left(router: Router, bias: Float[Tensor, "E"]) -> None:
    """Refuse if the groups with the fewest experts left could be the ones that are allowed."""
    config = router.config
    left = bias.isfinite().view(config.n_expert_groups, -1).sum(1)
    fewest = int(left.sort().values[: config.n_limited_groups].sum())
    if fewest < config.top_k:
        raise InputError(f"top_k={config.top_k} experts must be left to choose, got {fewest}")


def removal_cost(
    model: Transformer, batches: Sequence[Batch], domains: tuple[str, ...], layer: int
) -> dict[str, Float[Tensor, "E"]]:
    """What the loss gains when one expert of a layer is taken away, for each expert in turn.

    Args:
        model: its other experts stay as they are: nothing is retrained.
        batches: text to judge on.
        domains: their names, as in `Corpus.domains`.
        layer: which MoE layer, counted from 0.

    Returns:
        For each domain that occurs, and for "all": bits a token more than with every expert; 0 for
        one that nobody chose, below 0 where its absence helps.
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
