"""A sweep gives what training one by one gives, and says what the routers did meanwhile."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.batches import Batch, validation_batches
from minimoe.data.text import Corpus
from minimoe.experiments.sweep import Outcome, Trial, sweep
from minimoe.measure.bits import bits_per_byte
from minimoe.training.loop import next_batch, start, train, train_step


def trial(steps: int = 5, **layer: Any) -> Trial:
    attention = AttentionConfig(d_model=8, n_heads=2, n_kv_heads=1, d_head=4)
    numbers = {"d_model": 8, "d_expert": 4, "n_routed_experts": 4, "top_k": 2, **layer}
    model = ModelConfig(n_layers=2, attention=attention, moe=MoEConfig(**numbers), vocab_size=16)
    return Trial(model, TrainConfig(steps=steps, batch_size=3, length=10, dtype="float64"))


def dense(steps: int = 5) -> Trial:
    moe = trial(steps)
    return replace(moe, model=replace(moe.model, moe=None, d_ff=8))


def text(n: int = 400) -> Corpus:
    """Random tokens in two domains."""
    tokens = torch.randint(0, 16, (n,), generator=torch.Generator().manual_seed(0))
    return Corpus(
        tokens.to(torch.uint8), (torch.arange(n) >= n // 3).to(torch.uint8), ("first", "second")
    )


def judged_on() -> list[Batch]:
    return list(validation_batches(text(), batch_size=8, length=10))


TRIALS = {"plain": trial(), "noisy": trial(router_noise=0.5), "dense": dense()}


def numbers_of(outcome: Outcome) -> list[tuple[float, ...]]:
    return [
        (r.step, r.cross_entropy, r.load_balancing_loss, r.gradient_norm) for r in outcome.history
    ]


def test_a_sweep_gives_what_training_one_by_one_gives() -> None:
    outcomes = sweep(TRIALS, text(), judged_on(), seeds=(3, 1))
    assert outcomes.keys() == TRIALS.keys()
    for name, each in TRIALS.items():
        for seed, outcome in zip((3, 1), outcomes[name], strict=True):
            config = replace(each.training, seed=seed)
            alone = train(start(each.model, config, seed), text())
            for key, tensor in alone.model.state_dict().items():
                assert torch.equal(tensor, outcome.model.state_dict()[key])
            assert [r.cross_entropy for r in alone.history] == [n[1] for n in numbers_of(outcome)]
            bits = bits_per_byte(alone.model, judged_on(), ("first", "second"))
            assert outcome.bits_per_byte == bits and bits.keys() == {"first", "second", "all"}


def test_trials_of_one_seed_read_the_same_text_and_seeds_read_different_ones() -> None:
    outcomes = sweep({"one": trial(), "two": trial()}, text(), seeds=(0, 1))
    assert numbers_of(outcomes["one"][0]) == numbers_of(outcomes["two"][0])
    assert numbers_of(outcomes["one"][0]) != numbers_of(outcomes["one"][1])


def test_the_loads_are_those_of_each_step_and_layer_and_sum_to_1() -> None:
    outcome = sweep({"plain": trial()}, text(), seeds=(2,))["plain"][0]
    assert outcome.loads.shape == (5, 2, 4) and outcome.loads.dtype == torch.float64
    assert torch.allclose(outcome.loads.sum(-1), torch.ones(5, 2).double(), rtol=0, atol=1e-12)
    run = start(trial().model, replace(trial().training, seed=2), 2)
    for loads in outcome.loads:
        _, routings = train_step(run, next_batch(run, text()))
        counts = torch.stack([routing.assigned_per_expert for routing in routings])
        assert torch.equal((loads * 3 * 10 * 2).round().long(), counts)


def test_dropped_assignments_are_counted_over_steps_and_layers() -> None:
    trials = {"dropless": trial(), "tight": trial(capacity_factor=0.5), "dense": dense()}
    outcomes = {name: each[0] for name, each in sweep(trials, text(), seeds=(0,)).items()}
    n_assignments = 5 * 2 * 3 * 10 * 2  # steps, layers, sequences, positions, K
    assert outcomes["dropless"].n_dropped == 0
    assert outcomes["dropless"].n_assignments == outcomes["tight"].n_assignments == n_assignments
    loads = outcomes["tight"].loads * 60  # dropped ones count as load; an expert keeps 8 of 60
    assert 5 * 2 * (60 - 4 * 8) <= outcomes["tight"].n_dropped < n_assignments
    assert outcomes["tight"].n_dropped == round((loads - 8).clamp_min(0).sum().item())
    assert (outcomes["dense"].n_dropped, outcomes["dense"].n_assignments) == (0, 0)
    assert outcomes["dense"].loads.numel() == 0


def test_the_judged_load_is_that_of_all_batches_together_without_noise() -> None:
    batches = judged_on()
    assert len(batches) > 2 and len(batches[-1].inputs) < len(batches[0].inputs)
    outcome = sweep({"noisy": trial(router_noise=3.0)}, text(), batches, seeds=(0,))["noisy"][0]
    together = torch.cat([batch.inputs for batch in batches])
    counts = [routing.assigned_per_expert for routing in outcome.model(together)[1]]
    wanted = torch.stack(counts).double() / (together.numel() * 2)
    assert torch.allclose(outcome.judged_load, wanted, rtol=0, atol=1e-14)


def test_without_batches_nothing_is_judged() -> None:
    outcome = sweep({"plain": trial()}, text(), seeds=(0,))["plain"][0]
    assert outcome.bits_per_byte == {} and outcome.judged_load.numel() == 0
    assert sweep({"dense": dense()}, text(), judged_on())["dense"][0].judged_load.numel() == 0


@pytest.mark.parametrize(
    ("trials", "seeds", "said"),
    [
        ({"a": trial(5), "b": trial(6)}, (0,), r"\[5, 6\].*1"),
        ({"a": trial(5)}, (), r"1.*\[5\].*0"),
        ({}, (0,), r"\[\].*1"),
    ],
)
def test_a_sweep_of_nothing_or_of_different_lengths_is_refused(
    trials: dict[str, Trial], seeds: tuple[int, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        sweep(trials, text(), seeds=seeds)
