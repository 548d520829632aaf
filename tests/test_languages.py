"""The entropy of a synthetic language is exactly known, and its samples have it."""

import pytest
import torch

from minimoe.data.languages import (
    MarkovLanguage,
    markov_language,
    mixture_floor_bits,
    mixture_text,
)
from minimoe.errors import InputError


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(symbols: int) -> MarkovLanguage:
    return MarkovLanguage(torch.full((symbols, symbols), 1 / symbols, dtype=torch.float64))


def bits_of(language: MarkovLanguage, tokens: torch.Tensor) -> torch.Tensor:
    """-log2 of the probability of each sequence, written out."""
    steps = language.transitions[tokens[:, :-1], tokens[:, 1:]]
    return -torch.cat([language.stationary[tokens[:, :1]], steps], dim=1).log2().sum(dim=1)


def test_a_uniform_language_of_8_tokens_has_3_bits() -> None:
    assert uniform(8).entropy_bits == pytest.approx(3.0, abs=1e-12)
    assert uniform(8).sequence_bits(10) == pytest.approx(30.0, abs=1e-11)
    assert uniform(8).stationary.tolist() == pytest.approx([0.125] * 8)


def test_a_cycle_has_0_bits_after_the_first_token() -> None:
    cycle = markov_language(n_symbols=8, n_successors=1, seed=0)
    assert cycle.entropy_bits == 0.0
    assert cycle.sequence_bits(100) == pytest.approx(3.0, abs=1e-12)
    tokens = cycle.sample(4, 20, generator(0))
    assert ((tokens[:, 1:] - tokens[:, :-1]) % 8 == 1).all()


def test_two_states_have_the_entropy_worked_out_by_hand() -> None:
    """Stationary (2/3, 1/3); 2/3 * H(1/4) + 1/3 * H(1/2) = 2/3 * 0.811278 + 1/3 bits."""
    language = MarkovLanguage(torch.tensor([[0.75, 0.25], [0.5, 0.5]], dtype=torch.float64))
    torch.testing.assert_close(language.stationary, torch.tensor([2 / 3, 1 / 3]).double())
    assert language.entropy_bits == pytest.approx(2 / 3 * 0.8112781244591328 + 1 / 3, abs=1e-12)


def test_the_stationary_distribution_does_not_change_in_a_step() -> None:
    language = markov_language(n_symbols=16, n_successors=4, seed=9)
    after = language.stationary @ language.transitions
    torch.testing.assert_close(after, language.stationary, atol=1e-13, rtol=0)


def test_the_bits_of_a_sequence_are_its_mean_over_all_sequences() -> None:
    language = markov_language(n_symbols=3, n_successors=2, seed=5)
    everything = torch.cartesian_prod(*[torch.arange(3)] * 5)
    bits = bits_of(language, everything)
    share = torch.exp2(-bits)
    assert share.sum().item() == pytest.approx(1.0, abs=1e-12)
    mean = (share * bits).nan_to_num(0.0).sum().item()
    assert mean == pytest.approx(language.sequence_bits(5), abs=1e-12)


def test_short_and_long_samples_have_the_known_entropy_within_1_percent() -> None:
    language = markov_language(n_symbols=8, n_successors=3, seed=1)
    for n_sequences, length in ((40_000, 4), (1_000, 160)):
        bits = bits_of(language, language.sample(n_sequences, length, generator(length)))
        assert bits.mean().item() == pytest.approx(language.sequence_bits(length), rel=0.01)


def test_a_mixture_knows_the_language_of_each_token() -> None:
    languages = [markov_language(n_symbols=8, n_successors=2, seed=i) for i in range(2)]
    text = mixture_text(
        languages, segment_length=32, n_train_segments=400, n_validation_segments=50, seed=4
    )
    assert text.train.domains == ("language 0", "language 1")
    assert len(text.train.tokens) == 400 * 32 and len(text.validation.tokens) == 50 * 32
    tokens = text.train.tokens.long().view(-1, 32)
    ids = text.train.domain_ids.view(-1, 32)
    assert (ids == ids[:, :1]).all()
    for i, language in enumerate(languages):
        assert bits_of(language, tokens[ids[:, 0] == i]).isfinite().all()
        assert not bits_of(language, tokens[ids[:, 0] != i]).isfinite().all()
        assert (ids[:, 0] == i).sum() > 150


def test_a_mixture_is_repeatable_and_its_two_sides_differ() -> None:
    def write(seed: int) -> list[list[int]]:
        text = mixture_text(
            [uniform(8)], segment_length=32, n_train_segments=9, n_validation_segments=9, seed=seed
        )
        return [text.train.tokens.tolist(), text.validation.tokens.tolist()]

    first, again, other = write(0), write(0), write(1)
    assert first == again
    assert len({tuple(tokens) for tokens in (*first, *other)}) == 4


def test_the_floor_of_a_mixture_is_the_mean_of_its_languages() -> None:
    assert mixture_floor_bits([uniform(2), uniform(8)], 16) == pytest.approx(2.0, abs=1e-12)


def test_bad_input_is_refused_with_both_numbers() -> None:
    refused = [
        (lambda: uniform(4).sequence_bits(0), "1.*0"),
        (lambda: markov_language(n_symbols=257, n_successors=2, seed=0), "1, 256.*257"),
        (lambda: markov_language(n_symbols=8, n_successors=9, seed=0), "1, 8.*9"),
        (
            lambda: mixture_text(
                [], segment_length=4, n_train_segments=1, n_validation_segments=1, seed=0
            ),
            "1, 255.*0",
        ),
    ]
    for make, numbers in refused:
        with pytest.raises(InputError, match=numbers):
            make()
