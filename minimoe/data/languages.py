"""What is the best that any model could do? Synthetic languages with exactly known entropy."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from minimoe.config import InputError
from minimoe.data.text import MAX_DOMAINS, VOCAB_SIZE, Corpus, Text

MAX_CONTEXTS = 1024  # the stationary distribution is solved densely


@runtime_checkable
class Language(Protocol):
    """A source of tokens whose laws are known."""

    def sample(
        self, n_sequences: int, length: int, generator: torch.Generator
    ) -> Int64[Tensor, "B L"]:
        """Draw independent sequences."""
        ...

    def log_probabilities(self, tokens: Int64[Tensor, "B L"]) -> Float64[Tensor, "B L"]:
        """Natural logarithm of each token's probability, given those before it."""
        ...

    def sequence_bits(self, length: int) -> float:
        """Entropy of one sequence, in bits."""
        ...


# Markov sources ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MarkovLanguage:
    """The next symbol depends on the last `order` symbols only; a sequence starts stationary.

    Args:
        transitions: probability of each next symbol after each context. A context of order 2,
            (symbol before last, last symbol), has the number first * S + second.
        order: symbols in a context, 1 or 2.
        first_token: token id of symbol 0; the symbols take S ids from there on.

    Raises:
        InputError: the sizes do not fit, a row is no distribution, or the chain has several
            stationary distributions.
    """

    transitions: Float64[Tensor, "contexts S"]
    order: int = 1
    first_token: int = 0

    def __post_init__(self) -> None:
        contexts, symbols = self.transitions.shape
        _check_range("order", self.order, 1, 2)
        _check_tokens(self.first_token, symbols)
        if contexts != symbols**self.order:
            raise InputError(
                f"transitions needs {symbols}**{self.order} = {symbols**self.order} rows, "
                f"got {contexts}"
            )
        _check_range("the number of contexts", contexts, 1, MAX_CONTEXTS)
        sums = self.transitions.sum(dim=1)
        if (self.transitions < 0).any() or (sums - 1).abs().max() > 1e-9:
            raise InputError(
                "each row of transitions must be at least 0 and sum to 1, got a sum of "
                f"{sums[(sums - 1).abs().argmax()].item():.6f} and a least entry of "
                f"{self.transitions.min().item():.6f}"
            )
        _ = self.stationary  # refused here when there are several

    @functools.cached_property
    def stationary(self) -> Float64[Tensor, "contexts"]:
        """Long-run share of each context: 1/S each for the uniform source of order 1."""
        return _stationary(self._context_steps())

    @property
    def entropy_bits(self) -> float:
        """Entropy rate in bits a token: 3 for a uniform source of 8 symbols, 0 for a cycle."""
        return float(self.stationary @ _row_bits(self.transitions))

    def sequence_bits(self, length: int) -> float:
        """Entropy of one sequence in bits: its first `order` tokens, then the rate for each."""
        _check_range("length", length, self.order, None)
        start = _row_bits(self.stationary[None]).item()
        return start + (length - self.order) * self.entropy_bits

    def sample(
        self, n_sequences: int, length: int, generator: torch.Generator
    ) -> Int64[Tensor, "B L"]:
        """Draw independent sequences; one of `length` tokens costs as many steps as a thousand."""
        _check_range("length", length, self.order, None)
        symbols = self.transitions.shape[1]
        uniform = torch.rand(length, n_sequences, generator=generator, dtype=torch.float64)
        context = _inverse(self.stationary.cumsum(0).expand(n_sequences, -1), uniform[0])
        drawn = [context] if self.order == 1 else [context // symbols, context % symbols]
        cumulative = self.transitions.cumsum(dim=1)
        for row in uniform[self.order :]:
            symbol = _inverse(cumulative[context], row)
            context = (context * symbols + symbol) % len(self.transitions)
            drawn.append(symbol)
        return torch.stack(drawn, dim=1) + self.first_token

    def log_probabilities(self, tokens: Int64[Tensor, "B L"]) -> Float64[Tensor, "B L"]:
        """Natural logarithm of each token's probability, given those before it.

        Returns:
            Nats, minus infinity for what cannot happen. From position `order` on, the mean of
            minus their log2 tends to `entropy_bits`.
        """
        symbols = self.transitions.shape[1]
        ids = tokens - self.first_token
        known = (ids >= 0) & (ids < symbols)
        ids = ids.clamp(0, symbols - 1)
        first = self.stationary.view(symbols, -1).sum(dim=1)
        parts = [first[ids[:, :1]]]
        context = ids[:, :-1]
        if self.order == 2:
            joint = self.stationary.view(symbols, symbols)
            parts.append((joint / first[:, None]).nan_to_num(0.0)[ids[:, :1], ids[:, 1:2]])
            context = ids[:, :-2] * symbols + ids[:, 1:-1]
        parts.append(self.transitions[context, ids[:, self.order :]])
        probabilities = torch.cat(parts, dim=1)[:, : tokens.shape[1]]
        return torch.where(known, probabilities, 0.0).log()

    def _context_steps(self) -> Float64[Tensor, "contexts contexts"]:
        """Probability of each next context after each context."""
        contexts, symbols = self.transitions.shape
        steps = torch.zeros(contexts, contexts, dtype=torch.float64)
        start = torch.arange(contexts)[:, None]
        return steps.scatter(
            1, (start * symbols + torch.arange(symbols)) % contexts, self.transitions
        )


def markov_language(
    *, n_symbols: int, n_successors: int, seed: int, order: int = 1, first_token: int = 0
) -> MarkovLanguage:
    """Draw a sparse Markov source: after each context only a few symbols can follow.

    One of them is always the symbol after the last one, in a circle, which makes the stationary
    distribution unique.

    Args:
        n_symbols: symbols of the language (S).
        n_successors: symbols that can follow a context, 1 to S; 1 gives the cycle, 0 bits.
        seed: of the matrix.
        order: symbols in a context, 1 or 2.
        first_token: token id of symbol 0. Languages with the same first token share their tokens,
            so that only context tells them apart.

    Returns:
        The source; its entropy rate is at most log2(n_successors) bits a token.

    Raises:
        InputError: a number is out of its range.
    """
    _check_tokens(first_token, n_symbols)
    _check_range("order", order, 1, 2)
    _check_range("n_successors", n_successors, 1, n_symbols)
    contexts = n_symbols**order
    _check_range("the number of contexts", contexts, 1, MAX_CONTEXTS)
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(contexts, n_symbols, generator=generator, dtype=torch.float64)
    rows = torch.arange(contexts)
    rank[rows, (rows + 1) % n_symbols] = 2.0  # the last symbol is context mod S
    successors = rank.argsort(dim=1, descending=True)[:, :n_successors]
    uniform = torch.rand(contexts, n_successors, generator=generator, dtype=torch.float64)
    weights = 0.05 - torch.log1p(-uniform)  # exponential, but none so rare that a text misses it
    transitions = torch.zeros(contexts, n_symbols, dtype=torch.float64)
    transitions.scatter_(1, successors, weights / weights.sum(dim=1, keepdim=True))
    return MarkovLanguage(transitions, order, first_token)


def _stationary(steps: Float64[Tensor, "S S"]) -> Float64[Tensor, "S"]:
    """The distribution p with p = p @ steps, by solving p (steps - 1) = 0 with sum p = 1."""
    equations = steps.T - torch.eye(len(steps), dtype=torch.float64)
    equations = torch.cat([equations, torch.ones(1, len(steps), dtype=torch.float64)])
    right = torch.zeros(len(steps) + 1, 1, dtype=torch.float64)
    right[-1] = 1.0
    solved = torch.linalg.lstsq(equations, right, rcond=1e-10, driver="gelsy")  # tells the rank
    if (rank := int(solved.rank)) < len(steps):
        raise InputError(
            f"transitions must lead to one stationary distribution, got {len(steps) - rank + 1}; "
            "connect the contexts"
        )
    law = solved.solution[:, 0].clamp(min=0.0)
    return law / law.sum()


# A grammar --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TemplateLanguage:
    """Sentences of one length: a template is chosen evenly, then each slot is filled evenly.

    Args:
        slots: which symbols may stand at each position of each template; one symbol makes a
            fixed word, several make a slot.
        first_token: token id of symbol 0.

    Raises:
        InputError: a slot has no symbol, or two templates can write the same sentence (the
            entropy would then not be known in closed form).
    """

    slots: Bool[Tensor, "templates sentence S"]
    first_token: int = 0

    def __post_init__(self) -> None:
        _check_tokens(self.first_token, self.slots.shape[2])
        if not self.slots.any(dim=2).all():
            raise InputError("each slot of each template needs at least 1 symbol, got 0 in one")
        shared = (self.slots[:, None] & self.slots[None]).any(dim=3).all(dim=2)
        shared.fill_diagonal_(False)
        if shared.any():
            i, j = shared.nonzero()[0].tolist()
            raise InputError(
                f"templates {i} and {j} can write the same sentence; give them different "
                "symbols in one slot"
            )

    @property
    def sentence_length(self) -> int:
        """Tokens in a sentence."""
        return self.slots.shape[1]

    @property
    def entropy_bits(self) -> float:
        """Entropy rate in bits a token: (log2 of templates + mean of slots' log2) / length."""
        choices = self.slots.sum(dim=2).double().log2().sum(dim=1).mean().item()
        return (math.log2(len(self.slots)) + choices) / self.sentence_length

    def sequence_bits(self, length: int) -> float:
        """Entropy of one sequence in bits; a sequence is made of whole sentences."""
        self._check_whole(length)
        return length * self.entropy_bits

    def sample(
        self, n_sequences: int, length: int, generator: torch.Generator
    ) -> Int64[Tensor, "B L"]:
        """Draw sequences of whole sentences."""
        self._check_whole(length)
        n_sentences = n_sequences * length // self.sentence_length
        templates = torch.randint(len(self.slots), (n_sentences,), generator=generator)
        shape = (n_sentences, self.sentence_length)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
        allowed = self.slots[templates].long().cumsum(dim=2)
        choice = (uniform * allowed[..., -1]).long()  # the choice-th of the allowed symbols
        symbols = (allowed <= choice[..., None]).sum(dim=2)
        return symbols.view(n_sequences, length) + self.first_token

    def log_probabilities(self, tokens: Int64[Tensor, "B L"]) -> Float64[Tensor, "B L"]:
        """Natural logarithm of each token's probability, given those before it.

        Returns:
            Nats, minus infinity for what cannot happen; the mean of minus their log2 tends to
            `entropy_bits`.
        """
        self._check_whole(tokens.shape[1])
        width, symbols = self.slots.shape[1:]
        ids = (tokens - self.first_token).reshape(-1, width)
        known = (ids >= 0) & (ids < symbols)
        law = self.slots.double() / self.slots.sum(dim=2, keepdim=True)
        each = law[:, torch.arange(width), ids.clamp(0, symbols - 1)] * known
        start = each.new_ones(len(self.slots), len(ids), 1)
        prefix = torch.cat([start, each.cumprod(dim=2)], dim=2).mean(dim=0)  # over the templates
        ratio = torch.where(prefix[:, :-1] > 0, prefix[:, 1:] / prefix[:, :-1], 0.0)
        return ratio.log().view(tokens.shape)

    def _check_whole(self, length: int) -> None:
        if length < 1 or length % self.sentence_length:
            raise InputError(
                f"length must be a multiple of the sentence's {self.sentence_length} tokens, "
                f"got {length}"
            )


def template_language(
    templates: Sequence[Sequence[Sequence[int]]], *, n_symbols: int, first_token: int = 0
) -> TemplateLanguage:
    """Make a grammar from lists: for each template and position, the symbols that may stand there.

    Returns:
        The source; templates [[[0], [1, 2]], [[3], [1, 2]]] have (1 + 1) / 2 = 1 bit a token.

    Raises:
        InputError: the templates differ in length, or a symbol is outside [0, n_symbols).
    """
    lengths = {len(template) for template in templates}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"templates must have one length of at least 1, got {sorted(lengths)}")
    slots = torch.zeros(len(templates), lengths.pop(), n_symbols, dtype=torch.bool)
    for i, template in enumerate(templates):
        for j, symbols in enumerate(template):
            for symbol in symbols:
                _check_range("a symbol", symbol, 0, n_symbols - 1)
                slots[i, j, symbol] = True
    return TemplateLanguage(slots, first_token)


