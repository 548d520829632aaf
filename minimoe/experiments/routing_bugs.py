"""Which wrong lines still train? Ten routing bugs that others had, to be switched on one by one.

None of this is used by the package itself. Each wrong function stands in for a right one, with the
line it should have beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minimoe.config import MoEConfig
from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.model import routing as right
from minimoe.model.routing import Router, Routing
from minimoe.training import balance, loop
from minimoe.training.loop import Run

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

# The right functions under names that no patch reaches.
_route, _limit_to_groups = right.route, right.limit_to_groups
_balance, _z_loss = balance.load_balancing_loss, balance.router_z_loss
_update_bias_, _cross_entropy = balance.update_expert_bias_, loop.cross_entropy
_next_batch = loop.next_batch


def bias_in_weights(
    logits: Float[Tensor, "T E"],
    config: MoEConfig,
    expert_bias: Float[Tensor, "E"] | None = None,
    *noise: Any,
) -> Routing:
    """The selection bias counts in the combine weights too."""
    found = _route(logits, config, expert_bias, *noise)
    biased = found.scores if expert_bias is None else found.scores + expert_bias
    weights = biased.gather(-1, found.expert_ids)  # right: found.scores.gather(...)
    return replace(found, weights=weights / weights.sum(-1, keepdim=True))


def zero_mask(scores: Float[Tensor, "T E"], config: MoEConfig) -> Float[Tensor, "T E"]:
    """A masked group gets the score 0, which beats a negative one."""
    limited = _limit_to_groups(scores, config)
    return limited.masked_fill(limited.isneginf(), 0.0)  # right: leave minus infinity


def expert_choice(logits: Float[Tensor, "T E"], config: MoEConfig, *bias_and_noise: Any) -> Routing:
    """Every expert picks its T * K / E best tokens of the whole batch (arXiv 2202.09368).

    No bug in an encoder. In a causal model an earlier token learns which later ones there are.
    """
    n_tokens, n_experts = logits.shape
    scores = logits.softmax(-1)
    n_picked = max(1, n_tokens * config.top_k // n_experts)
    picked = right.best(scores.detach().T, n_picked)  # right: best of each row, not of each column
    kept = torch.zeros_like(scores.T, dtype=torch.bool).scatter(1, picked, True).T
    expert_ids = torch.arange(n_experts).expand(n_tokens, -1)  # a row per token, most not kept
    return Routing(logits, scores, expert_ids, scores, kept)


def chosen_only(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """P_i over the chosen experts only: an expert that nobody chose gets no gradient."""
    chosen = torch.zeros_like(routing.scores).scatter(1, routing.expert_ids, routing.weights)
    return _balance(replace(routing, scores=chosen), mask)  # right: scores over ALL experts


def double_softmax(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """Probabilities go through a second softmax, which leaves them nearly equal."""
    return _balance(replace(routing, scores=routing.scores.softmax(-1)), mask)  # right: once


def missing_k(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """f_i is a share of the T tokens, not of the T * K assignments."""
    return routing.expert_ids.shape[1] * _balance(routing, mask)  # right: no factor K


def padding_counted(routing: Routing, mask: Bool[Tensor, "T"] | None = None) -> Float[Tensor, ""]:
    """Padding counts like text."""
    return _balance(routing)  # right: pass the mask on


# Bugs that are a function: where the right one is called, and what is called instead.
WRONG: dict[str, tuple[str, Any]] = {
    "bias_in_weights": ("minimoe.model.routing.route", bias_in_weights),
    "zero_mask": ("minimoe.model.routing.limit_to_groups", zero_mask),
    "expert_choice": ("minimoe.model.routing.route", expert_choice),
    "chosen_only": ("minimoe.training.loop.load_balancing_loss", chosen_only),
    "double_softmax": ("minimoe.training.loop.load_balancing_loss", double_softmax),
    "missing_k": ("minimoe.training.loop.load_balancing_loss", missing_k),
    "padding_counted": ("minimoe.training.loop.load_balancing_loss", padding_counted),
}


@contextmanager
def switched_on(letter: str, config: MoEConfig) -> Iterator[MoEConfig]:
    """Switch on the bug of one suspect, and off again at the end.

    Args:
        letter: of `LINE_UP`.
        config: of the right layer.

    Yields:
        The layer's config, changed if the bug is a setting.
    """
    name = LINE_UP[letter]
    changed = replace(config, **SETTINGS.get(name, {}))
    if name not in WRONG:
        yield changed
        return
    place, wrong = WRONG[name]
    with patch(place, wrong):
        yield changed


@contextmanager
def padded(lengths: tuple[int, ...], length: int) -> Iterator[Bool[Tensor, "T"]]:
    """Let a sweep read texts of different lengths, filled up with the byte 0, and mask the rest.

    Cross-entropy, balance loss, z-loss and selection bias are those of the text alone, unless a
    bug that is switched on says otherwise.

    Args:
        lengths: of the sequences in a batch, in tokens.
        length: that they are filled up to.

    Yields:
        The mask: True for text.
    """
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    flat, current = mask.flatten(), loop.load_balancing_loss

    def short_texts(run: Run, corpus: Corpus) -> Batch:
        batch = _next_batch(run, corpus)
        return replace(batch, inputs=batch.inputs * mask, targets=batch.targets * mask)

    def update_(router: Router, routing: Routing, rate: float) -> None:
        fields = {name: value[flat] for name, value in vars(routing).items()}
        _update_bias_(router, Routing(**fields), rate)

    with (
        patch("minimoe.experiments.sweep.next_batch", short_texts),
        patch.object(loop, "cross_entropy", lambda *pair: _cross_entropy(*pair)[mask]),
        patch.object(loop, "load_balancing_loss", lambda routing: current(routing, flat)),
        patch.object(loop, "router_z_loss", lambda routing: _z_loss(routing, flat)),
        patch.object(loop, "update_expert_bias_", update_),
    ):
        yield flat
