"""Is the entropy of the synthetic languages what they say?"""

import math

import pytest
import torch

from minimoe.config import InputError
from minimoe.data.languages import (
    MarkovLanguage,
    markov_language,
    mixture_floor_bits,
    mixture_text,
    template_language,
)

TEMPLATES = [[[0], [1, 2, 3, 4], [5]], [[6], [1, 2], [1, 2, 5]], [[0], [6], [1, 2, 3, 4, 5]]]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(symbols: int, order: int = 1, first_token: int = 0) -> MarkovLanguage:
    rows = torch.full((symbols**order, symbols), 1 / symbols, dtype=torch.float64)
    return MarkovLanguage(rows, order, first_token)


def empirical_bits(tokens: torch.Tensor, order: int) -> float:
    """Conditional entropy of the last token of every run of order + 1, by counting."""
    windows = tokens.unfold(1, order + 1, 1) @ (256 ** torch.arange(order + 1))
    runs, contexts = windows.flatten(), (windows % 256**order).flatten()
    bits = [
        torch.special.entr(n.double() / len(runs)).sum().item() / math.log(2)
        for n in (runs.unique(return_counts=True)[1], contexts.unique(return_counts=True)[1])
    ]
    return bits[0] - bits[1]


@pytest.mark.parametrize("order", [1, 2])
def test_a_uniform_source_of_8_symbols_has_3_bits(order: int) -> None:
    assert uniform(8, order).entropy_bits == pytest.approx(3.0, abs=1e-12)
    assert uniform(8, order).sequence_bits(10) == pytest.approx(30.0, abs=1e-11)


def test_the_stationary_distribution_of_a_uniform_source_is_uniform() -> None:
    torch.testing.assert_close(uniform(8).stationary, torch.full((8,), 0.125, dtype=torch.float64))


def test_a_cycle_has_0_bits_and_its_sequences_only_those_of_the_start() -> None:
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


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_long_markov_sample_has_the_known_entropy_within_1_percent(order: int, seed: int) -> None:
    language = markov_language(n_symbols=8, n_successors=3, order=order, seed=seed, first_token=40)
    tokens = language.sample(2000, 102, generator(seed))
    assert tokens.min() >= 40 and tokens.max() < 48
    assert empirical_bits(tokens, order) == pytest.approx(language.entropy_bits, rel=0.01)
    scored = -language.log_probabilities(tokens)[:, order:].mean().item() / math.log(2)
    assert scored == pytest.approx(language.entropy_bits, rel=0.01)


@pytest.mark.parametrize("order", [1, 2])
def test_markov_sequences_pay_the_known_bits_from_their_first_token_on(order: int) -> None:
    language = markov_language(n_symbols=5, n_successors=2, order=order, seed=3)
    tokens = language.sample(40_000, 4, generator(1))
    bits = -language.log_probabilities(tokens).sum(dim=1).mean().item() / math.log(2)
    assert bits == pytest.approx(language.sequence_bits(4), rel=0.01)


@pytest.mark.parametrize("order", [1, 2])
def test_the_probabilities_of_all_markov_sequences_sum_to_1(order: int) -> None:
    language = markov_language(n_symbols=3, n_successors=2, order=order, seed=5, first_token=7)
    everything = torch.cartesian_prod(*[torch.arange(7, 10)] * 5)
    log_probability = language.log_probabilities(everything).sum(dim=1)
    assert log_probability.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    mean_bits = torch.special.entr(log_probability.exp()).sum().item() / math.log(2)
    assert mean_bits == pytest.approx(language.sequence_bits(5), abs=1e-12)


def test_a_stationary_distribution_stays_when_the_chain_moves_on() -> None:
    language = markov_language(n_symbols=16, n_successors=4, order=2, seed=9)
    steps = language._context_steps()
    torch.testing.assert_close(language.stationary @ steps, language.stationary, atol=1e-13, rtol=0)
    assert (steps.sum(dim=1) - 1).abs().max() < 1e-12


def test_a_token_of_another_language_is_impossible() -> None:
    language = uniform(4, first_token=10)
    assert language.log_probabilities(torch.tensor([[10, 9]]))[0, 1] == -math.inf
    assert language.log_probabilities(torch.tensor([[10, 14]]))[0, 1] == -math.inf


def test_a_grammar_with_two_templates_and_one_slot_of_two_has_1_bit() -> None:
    assert template_language([[[0], [1, 2]], [[3], [1, 2]]], n_symbols=4).entropy_bits == 1.0