# Several languages in one text ------------------------------------------------------------------


def mixture_text(
    languages: Sequence[Language],
    *,
    segment_length: int,
    n_train_segments: int,
    n_validation_segments: int,
    seed: int,
    names: Sequence[str] | None = None,
) -> Text:
    """Write a text in several languages, segment by segment, each segment's language drawn evenly.

    Training text comes from seed 2 * seed and validation text from 2 * seed + 1.

    Args:
        languages: the sources; their token ranges may be the same or disjoint.
        segment_length: tokens in a segment.
        n_train_segments: segments to train on.
        n_validation_segments: segments to validate on.
        seed: of both sides, at least 0.
        names: of the languages; None = "language 0" and so on.

    Returns:
        The text; each token's domain id is the index of the language that wrote it.

    Raises:
        InputError: a number is out of its range or a language cannot write such segments.
    """
    _check_range("the number of languages", len(languages), 1, MAX_DOMAINS)
    _check_range("seed", seed, 0, None)
    domains = tuple(names) if names else tuple(f"language {i}" for i in range(len(languages)))
    if len(domains) != len(languages):
        raise InputError(f"names must be {len(languages)}, one a language, got {len(domains)}")
    sides = []
    for side, n_segments in enumerate((n_train_segments, n_validation_segments)):
        _check_range("the number of segments", n_segments, 1, None)
        generator = torch.Generator().manual_seed(2 * seed + side)
        ids = torch.randint(len(languages), (n_segments,), generator=generator)
        tokens = torch.empty(n_segments, segment_length, dtype=torch.uint8)
        for i, language in enumerate(languages):
            n = int((ids == i).sum())
            tokens[ids == i] = language.sample(n, segment_length, generator).to(torch.uint8)
        domain_ids = ids.to(torch.uint8).repeat_interleave(segment_length)
        sides.append(Corpus(tokens.flatten(), domain_ids, domains))
    return Text(*sides)


