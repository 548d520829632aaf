"""Layers with every expert cut into parts, and what the experts of a trained layer do."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from minimoe.config import MoEConfig
from minimoe.data.batches import Batch
from minimoe.errors import InputError
from minimoe.model.moe import MoE
from minimoe.model.routing import Router, Routing
from minimoe.model.transformer import Transformer

# The rules under which the parts of an expert together compute what the whole expert does.
_CUT_ONLY = {
    "score_function": "softmax",
    "normalize_weights": False,
    "shared_width": 0,
    "use_expert_bias": False,
    "n_expert_groups": 1,
    "router_bias": False,
    "biased_experts": False,
    "activation": "swiglu",
}


def finer(coarse: MoEConfig, parts: int, n_shared: int = 0) -> MoEConfig:
    """Cut every expert of a layer into `parts` (arXiv 2401.06066, section 3).

    There are `parts` times as many experts and choices, and an expert is 1/parts as wide. Then
    `n_shared` of the experts that each token passes through are made shared. Neither changes the
    experts' parameters, all or active; the router has a row for each routed expert.

    The route scale is the number of routed experts. So a combine weight is E * score: 1 for every
    expert while all scores are equal, like that of a shared expert, at every granularity.

    Returns:
        The configuration. 8 experts of width 128 and top_k=2 in 4 parts, one of them shared, are 31
        routed experts of width 32 with top_k=7 and a shared one.

    Raises:
        InputError: the experts are not plain SwiGLU with softmax scores that are not normalized,
            or parts do not divide d_expert, or n_shared is not below parts * top_k.
    """
    for name, value in _CUT_ONLY.items():
        found = getattr(coarse, name)
        if found != value:
            raise InputError(f"{name} must be {value!r} in a layer that is cut, got {found!r}")
    if parts < 1 or coarse.d_expert % parts:
        raise InputError(f"parts must divide d_expert={coarse.d_expert}, got {parts}")
    if not 0 <= n_shared < parts * coarse.top_k:
        raise InputError(
            f"n_shared must lie in [0, parts * top_k={parts * coarse.top_k}), got {n_shared}"
        )
    n_routed = parts * coarse.n_routed_experts - n_shared
    return replace(
        coarse,
        d_expert=coarse.d_expert // parts,
        n_routed_experts=n_routed,
        top_k=parts * coarse.top_k - n_shared,
        n_shared_experts=n_shared,
        route_scale=float(n_routed),
    )


@torch.no_grad()
def split_experts(layer: MoE, parts: int) -> MoE:
    """Make a finer layer that computes the same function, slice by slice.

    Slice j of an expert has rows j * F/parts to (j + 1) * F/parts of its gate and of its up matrix,
    and these columns of its down matrix. The slices of one expert have equal router rows, so they
    are chosen together, and each has 1/parts of its score.

    Returns:
        The layer, of the configuration `finer(layer.config, parts)`. Its output equals the coarse
        one's to rounding if the coarse route scale is its number of experts.
    """
    fine = MoE(finer(layer.config, parts)).to(layer.router.weight)
    gate, up = layer.experts.gate_up.chunk(2, dim=1)
    slices = [matrix.unflatten(1, (parts, -1)).flatten(0, 1) for matrix in (gate, up)]
    fine.experts.gate_up.copy_(torch.cat(slices, dim=1))
    down = layer.experts.down.unflatten(2, (parts, -1)).transpose(1, 2)
    fine.experts.down.copy_(down.flatten(0, 1))
    fine.router.weight.copy_(layer.router.weight.repeat_interleave(parts, dim=0))
    return fine


def combinations(config: MoEConfig) -> int:
    """Count the sets of experts that a token can be sent to in one layer: C(E, K).

    With group-limited routing only the sets that lie in `n_limited_groups` groups count. 2 of 16
    are 120 sets, 8 of 64 are 4,426,165,368.
    """
    n_groups, k = config.n_expert_groups, config.top_k
    size = config.n_routed_experts // n_groups

    def in_each_of(n: int) -> int:
        """Sets that have a member in each of n groups (inclusion and exclusion)."""
        return sum(
            (-1) ** out * math.comb(n, out) * math.comb((n - out) * size, k) for out in range(n + 1)
        )

    limits = range(1, config.n_limited_groups + 1)
    return sum(math.comb(n_groups, n) * in_each_of(n) for n in limits)


@torch.no_grad()
def expert_overlap(layer: MoE, x: Float[Tensor, "T D"]) -> float:
    """Measure how alike the routed experts are: the mean squared cosine of two experts' outputs.

    Every expert computes every token. Two unrelated outputs of D numbers have a squared cosine of
    1/D in the mean.

    Returns:
        In [0, 1]: 1 for equal experts, 1/D for independent ones.
    """
    n_experts = layer.config.n_routed_experts
    outputs = torch.stack([layer.experts.one(x, expert) for expert in range(n_experts)], dim=1)
    directions = torch.nn.functional.normalize(outputs.double(), dim=-1)
    squared = (directions @ directions.mT).square()
    pairs = n_experts * (n_experts - 1)
    return float((squared.sum((1, 2)) - squared.diagonal(dim1=1, dim2=2).sum(1)).mean() / pairs)


def without_shared(model: Transformer) -> Transformer:
    """Copy a model; in the copy the shared experts add nothing. It is not trained again."""
    cut = deepcopy(model)
    for layer in cut.moe_layers():
        if layer.shared is not None:
            torch.nn.init.zeros_(layer.shared.down)
    return cut


def without_best(model: Transformer) -> Transformer:
    """Copy a model; in the copy each token's best routed expert adds nothing, in every layer."""
    cut = deepcopy(model)
    for layer in cut.moe_layers():
        layer.router.register_forward_hook(_silence_best)
    return cut


def _silence_best(_router: Router, _inputs: Any, routing: Routing) -> Routing:
    silent = torch.ones_like(routing.weights)
    silent[:, 0] = 0
    return replace(routing, weights=routing.weights * silent)


def layer_inputs(model: Transformer, batch: Batch) -> list[Float[Tensor, "T D"]]:
    """Return the input of each MoE layer when the model reads a batch."""
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        for layer in model.moe_layers()
    ]
    with torch.no_grad():
        model(batch.inputs)
    for hook in hooks:
        hook.remove()
    return seen
