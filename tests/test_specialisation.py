"""Mutual information has its documented values; a planted rule is found, chance is not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe.config import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data import Corpus
from minimoe.measure.routes import trace
from minimoe.measure.specialisation import (
    Specialisation,
    normalised_mutual_information,
    specialisation,
)
from minimoe.training.loop import start, train

N_GROUPS, LENGTH, N_EXPERTS = 60, 32, 8
GROUPS = torch.arange(N_GROUPS).repeat_interleave(LENGTH)


def counts(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_ids(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def test_the_information_has_its_documented_values() -> None:
    assert normalised_mutual_information(counts([1, 2], [2, 4])) == pytest.approx(0, abs=1e-15)
    assert normalised_mutual_information(counts([1, 0], [1, 0], [0, 2])) == 1
    third = normalised_mutual_information(counts([2, 1], [1, 2]))
    assert third == pytest.approx(5 / 3 - math.log2(3), abs=1e-14)  # 1 bit - H(1/3)
    assert round(third, 4) == 0.0817


def test_the_smaller_entropy_is_the_most_that_could_be_known() -> None:
    experts_tell = counts([1, 0], [1, 0], [0, 1], [0, 1])  # 2 bits of expert, 1 of label
    for table in (experts_tell, experts_tell.T):
        assert normalised_mutual_information(table) == 1


def test_an_expert_that_never_changes_tells_nothing() -> None:
    assert normalised_mutual_information(counts([3, 5])) == 0
    assert normalised_mutual_information(counts([3], [5])) == 0


def test_what_is_given_already_is_not_counted_again() -> None:
    """Label, expert and given are one and the same bit: nothing is left to tell."""
    same = torch.zeros(2, 2, 2)
    same[0, 0, 0] = same[1, 1, 1] = 1
    assert normalised_mutual_information(same.sum(0)) == 1
    assert normalised_mutual_information(same) == 0


def test_what_only_shows_when_the_other_is_given_is_counted() -> None:
    """Expert = label XOR given: independent in pairs, one bit when the third is known."""
    xor = torch.zeros(2, 2, 2)
    xor[0, 0, 0] = xor[0, 1, 1] = xor[1, 0, 1] = xor[1, 1, 0] = 1
    assert normalised_mutual_information(xor.sum(0)) == 0
    assert normalised_mutual_information(xor) == 1


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_the_information_is_the_textbook_sum_and_at_most_the_smaller_entropy(
    seed: int, n_rows: int, n_columns: int
) -> None:
    table = random_ids(5, n_rows, n_columns, seed=seed).double() + 0.5
    p = table / table.sum()
    rows, columns = p.sum(1), p.sum(0)
    bits = float((p * (p / rows[:, None] / columns[None]).log2()).sum())
    most = min(-float((q * q.log2()).sum()) for q in (rows, columns))
    assert normalised_mutual_information(table) * most == pytest.approx(bits, abs=1e-9)


def test_labels_that_repeat_the_expert_have_nmi_1_far_outside_the_control() -> None:
    labels = random_ids(N_EXPERTS, N_GROUPS * LENGTH)
    got = specialisation(labels[:, None], labels, GROUPS)
    assert got.nmi == pytest.approx(1, abs=1e-12) and got.low > 0.99
    assert got.is_outside and got.control < 0.02 < got.excess


def test_a_planted_uniform_router_lies_inside_its_control() -> None:
    """Experts drawn evenly, labels with runs or without, constant in a window or a position."""
    ids = torch.rand(N_GROUPS * LENGTH, N_EXPERTS, generator=torch.Generator().manual_seed(1))
    chosen = ids.topk(2).indices
    position = torch.arange(LENGTH).repeat(N_GROUPS)
    for labels in (GROUPS % 3, position, random_ids(50, len(GROUPS)), position // 8 + GROUPS % 2):
        got = specialisation(chosen, labels, GROUPS)
        assert got.nmi <= got.control_high and not got.is_outside
        assert 0 < got.control and abs(got.excess) < 0.01


def test_a_single_choice_for_a_whole_window_is_no_evidence_for_each_token() -> None:
    """Expert and label drawn once a window: shuffled tokens would call it a choice."""
    seeds = range(6)
    outside, naive = 0, 0
    singles = torch.arange(N_GROUPS * LENGTH)
    for seed in seeds:
        ids = random_ids(4, N_GROUPS, 1, seed=2 * seed).repeat_interleave(LENGTH, 0)
        labels = random_ids(3, N_GROUPS, seed=2 * seed + 1).repeat_interleave(LENGTH)
        outside += specialisation(ids, labels, GROUPS, n_resamples=20, seed=seed).is_outside
        naive += specialisation(ids, labels, singles, n_shuffles=19, n_resamples=19).is_outside
    assert outside == 0 and naive >= 5


def test_the_control_of_a_position_turns_within_the_window() -> None:
    position = torch.arange(LENGTH).repeat(N_GROUPS)
    got = specialisation((position // 4)[:, None], position, GROUPS)
    assert got.nmi == pytest.approx(1, abs=1e-12)
    assert got.control_high < 0.3 and got.is_outside


def test_the_control_of_a_windows_label_is_shuffled_between_windows() -> None:
    labels = GROUPS % 3
    got = specialisation(labels[:, None], labels, GROUPS)
    assert got.nmi == pytest.approx(1, abs=1e-12)
    assert 0 < got.control < 0.2 and got.is_outside


def test_windows_of_different_length_are_shuffled_too() -> None:
    lengths = random_ids(30, 40) + 1
    groups = torch.arange(40).repeat_interleave(lengths)
    labels = groups % 2
    got = specialisation(labels[:, None], labels, groups, n_shuffles=30, n_resamples=30)
    assert got.nmi == pytest.approx(1, abs=1e-12) and got.is_outside


def test_the_interval_covers_the_value_of_a_long_text() -> None:
    """Expert = label for a share of the windows that differs from window to window."""

    def sample(n_groups: int, seed: int) -> Specialisation:
        groups = torch.arange(n_groups).repeat_interleave(LENGTH)
        labels = random_ids(4, len(groups), seed=seed)
        share = torch.rand(n_groups, generator=torch.Generator().manual_seed(seed + 1))
        noise = torch.rand(len(groups), generator=torch.Generator().manual_seed(seed + 2))
        ids = torch.where(noise < share[groups], labels, random_ids(4, len(groups), seed=seed + 3))
        return specialisation(ids[:, None], labels, groups, n_shuffles=1, n_resamples=60, seed=seed)

    truth = sample(1500, 7).nmi
    samples = [sample(N_GROUPS, 10 * seed) for seed in range(1, 11)]
    assert sum(s.low <= truth + s.control and truth <= s.high for s in samples) >= 8
    assert all(s.low < s.nmi < s.high and s.high - s.low < 0.2 for s in samples)


def test_a_topic_that_only_the_characters_tell_adds_nothing_to_them() -> None:
    tokens = random_ids(6, N_GROUPS * LENGTH) + 6 * (GROUPS % 2)  # two topics, two alphabets
    ids, topic = (tokens % 4)[:, None] + 4 * (tokens // 6)[:, None], GROUPS % 2
    assert specialisation(ids, topic, GROUPS).is_outside
    given = specialisation(ids, topic, GROUPS, given=tokens)
    assert given.nmi == 0 and not given.is_outside


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    ids, labels = random_ids(4, N_GROUPS * LENGTH, 2), random_ids(9, N_GROUPS * LENGTH)
    once, again, other = (specialisation(ids, labels, GROUPS, seed=s) for s in (3, 3, 4))
    assert once == again and once.nmi == other.nmi and once.control != other.control


def test_what_cannot_be_shuffled_is_refused_with_both_numbers() -> None:
    ids, labels = random_ids(4, 4, 1), random_ids(2, 4)
    with pytest.raises(InputError, match="2.*1"):
        specialisation(ids, labels, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(InputError, match="3.*2"):
        specialisation(ids, labels, torch.tensor([0, 1, 1, 0]))
    with pytest.raises(InputError, match="1.*0.*200"):
        specialisation(ids, labels, torch.tensor([0, 0, 1, 1]), n_shuffles=0)


def test_a_specialisation_that_was_planted_is_recovered_with_balancing_on() -> None:
    """Four languages have 16 tokens each, all equally likely: a token tells only its language.

    Strong weight decay removes what else the embeddings hold at the start.
    """
    source = random_ids(4, 2064).repeat_interleave(LENGTH)
    tokens = 16 * source + random_ids(16, len(source), seed=1)
    languages = Corpus(tokens.byte(), source.byte(), tuple("abcd"))
    source, groups = source[: 64 * LENGTH], torch.arange(64).repeat_interleave(LENGTH)
    model = ModelConfig(
        n_layers=1,
        attention=AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8),
        moe=MoEConfig(
            d_model=16, d_expert=32, n_routed_experts=8, top_k=1, normalize_weights=False
        ),
    )
    training = TrainConfig(
        steps=150,
        batch_size=16,
        length=LENGTH,
        learning_rate=0.03,
        balance_weight=0.02,
        weight_decay=3.0,
        seed=0,
    )
    trained = train(start(model, training, seed=0), languages).model
    (ids,) = trace(trained, tokens[: 64 * LENGTH].view(64, LENGTH)).expert_ids
    got = specialisation(ids, source, groups)
    assert got.nmi >= 0.8 and got.is_outside
    load = torch.bincount(ids.flatten(), minlength=8) / ids.numel()
    assert float(load.max()) < 0.4 and int((load > 0.03).sum()) >= 6