def test_the_probabilities_of_all_sentences_sum_to_1_and_have_the_known_entropy() -> None:
    grammar = template_language(TEMPLATES, n_symbols=7, first_token=20)
    everything = torch.cartesian_prod(*[torch.arange(20, 27)] * 3)
    probability = grammar.log_probabilities(everything).sum(dim=1).exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    bits = torch.special.entr(probability).sum().item() / math.log(2)
    assert bits == pytest.approx(grammar.sequence_bits(3), abs=1e-12)
    assert grammar.entropy_bits == pytest.approx(bits / 3, abs=1e-12)


def test_a_long_sample_of_a_grammar_pays_its_entropy_within_1_percent() -> None:
    grammar = template_language(TEMPLATES, n_symbols=7, first_token=20)
    tokens = grammar.sample(2000, 30, generator(0))
    bits = -grammar.log_probabilities(tokens).mean().item() / math.log(2)
    assert bits == pytest.approx(grammar.entropy_bits, rel=0.01)
    _, counts = tokens.view(-1, 3).unique(dim=0, return_counts=True)
    share = counts.double() / counts.sum()
    assert len(counts) == 4 + 6 + 5
    assert torch.special.entr(share).sum().item() / math.log(2) == pytest.approx(bits * 3, rel=0.01)


@pytest.mark.parametrize("first_tokens", [(0, 0), (0, 8)])
def test_a_mixture_knows_who_wrote_each_token(first_tokens: tuple[int, int]) -> None:
    languages = [
        markov_language(n_symbols=8, n_successors=2, seed=i, first_token=first)
        for i, first in enumerate(first_tokens)
    ]
    text = mixture_text(
        languages, segment_length=32, n_train_segments=400, n_validation_segments=50, seed=4
    )
    assert text.train.domains == ("language 0", "language 1")
    assert len(text.train.tokens) == 400 * 32 and len(text.validation.tokens) == 50 * 32
    tokens = text.train.tokens.long().view(-1, 32)
    ids = text.train.domain_ids.view(-1, 32)
    assert (ids == ids[:, :1]).all()
    for i, language in enumerate(languages):
        assert language.log_probabilities(tokens[ids[:, 0] == i]).isfinite().all()
        assert not language.log_probabilities(tokens[ids[:, 0] != i]).isfinite().all()
        assert (ids[:, 0] == i).sum() > 150


def test_a_mixture_is_repeatable_and_its_two_sides_differ() -> None:
    def write(seed: int) -> list[torch.Tensor]:
        text = mixture_text(
            [uniform(8)],
            segment_length=32,
            n_train_segments=9,
            n_validation_segments=9,
            seed=seed,
        )
        return [text.train.tokens, text.validation.tokens]

    first, again, other = write(0), write(0), write(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    different = [*first, *other]
    assert len({tuple(tokens.tolist()) for tokens in different}) == 4


def test_the_floor_of_a_mixture_is_the_mean_of_its_languages() -> None:
    assert mixture_floor_bits([uniform(2), uniform(8)], 16) == pytest.approx(2.0, abs=1e-12)


def test_nonsense_is_refused_with_both_numbers() -> None:
    half = torch.full((2, 2), 0.5, dtype=torch.float64)
    cases = [
        (lambda: MarkovLanguage(half, order=3), r"order must be in \[1, 2\], got 3"),
        (lambda: MarkovLanguage(half, order=2), r"2\*\*2 = 4 rows, got 2"),
        (lambda: MarkovLanguage(half * 1.1), r"sum to 1, got a sum of 1\.1"),
        (lambda: MarkovLanguage(torch.eye(3).double()), "one stationary distribution, got 3"),
        (lambda: uniform(4).sequence_bits(0), "length must be at least 1, got 0"),
        (
            lambda: markov_language(n_symbols=8, n_successors=9, seed=0),
            r"n_successors must be in \[1, 8\], got 9",
        ),
        (
            lambda: markov_language(n_symbols=8, n_successors=2, seed=0, first_token=249),
            r"first_token must be in \[0, 248\], got 249",
        ),
        (
            lambda: markov_language(n_symbols=33, n_successors=2, seed=0, order=2),
            r"contexts must be in \[1, 1024\], got 1089",
        ),
        (
            lambda: template_language([[[0], [1]], [[0], [1, 2]]], n_symbols=3),
            "templates 0 and 1 can write the same sentence",
        ),
        (lambda: template_language([[[3]]], n_symbols=3), r"symbol must be in \[0, 2\], got 3"),
        (
            lambda: template_language([[[0], [1]]], n_symbols=2).sequence_bits(3),
            "multiple of the sentence's 2 tokens, got 3",
        ),
        (
            lambda: mixture_text(
                [], segment_length=4, n_train_segments=1, n_validation_segments=1, seed=0
            ),
            r"number of languages must be in \[1, 255\], got 0",
        ),
    ]
    for make, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            make()
        assert "\n" not in str(refusal.value)
