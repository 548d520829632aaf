"""The router: scores, the choice of experts, and the combine weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils._pytree import register_dataclass

from minimoe.config import MoEConfig
from minimoe.model.capacity import count, keep_within_capacity
from minimoe.model.parameters import matrix, shapes, zeros
from minimoe.model.selection import best, limit_to_groups
from minimoe.randomness import generator_of


@dataclass(frozen=True)
class Routing:
    """Everything that a router decided for T tokens.

    Attributes:
        logits: router output, before the score function.
        scores: after softmax or sigmoid over all E experts.
        selection_scores: what top-k looked at, without gradient: scores after noise, plus the
            selection bias; minus infinity in a group that was ruled out.
        expert_ids: the K chosen experts, best first.
        weights: the combine weights; each chosen expert's output is multiplied by its weight.
        kept: False where an assignment was dropped because its expert was full.
    """

    logits: Float[Tensor, "T E"]
    scores: Float[Tensor, "T E"]
    selection_scores: Float[Tensor, "T E"]
    expert_ids: Int[Tensor, "T K"]
    weights: Float[Tensor, "T K"]
    kept: Bool[Tensor, "T K"]

    @property
    def assigned_per_expert(self) -> Int[Tensor, "E"]:
        """Assignments of each expert, dropped ones included; they sum to T * K."""
        return count(self.expert_ids, self.logits.shape[1])

    @property
    def kept_per_expert(self) -> Int[Tensor, "E"]:
        """Assignments that each expert computes; they sum to T * K - n_dropped."""
        n_experts = self.logits.shape[1]
        return count(self.expert_ids.masked_fill(~self.kept, n_experts), n_experts + 1)[:-1]

    @property
    def load(self) -> Float[Tensor, "E"]:
        """Share of the assignments of each expert, in float64. Choices (0, 0, 1): (2/3, 1/3)."""
        assigned = self.assigned_per_expert
        return assigned.double() / assigned.sum().clamp_min(1)

    @property
    def n_dropped(self) -> int:
        """Dropped assignments; 0 in a dropless layer."""
        return int((~self.kept).sum())

    def of(self, mask: Bool[Tensor, "T"] | None) -> "Routing":
        """The routing of the tokens where `mask` is True (not padding); None = of all tokens."""
        if mask is None:
            return self
        return Routing(**{name: value[mask] for name, value in vars(self).items()})


register_dataclass(Routing)  # so that torch.export and torch.func can return one

# From router logits, the layer's config, the selection bias and the noise to a routing.
RoutingRule = Callable[[Tensor, MoEConfig, Tensor | None, Tensor | None], Routing]


class Router(nn.Module):
    """The matrix that scores the experts, and the rule that chooses among them.

    `bias` is learned and part of the logits. `expert_bias`, the selection bias, is a buffer that
    only `minimoe.training.balance.update_expert_bias_` changes.

    Args:
        rule: how to choose; `route`, or a function of the same signature.
    """

    expert_bias: Tensor | None

    def __init__(self, config: MoEConfig, rule: RoutingRule | None = None) -> None:
        super().__init__()
        self.config = config
        self.rule = route if rule is None else rule
        n_experts = config.n_routed_experts
        self.weight = matrix(n_experts, config.d_model, spread=0.02)  # nothing is decided yet
        self.bias = zeros(n_experts) if config.router_bias else None
        expert_bias = torch.zeros(n_experts) if config.use_expert_bias else None
        self.register_buffer("expert_bias", expert_bias)

    extra_repr = shapes

    def forward(
        self, x: Float[Tensor, "T D"], noise_seed: int | torch.Generator | None = None
    ) -> Routing:
        """Route T tokens; `noise_seed` decides the noise of `router_noise`, None adds none."""
        device = x.device.type
        # Under autocast the logits keep the router's precision (arXiv 2101.03961, section 2.4).
        if not x.is_meta and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                logits = nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
        else:
            logits = nn.functional.linear(x, self.weight, self.bias)
        noise = None
        if noise_seed is not None and self.config.router_noise:
            # Drawn in float64: the numbers do not depend on the dtype.
            normal = torch.randn(
                logits.shape, generator=generator_of(noise_seed), dtype=torch.double, device="cpu"
            )
            noise = self.config.router_noise * normal.to(logits)
        return self.rule(logits, self.config, self.expert_bias, noise)


def route(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    noise: Float[Tensor, "T E"] | None = None,
) -> Routing:
    """Choose the K best experts of each token and weigh them.

    Softmax top-k: arXiv 2101.03961 and 2401.04088. Groups: arXiv 2405.04434, section 2.1.2.
    Sigmoid scores and selection bias: arXiv 2412.19437, equations 13 to 16.

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
    selection_scores = scores.detach()
    if noise is not None:
        selection_scores = score(logits.detach() + noise, config)
    if expert_bias is not None:
        selection_scores = selection_scores + expert_bias
    if config.n_limited_groups < config.n_expert_groups:
        selection_scores = limit_to_groups(selection_scores, config)
    return choose(logits, scores, selection_scores, config)


def choose(
    logits: Float[Tensor, "T E"],
    scores: Float[Tensor, "T E"],
    selection_scores: Float[Tensor, "T E"],
    config: MoEConfig,
) -> Routing:
    """Take the K experts with the best selection scores; their weights come from the scores."""
    expert_ids = best(selection_scores, config.top_k)
    weights = scores.gather(-1, expert_ids)
    if config.normalize_weights:
        total = weights.sum(-1, keepdim=True)
        if not config.best_are_chosen:  # then all K scores may be 0
            total = total.clamp_min(torch.finfo(weights.dtype).tiny)
        weights = weights / total
    if config.route_scale != 1:
        weights = weights * config.route_scale
    kept = keep_within_capacity(expert_ids, config)
    return Routing(logits, scores, selection_scores, expert_ids, weights, kept)


def score(logits: Float[Tensor, "T E"], config: MoEConfig) -> Float[Tensor, "T E"]:
    """Softmax over all experts, or the sigmoid of each logit: (0, 0) gives (1/2, 1/2) in both."""
    return logits.softmax(-1) if config.score_function == "softmax" else logits.sigmoid()
