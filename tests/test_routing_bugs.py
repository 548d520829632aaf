"""Each routing bug fails the probe that is made for it, and the right code passes all of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from minimoe import AttentionConfig, ModelConfig, MoE, MoEConfig, Routing, Transformer
from minimoe.config import TrainConfig
from minimoe.data.text import Corpus
from minimoe.model import routing
from minimoe.model.experts import swiglu
from minimoe.model.routing import route
from minimoe.training import bugs, loop, sweep
from minimoe.training.bugs import LINE_UP, SETTINGS, WRONG, padded, switched_on

LAYER = MoEConfig(
    d_model=16, d_expert=8, n_routed_experts=8, top_k=2, use_expert_bias=True,
    n_expert_groups=4, n_limited_groups=2,
)  # fmt: skip
RIGHT = "H"
TEXT = torch.arange(48) < 16


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def moe(config: MoEConfig) -> MoE:
    return MoE(config, seed=0).double().requires_grad_(False)


def planted(logits: torch.Tensor, top_k: int = 2) -> Routing:
    plain = MoEConfig(
        d_model=1, d_expert=1, n_routed_experts=8, top_k=top_k, normalize_weights=top_k > 1
    )
    return route(logits.double(), plain)


def with_padding() -> torch.Tensor:
    """16 tokens of text, none of them for expert 7, and 32 of padding for expert 5."""
    logits = random(48, 8)
    logits[:, 7] -= 9
    logits[16:, 5] += 9
    return logits


def router_learns(config: MoEConfig) -> bool:
    layer = MoE(config, seed=0).double()
    y = layer(random(32, 16))[0].square().sum()
    return bool(torch.autograd.grad(y, layer.router.weight)[0].norm() > 1e-6)


def equal_experts_are_one(config: MoEConfig) -> bool:
    layer, x = moe(config), random(32, 16)
    gate_up, down = layer.experts.gate_up, layer.experts.down
    gate_up[:], down[:] = gate_up[:1].clone(), down[:1].clone()
    return bool((layer(x)[0] - swiglu(x, gate_up[0], down[0])).abs().max() < 1e-12)


def shifted(config: MoEConfig, shift: float) -> bool:
    layer, x = moe(config), random(32, 16)
    before = layer(x)[0]
    assert layer.router.expert_bias is not None
    layer.router.expert_bias += shift
    return bool((layer(x)[0] - before).abs().max() < 1e-12)


def one_at_perfect_balance(config: MoEConfig) -> bool:
    logits = 9 * (torch.eye(8) + torch.eye(8).roll(1, 1))
    return bool(abs(loop.load_balancing_loss(planted(logits)) - 1) < 1e-12)


def eight_at_collapse(config: MoEConfig) -> bool:
    logits = 60 * torch.eye(8)[:1].expand(4, 8)
    return bool(abs(loop.load_balancing_loss(planted(logits, 1)) - 8) < 1e-12)


def unchosen_expert_is_pulled(config: MoEConfig) -> bool:
    logits = with_padding().requires_grad_(True)
    loss = loop.load_balancing_loss(planted(logits), TEXT)
    return bool(torch.autograd.grad(loss, logits)[0][TEXT, 7].sum() < -1e-8)


def padding_changes_nothing(config: MoEConfig) -> bool:
    logits = with_padding()
    both = loop.load_balancing_loss(planted(logits), TEXT)
    return bool(abs(both - loop.load_balancing_loss(planted(logits[TEXT]))) < 1e-12)


def logits_of_last(config: MoEConfig, tokens: torch.Tensor) -> torch.Tensor:
    attention = AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8)
    model = Transformer(ModelConfig(n_layers=2, attention=attention, moe=config), seed=0)
    logits: torch.Tensor = model.double().requires_grad_(False)(tokens)[0][-1]
    return logits


def sentences() -> torch.Tensor:
    return torch.randint(256, (4, 32), generator=torch.Generator().manual_seed(0))


def future_is_unseen(config: MoEConfig) -> bool:
    tokens = sentences()[3:]
    other = tokens.clone()
    other[:, -8:] = 7
    change = logits_of_last(config, tokens) - logits_of_last(config, other)
    return bool(change[:-8].abs().max() < 1e-12)


def company_changes_nothing(config: MoEConfig) -> bool:
    tokens = sentences()
    change = logits_of_last(config, tokens) - logits_of_last(config, tokens[3:])
    return bool(change.abs().max() < 1e-12)


PROBES: dict[str, tuple[Callable[[MoEConfig], bool], set[str]]] = {
    "router learns": (router_learns, {"constant_weight"}),
    "equal experts": (equal_experts_are_one, {"not_normalized", "capacity", "expert_choice"}),
    "bias up": (lambda config: shifted(config, 1.0), {"bias_in_weights"}),
    "bias down": (lambda config: shifted(config, -1.0), {"bias_in_weights", "zero_mask"}),
    "perfect balance": (one_at_perfect_balance, {"missing_k"}),
    "collapse": (eight_at_collapse, {"double_softmax"}),
    "unchosen": (unchosen_expert_is_pulled, {"chosen_only"}),
    "padding": (padding_changes_nothing, {"padding_counted"}),
    "future": (future_is_unseen, {"expert_choice"}),
    "company": (company_changes_nothing, {"capacity", "expert_choice"}),
}


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_fails_for_its_bugs_and_for_no_other(probe: str) -> None:
    passes, caught = PROBES[probe]
    failing = set()
    for letter, name in LINE_UP.items():
        with switched_on(letter, LAYER) as config:
            if not passes(config):
                failing.add(name)
    assert failing == caught


def test_every_bug_is_caught_and_only_one_suspect_has_none() -> None:
    caught = set().union(*(names for _, names in PROBES.values()))
    assert caught == set(SETTINGS) | set(WRONG) == set(LINE_UP.values()) - {"right"}
    assert len(caught) == 10 and LINE_UP[RIGHT] == "right"


@pytest.mark.parametrize("letter", LINE_UP)
def test_a_bug_is_off_again_after_an_error(letter: str) -> None:
    places = (loop, routing)
    before = [dict(vars(place)) for place in places]
    with pytest.raises(KeyError), switched_on(letter, LAYER), padded((2, 1), 2):
        raise KeyError
    assert [dict(vars(place)) for place in places] == before


def test_each_expert_of_expert_choice_picks_its_best_tokens() -> None:
    logits = random(16, 8)
    found = bugs.expert_choice(logits, LAYER)
    assert found.kept.sum(0).tolist() == [16 * 2 // 8] * 8
    lowest_kept = found.scores.masked_fill(~found.kept, 2.0).amin(0)
    assert (lowest_kept >= found.scores.masked_fill(found.kept, -1.0).amax(0)).all()


def run_padded(letter: str) -> tuple[Any, ...]:
    """The records of three steps on padded text in which nothing but the padding's bytes differ."""
    tokens = torch.randint(1, 256, (4000,), generator=torch.Generator().manual_seed(1))
    corpus = Corpus(tokens.to(torch.uint8), torch.zeros(4000, dtype=torch.uint8), ("noise",))
    attention = AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8)
    with switched_on(letter, LAYER) as config, padded((8, 2), 8):
        model = ModelConfig(n_layers=1, attention=attention, moe=config)
        trial = sweep.Trial(model, TrainConfig(steps=3, batch_size=2, length=8))
        (outcome,) = sweep.sweep({letter: trial}, corpus, seeds=(0,))[letter]
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
    balance = loop.load_balancing_loss(found, text).item()
    assert first.load_balancing_loss == pytest.approx(balance, rel=1e-5)
    assert first.router_z_loss == pytest.approx(loop.router_z_loss(found, text).item(), rel=1e-5)


def test_counting_padding_changes_the_balance_loss_of_training_and_not_the_first_loss() -> None:
    right, wrong = (run_padded(letter)[0].history[0] for letter in (RIGHT, "F"))
    assert right.cross_entropy == wrong.cross_entropy
    assert abs(right.load_balancing_loss - wrong.load_balancing_loss) > 1e-3
