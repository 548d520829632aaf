"""Which experts does a token go to, and how much does each one count?"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minimoe.config import MoEConfig


@dataclass(frozen=True)
class Routing:
    """What a router decided for T tokens; losses, statistics and figures read it.

    Attributes:
        logits: router output, before the score function.
        scores: after softmax or sigmoid over all E experts; the selection bias is not in them.
        expert_ids: the K chosen experts, best first.
        weights: the combine weights, what each chosen expert's output is multiplied by.
        kept: False where an assignment was dropped because its expert was full.
    """

    logits: Float[Tensor, "T E"]
    scores: Float[Tensor, "T E"]
    expert_ids: Int[Tensor, "T K"]
    weights: Float[Tensor, "T K"]
    kept: Bool[Tensor, "T K"]

    @property
    def tokens_per_expert(self) -> Int[Tensor, "E"]:
        """Assignments of each expert, dropped ones included; they sum to T * K."""
        return torch.bincount(self.expert_ids.flatten(), minlength=self.logits.shape[1])

    @property
    def n_dropped(self) -> int:
        """Dropped assignments; 0 in a dropless layer."""
        return int((~self.kept).sum())


class Router(nn.Module):
    """The matrix that scores experts, its bias if it has one, and the selection bias.

    `bias` is learned and part of the logits. `expert_bias` is a buffer, not a parameter: no
    gradient reaches it, and only `minimoe.training.balance.update_expert_bias_` changes it.
    """

    expert_bias: Tensor | None

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.d_model))
        bias = nn.Parameter(torch.empty(config.n_routed_experts)) if config.router_bias else None
        self.bias: nn.Parameter | None = bias
        expert_bias = torch.zeros(config.n_routed_experts) if config.use_expert_bias else None
        self.register_buffer("expert_bias", expert_bias)

    def forward(self, x: Float[Tensor, "T D"], generator: torch.Generator | None = None) -> Routing:
        """Route T tokens; a generator, given in training, draws the noise of `router_noise`."""
        logits = nn.functional.linear(x, self.weight, self.bias)
        noise = None
        if generator is not None and self.config.router_noise:
            noise = self.config.router_noise * normal_like(logits, generator)
        return route(logits, self.config, self.expert_bias, noise)


def route(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    noise: Float[Tensor, "T E"] | None = None,
) -> Routing:
    """Choose the K best experts of each token and weigh them.

    Softmax top-k as in arXiv 2101.03961 and 2401.04088; group-limited routing as in
    arXiv 2405.04434, section 2.1.2; sigmoid scores and the selection bias as in arXiv 2412.19437,
    equations 13 to 16. Equal scores go to the lower expert number, on every platform.

    Args:
        logits: router output.
        config: how to score, choose, normalize and scale.
        expert_bias: added to the scores for the choice only, never to the weights.
        noise: added to the logits for the choice only, never to the weights.

    Returns:
        The routing. Logits (ln 2, ln 1, ln 1) have softmax scores (1/2, 1/4, 1/4); with top_k=2 the
        experts are (0, 1) and the normalized weights (2/3, 1/3).
    """
    scores = score(logits, config)
    chosen = scores.detach() if noise is None else score(logits.detach() + noise, config)
    if expert_bias is not None:
        chosen = chosen + expert_bias
    if config.n_limited_groups < config.n_expert_groups:
        chosen = limit_to_groups(chosen, config)
    expert_ids = best(chosen, config.top_k)
    weights = scores.gather(-1, expert_ids)
    if config.normalize_weights:
        total = weights.sum(-1, keepdim=True)
        if config.score_function == "sigmoid":  # all may be 0; of a softmax the best never is
            total = total.clamp_min(torch.finfo(weights.dtype).tiny)
        weights = weights / total
    if config.route_scale != 1:
        weights = weights * config.route_scale
    kept = keep_within_capacity(expert_ids, config)
    return Routing(logits, scores, expert_ids, weights, kept)


def score(logits: Float[Tensor, "T E"], config: MoEConfig) -> Float[Tensor, "T E"]:
    """Softmax over all experts, or the sigmoid of each logit: (0, 0) gives (1/2, 1/2) in both."""
    return logits.softmax(-1) if config.score_function == "softmax" else logits.sigmoid()


def normal_like(x: Float[Tensor, "T E"], generator: torch.Generator) -> Float[Tensor, "T E"]:
    """Standard normal noise, drawn in float64 so that its numbers do not depend on the dtype."""
    drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return drawn.to(x)


def best(values: Float[Tensor, "T E"], k: int) -> Int[Tensor, "T K"]:
    """The k columns with the largest values, largest first; of equal ones the lower number.

    (1, 3, 3, 2) with k=2 gives (1, 2). A stable sort is right everywhere, and enough for a few
    tokens. For many, numpy sorts float32 on a CPU in a seventh of the time if value and column are
    packed into one whole number; elsewhere `topk` serves, whose order of equal values differs
    between platforms, where there are none.
    """
    if len(values) >= 64:
        if values.dtype == torch.float32 and values.device.type == "cpu":
            return _best_of_packed(values, k)
        top = values.topk(min(k + 1, values.shape[1]))
        if not (top.values[:, 1:] == top.values[:, :-1]).any():
            return top.indices[:, :k]
    return values.sort(dim=-1, descending=True, stable=True).indices[:, :k]


def _best_of_packed(values: Float[Tensor, "T E"], k: int) -> Int[Tensor, "T K"]:
    """Sort whole numbers whose high part is the value and whose low part counts columns down.

    The bits of a float, read as a whole number, have its order; those of one below 0 count down
    from the lowest of all, which is -0.
    """
    bits = values.view(torch.int32)
    if (bits < 0).any():
        bits = torch.where(bits < 0, torch.iinfo(torch.int32).min - bits, bits)
    n_columns = values.shape[1]
    packed = torch.add(torch.arange(n_columns - 1, -1, -1), bits, alpha=n_columns).numpy()
    packed.sort(axis=-1)
    largest = torch.from_numpy(packed[:, : -k - 1 : -1].copy())
    return n_columns - 1 - largest % n_columns


def limit_to_groups(scores: Float[Tensor, "T E"], config: MoEConfig) -> Float[Tensor, "T E"]:
    """Set the scores of every group but the best `n_limited_groups` to minus infinity.

    Minus infinity and not 0: with negative selection biases a masked score of 0 would win.
    """
    grouped = scores.unflatten(-1, (config.n_expert_groups, -1))
    group_scores = grouped.topk(config.n_group_scores, dim=-1).values.sum(-1)
    allowed = torch.zeros_like(group_scores, dtype=torch.bool)
    allowed.scatter_(-1, best(group_scores, config.n_limited_groups), True)
    return grouped.masked_fill(~allowed.unsqueeze(-1), -math.inf).flatten(-2)


def capacity(n_tokens: int, config: MoEConfig) -> int | None:
    """Assignments that one expert keeps: ceil(capacity_factor * T * K / E), or None if dropless.

    10 tokens, K=2, E=8 and a factor of 1.25 give ceil(3.125) = 4.
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
    counts = torch.bincount(flat, minlength=config.n_routed_experts)
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(flat)
    rank[order] = torch.arange(len(flat), device=flat.device) - first[flat[order]]
    return (rank < limit).view_as(expert_ids)