def mixture_floor_bits(languages: Sequence[Language], segment_length: int) -> float:
    """Bits a token that a reader pays who is told the language at the start of each segment.

    No model can do better in expectation. One that is not told must also find the language out,
    which costs at most log2(number of languages) / segment_length bits a token.

    Returns:
        Bits a token: 2.0 for two uniform sources of 2 and 8 symbols.
    """
    bits = [language.sequence_bits(segment_length) for language in languages]
    return sum(bits) / len(bits) / segment_length


# ------------------------------------------------------------------------------------------------


def _row_bits(rows: Float64[Tensor, "R S"]) -> Float64[Tensor, "R"]:
    """Entropy of each row in bits, with 0 log 0 = 0."""
    return torch.special.entr(rows).sum(dim=1) / math.log(2)


def _inverse(
    cumulative: Float64[Tensor, "B S"], uniform: Float64[Tensor, "B"]
) -> Int64[Tensor, "B"]:
    """The first symbol whose cumulative probability exceeds a uniform number."""
    target = uniform * cumulative[:, -1]  # the last sum is 1 up to rounding
    return (cumulative <= target[:, None]).sum(dim=1)


def _check_range(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise InputError(f"{name} must be {limits}, got {value}")


def _check_tokens(first_token: int, n_symbols: int) -> None:
    _check_range("n_symbols", n_symbols, 1, VOCAB_SIZE)
    _check_range("first_token", first_token, 0, VOCAB_SIZE - n_symbols)
