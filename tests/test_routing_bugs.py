"""Each routing bug fails the probe that is made for it, and the right code passes all of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from minimoe import AttentionConfig, ModelConfig, MoEConfig
from minimoe.config import TrainConfig
from minimoe.data.text import Corpus
from minimoe.experiments import routing_bugs as bugs
from minimoe.experiments import sweep
from minimoe.experiments.probes import PROBES
from minimoe.experiments.routing_bugs import (
    BALANCE_LOSSES,
    LINE_UP,
    RULES,
    SETTINGS,
    Suspect,
    padded,
    suspect,
)
from minimoe.training import loop
from minimoe.training.balance import load_balancing_loss, router_z_loss

LAYER = MoEConfig(
    d_model=16, d_expert=8, n_routed_experts=8, top_k=2, use_expert_bias=True,
    n_expert_groups=4, n_limited_groups=2,
)  # fmt: skip
RIGHT = "H"


CAUGHT = {
    "router_learns": {"constant_weight"},
    "equal_experts_are_one": {"not_normalized", "capacity", "expert_choice"},
    "common_bias_changes_nothing": {"bias_in_weights", "zero_mask"},
    "one_at_perfect_balance": {"missing_k"},
    "eight_at_collapse": {"double_softmax"},
    "unchosen_expert_is_pulled": {"chosen_only"},
    "padding_changes_nothing": {"padding_counted"},
    "future_is_unseen": {"expert_choice"},
    "company_changes_nothing": {"capacity", "expert_choice"},
}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_a_probe_fails_for_its_bugs_and_for_no_other(probe: Callable[[Suspect], bool]) -> None:
    failing = {name for letter, name in LINE_UP.items() if not probe(suspect(letter, LAYER))}
    assert failing == CAUGHT[probe.__name__]


def test_the_bias_in_the_weights_shows_without_the_wrong_mask() -> None:
    assert not PROBES[2](suspect("C", replace(LAYER, n_expert_groups=1, n_limited_groups=1)))


def test_every_bug_is_caught_and_only_one_suspect_has_none() -> None:
    caught = set().union(*CAUGHT.values())
    wrong = set(SETTINGS) | set(RULES) | set(BALANCE_LOSSES)
    assert caught == wrong == set(LINE_UP.values()) - {"right"}
    assert len(caught) == 10 and LINE_UP[RIGHT] == "right"


def test_each_expert_of_expert_choice_picks_its_best_tokens() -> None:
    logits = torch.randn(16, 8, dtype=torch.float64)
    found = bugs.expert_choice(logits, LAYER)
    assert found.kept.sum(0).tolist() == [16 * 2 // 8] * 8
    lowest_kept = found.scores.masked_fill(~found.kept, 2.0).amin(0)
    assert (lowest_kept >= found.scores.masked_fill(found.kept, -1.0).amax(0)).all()


def run_padded(letter: str) -> tuple[Any, ...]:
    """The records of three steps on padded text in which nothing but the padding's bytes differ."""
    tokens = torch.randint(1, 256, (4000,), generator=torch.Generator().manual_seed(1))
    corpus = Corpus(tokens.to(torch.uint8), torch.zeros(4000, dtype=torch.uint8), ("noise",))
    attention = AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8)
    found = suspect(letter, LAYER)
    model = ModelConfig(n_layers=1, attention=attention, moe=found.config)
    training = TrainConfig(steps=3, batch_size=2, length=8)
    trial = sweep.Trial(model, training, found.rule, found.losses)
    batches = padded((8, 2))
    (outcome,) = sweep.sweep({letter: trial}, corpus, seeds=(0,), next_batch=batches)[letter]
    return outcome, corpus


def test_padded_text_is_short_and_only_the_text_counts() -> None:
    outcome, corpus = run_padded(RIGHT)
    run = loop.start(outcome.model.config, TrainConfig(steps=3, batch_size=2, length=8), 0)
    batch = loop.next_batch(run, corpus)
    mask = torch.arange(8) < torch.tensor([8, 2])[:, None]
    logits, (found,) = run.model(batch.inputs * mask)
    text = mask.flatten()
    first = outcome.history[0]
    loss = loop.cross_entropy(logits, batch.targets)[mask].mean()
    assert first.cross_entropy == pytest.approx(loss.item(), rel=1e-5)
    balance = load_balancing_loss(found, text).item()
    assert first.load_balancing_loss == pytest.approx(balance, rel=1e-5)
    assert first.router_z_loss == pytest.approx(router_z_loss(found, text).item(), rel=1e-5)


def test_counting_padding_changes_the_balance_loss_of_training_and_not_the_first_loss() -> None:
    right, wrong = (run_padded(letter)[0].history[0] for letter in (RIGHT, "F"))
    assert right.cross_entropy == wrong.cross_entropy
    assert abs(right.load_balancing_loss - wrong.load_balancing_loss) > 1e-3
