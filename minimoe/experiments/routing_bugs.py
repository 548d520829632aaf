"""Routing bugs that still train: ten that others had, each an ordinary function or setting.

Each wrong function stands beside the right line in a comment. The package itself uses none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minimoe.config import MoEConfig
from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.model.routing import Routing, RoutingRule, choose, route
from minimoe.model.selection import best
from minimoe.training.balance import load_balancing_loss
from minimoe.training.loop import Losses, Run, next_batch

# Only one of these has no bug.
LINE_UP = {
    "A": "double_softmax",
    "B": "capacity",
    "C": "bias_in_weights",
    "D": "chosen_only",
    "E": "constant_weight",
    "F": "padding_counted",
    "G": "expert_choice",
    "H": "right",
    "I": "missing_k",
    "J": "not_normalized",
    "K": "zero_mask",
}

# Bugs that are a setting.
SETTINGS: dict[str, dict[str, Any]] = {
    "constant_weight": {"top_k": 1, "allow_constant_weight": True},
    "not_normalized": {"normalize_weights": False},
    "capacity": {"capacity_factor": 1.0},
}


def bias_in_weights(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    noise: Float[Tensor, "T E"] | None = None,
) -> Routing:
    """The selection bias counts in the combine weights too."""
    found = route(logits, config, expert_bias, noise)
    biased = found.scores if expert_bias is None else found.scores + expert_bias
    weights = biased.gather(-1, found.expert_ids)  # right: found.scores.gather(...)
    return replace(found, weights=weights / weights.sum(-1, keepdim=True))


def zero_mask(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    noise: Float[Tensor, "T E"] | None = None,
) -> Routing:
    """A masked group gets the score 0, which beats a negative one."""
    limited = route(logits, config, expert_bias, noise).selection_scores
    masked = limited.masked_fill(limited.isneginf(), 0.0)  # right: leave minus infinity
    return choose(logits, logits.softmax(-1), masked, config)


def expert_choice(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    noise: Float[Tensor, "T E"] | None = None,
) -> Routing:
    """Every expert picks its T * K / E best tokens of the whole batch (arXiv 2202.09368).

    No bug in an encoder. In a causal model an earlier token learns which later ones there are.
    """
    n_tokens, n_experts = logits.shape
    scores = logits.softmax(-1)
    n_picked = max(1, n_tokens * config.top_k // n_experts)
    picked = best(scores.detach().T, n_picked)  # right: best of each row, not of each column
    kept = torch.zeros_like(scores.T, dtype=torch.bool).scatter(1, picked, True).T
    expert_ids = torch.arange(n_experts).expand(n_tokens, -1)  # a row per token, most not kept
    return Routing(logits, scores, scores.detach(), expert_ids, scores, kept)


def chosen_only(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """P_i over the chosen experts only: an expert that nobody chose gets no gradient."""
    chosen = torch.zeros_like(routing.scores).scatter(1, routing.expert_ids, routing.weights)
    wrong = replace(routing, scores=chosen)  # right: scores over ALL experts
    return load_balancing_loss(wrong, mask)


def double_softmax(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """Probabilities go through a second softmax, which leaves them nearly equal."""
    wrong = replace(routing, scores=routing.scores.softmax(-1))  # right: once
    return load_balancing_loss(wrong, mask)


def missing_k(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """f_i is a share of the T tokens, not of the T * K assignments."""
    return routing.expert_ids.shape[1] * load_balancing_loss(routing, mask)  # right: no factor K


def padding_counted(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """Padding counts like text."""
    return load_balancing_loss(routing)  # right: pass the mask on


RULES: dict[str, RoutingRule] = {
    "bias_in_weights": bias_in_weights,
    "zero_mask": zero_mask,
    "expert_choice": expert_choice,
}
BALANCE_LOSSES = {
    "chosen_only": chosen_only,
    "double_softmax": double_softmax,
    "missing_k": missing_k,
    "padding_counted": padding_counted,
}


@dataclass(frozen=True)
class Suspect:
    """A layer's config, the routing rule and the losses of its routers."""

    config: MoEConfig
    rule: RoutingRule
    losses: Losses


def suspect(letter: str, config: MoEConfig) -> Suspect:
    """One suspect of the line-up.

    Args:
        letter: of `LINE_UP`.
        config: of the right layer.

    Returns:
        What differs from the right layer in one line or one setting.
    """
    name = LINE_UP[letter]
    return Suspect(
        config=replace(config, **SETTINGS.get(name, {})),
        rule=RULES.get(name, route),
        losses=Losses(balance=BALANCE_LOSSES.get(name, load_balancing_loss)),
    )


def padded(lengths: tuple[int, ...]) -> Callable[[Run, Corpus], Batch]:
    """Batches of texts of different lengths, filled up with the byte 0, and masked there.

    Args:
        lengths: of the sequences of a batch, in tokens; at most the run's length.

    Returns:
        What makes the next batch of a run, for `minimoe.training.loop.train`.
    """

    def short_texts(run: Run, corpus: Corpus) -> Batch:
        batch = next_batch(run, corpus)
        mask = torch.arange(batch.inputs.shape[1]) < torch.tensor(lengths)[:, None]
        return replace(batch, inputs=batch.inputs * mask, targets=batch.targets * mask, mask=mask)

    return short_texts
