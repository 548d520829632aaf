"""Synthetic languages with exactly known entropy."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from minimoe.config.checks import check_integer
from minimoe.data.text import MAX_DOMAINS, VOCAB_SIZE, Corpus, Text


@dataclass(frozen=True, eq=False)
class MarkovLanguage:
    """A language whose next token depends on the last token only.

    A sequence starts with a token of the stationary distribution.

    Args:
        transitions: probability of each next token (column) after each token (row); with one
            stationary distribution.
    """

    transitions: Float64[Tensor, "S S"]

    @functools.cached_property
    def stationary(self) -> Float64[Tensor, "S"]:
        """Long-run share of each token: 1/S each for the uniform language."""
        n_symbols = len(self.transitions)  # p @ transitions = p and sum(p) = 1
        equations = self.transitions.T - torch.eye(n_symbols, dtype=torch.float64)
        equations = torch.cat([equations, torch.ones(1, n_symbols, dtype=torch.float64)])
        right = torch.zeros(n_symbols + 1, 1, dtype=torch.float64)
        right[-1] = 1.0
        solved = torch.linalg.lstsq(equations, right, rcond=1e-10, driver="gelsy")
        shares = solved.solution[:, 0].clamp(min=0.0)
        return shares / shares.sum()

    @property
    def entropy_bits(self) -> float:
        """Entropy rate in bits a token: 3 for a uniform language of 8 tokens, 0 for a cycle."""
        return float(self.stationary @ _row_bits(self.transitions))

    def sequence_bits(self, length: int) -> float:
        """Entropy of one sequence in bits: that of its first token, then the rate for each."""
        check_integer("length", length, 1)
        start = _row_bits(self.stationary[None]).item()
        return start + (length - 1) * self.entropy_bits

    def sample(
        self, n_sequences: int, length: int, generator: torch.Generator
    ) -> Int64[Tensor, "B L"]:
        """Draw independent sequences, all of them in `length` steps."""
        check_integer("length", length, 1)
        uniform = torch.rand(length, n_sequences, generator=generator, dtype=torch.float64)
        tokens = [_inverse(self.stationary.cumsum(0).expand(n_sequences, -1), uniform[0])]
        cumulative = self.transitions.cumsum(dim=1)
        for row in uniform[1:]:
            tokens.append(_inverse(cumulative[tokens[-1]], row))
        return torch.stack(tokens, dim=1)


def markov_language(*, n_symbols: int, n_successors: int, seed: int) -> MarkovLanguage:
    """Draw a sparse Markov language: only a few tokens can follow each token.

    One of them is always the next token in a circle. This makes the stationary distribution
    unique.

    Args:
        n_symbols: tokens of the language (S).
        n_successors: tokens that can follow a token, 1 to S; 1 gives the cycle, 0 bits.

    Returns:
        The language; its entropy rate is at most log2(n_successors) bits a token.

    Raises:
        InputError: a number is out of its range.
    """
    check_integer("n_symbols", n_symbols, 1, VOCAB_SIZE)
    check_integer("n_successors", n_successors, 1, n_symbols)
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(n_symbols, n_symbols, generator=generator, dtype=torch.float64)
    rows = torch.arange(n_symbols)
    rank[rows, (rows + 1) % n_symbols] = 2.0
    successors = rank.argsort(dim=1, descending=True)[:, :n_successors]
    uniform = torch.rand(n_symbols, n_successors, generator=generator, dtype=torch.float64)
    weights = 0.05 - torch.log1p(-uniform)  # exponential; + 0.05, so that no successor is too rare
    transitions = torch.zeros(n_symbols, n_symbols, dtype=torch.float64)
    transitions.scatter_(1, successors, weights / weights.sum(dim=1, keepdim=True))
    return MarkovLanguage(transitions)


def mixture_text(
    languages: Sequence[MarkovLanguage],
    *,
    segment_length: int,
    n_train_segments: int,
    n_validation_segments: int,
    seed: int,
) -> Text:
    """Write a text of segments, each in one of the languages, drawn with equal probability.

    Args:
        segment_length: tokens in a segment.
        seed: at least 0; training text comes from 2 * seed, validation text from 2 * seed + 1.

    Returns:
        The text; each token's domain id is the index of its language.

    Raises:
        InputError: a number is out of its range.
    """
    check_integer("the number of languages", len(languages), 1, MAX_DOMAINS)
    check_integer("seed", seed, 0)
    domains = tuple(f"language {i}" for i in range(len(languages)))
    sides = []
    for side, n_segments in enumerate((n_train_segments, n_validation_segments)):
        check_integer("the number of segments", n_segments, 1)
        generator = torch.Generator().manual_seed(2 * seed + side)
        ids = torch.randint(len(languages), (n_segments,), generator=generator)
        tokens = torch.empty(n_segments, segment_length, dtype=torch.uint8)
        for i, language in enumerate(languages):
            n = int((ids == i).sum())
            tokens[ids == i] = language.sample(n, segment_length, generator).to(torch.uint8)
        domain_ids = ids.to(torch.uint8).repeat_interleave(segment_length)
        sides.append(Corpus(tokens.flatten(), domain_ids, domains))
    return Text(sides[0], sides[1])


def mixture_floor_bits(languages: Sequence[MarkovLanguage], segment_length: int) -> float:
    """Compute the expected loss of a reader who is told the language of each segment.

    A model that is not told must also find out the language, which costs at most
    log2(number of languages) / segment_length bits a token.

    Returns:
        Bits a token: 2.0 for two uniform languages of 2 and 8 tokens.
    """
    bits = [language.sequence_bits(segment_length) for language in languages]
    return sum(bits) / len(bits) / segment_length


def _row_bits(rows: Float64[Tensor, "R S"]) -> Float64[Tensor, "R"]:
    """Entropy of each row in bits, with 0 log 0 = 0."""
    return torch.special.entr(rows).sum(dim=1) / math.log(2)


def _inverse(
    cumulative: Float64[Tensor, "B S"], uniform: Float64[Tensor, "B"]
) -> Int64[Tensor, "B"]:
    """Find the first symbol whose cumulative probability exceeds a uniform number."""
    target = uniform * cumulative[:, -1]  # the last sum is 1 up to rounding
    return (cumulative <= target[:, None]).sum(dim=1)
