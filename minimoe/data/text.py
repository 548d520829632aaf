"""Text as bytes with domains, split into training and validation without leakage."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from minimoe.data.sources import Source

VOCAB_SIZE = 256  # a token is a byte
TOTAL = "all"  # the name of the figure over all domains
MAX_DOMAINS = 255  # domain ids are stored as bytes
NEW_SHARE = 0.5  # of a validation paragraph's characters stand in lines that training lacks

Paragraph = tuple[str, str]  # (domain, text with the blank lines after it)
Document = list[Paragraph]


@dataclass(frozen=True, eq=False)
class Corpus:
    """One side of a text: its bytes, and for each the index of its domain in `domains`."""

    tokens: UInt8[Tensor, "n"]
    domain_ids: UInt8[Tensor, "n"]
    domains: tuple[str, ...]

    @functools.cached_property
    def bytes_per_domain(self) -> Int64[Tensor, "domains"]:
        """Number of tokens of each domain."""
        return torch.bincount(self.domain_ids, minlength=len(self.domains))

    def positions(
        self, domain_ids: Int64[Tensor, "B"], ranks: Int64[Tensor, "B"]
    ) -> Int64[Tensor, "B"]:
        """Positions in the text of bytes of a domain; rank 0 is the domain's first byte."""
        ends, shifts = self._stretches
        counts = self.bytes_per_domain
        ranks = (counts.cumsum(0) - counts)[domain_ids] + ranks
        return ranks + shifts[torch.searchsorted(ends, ranks, right=True)]

    @functools.cached_property
    def _stretches(self) -> tuple[Int64[Tensor, "S"], Int64[Tensor, "S"]]:
        """Stretches of one domain, sorted by domain: their ends when joined, and their shifts.

        A stretch's shift is its place in the text minus its place in the joined stretches.
        """
        ids, lengths = torch.unique_consecutive(self.domain_ids, return_counts=True)
        order = ids.argsort(stable=True)
        starts, ends = (lengths.cumsum(0) - lengths)[order], lengths[order].cumsum(0)
        return ends, starts - (ends - lengths[order])


@dataclass(frozen=True)
class Use:
    """What a text took from a source for one of its domains, in bytes."""

    source: Source
    domain: str
    train_bytes: int
    validation_bytes: int


@dataclass(frozen=True, eq=False)
class Text:
    """A training side and a validation side that share no paragraph.

    `uses` says where it comes from; it is empty for synthetic languages and the user's own files.
    """

    train: Corpus
    validation: Corpus
    uses: tuple[Use, ...] = ()

    @property
    def credits(self) -> tuple[str, ...]:
        """Name and licence of every source; they must stand beside an excerpt that is shown."""
        return tuple(dict.fromkeys(use.source.credit for use in self.uses))


def encode(text: str) -> UInt8[Tensor, "n"]:
    """Turn text into tokens, its UTF-8 bytes: "A" gives [65], "é" [195, 169], "中" three."""
    return _tokens(text.encode("utf-8"))


def _tokens(data: bytes) -> UInt8[Tensor, "n"]:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def decode(tokens: Iterable[int] | Tensor) -> str:
    """Turn tokens into text: [65] gives "A"; [195] alone, which is not UTF-8, gives "\\ufffd"."""
    ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
    return bytes(ids).decode("utf-8", errors="replace")


# Split into two sides ---------------------------------------------------------------------------


def paragraphs_of(domain: str, text: str) -> Document:
    """Cut a text into paragraphs; each keeps the blank lines after it."""
    body = text.strip("\n")
    parts = re.split(r"(?<=\n\n)(?!\n)", f"{body}\n\n") if body.strip() else []
    return [(domain, part) for part in parts if part]


@dataclass(frozen=True)
class Split:
    """Paragraphs to train on and to validate on, and where they come from."""

    train: list[Paragraph]
    validation: list[Paragraph]
    source: Source | None = None


def split_every(documents: Sequence[Document], every: int, source: Source | None = None) -> Split:
    """Split documents: the last of every `every` documents is for validation, the rest trains."""
    train = (document for i, document in enumerate(documents, start=1) if i % every)
    validation = documents[every - 1 :: every]
    return Split([*chain.from_iterable(train)], [*chain.from_iterable(validation)], source)


def text_of_splits(
    splits: Sequence[Split], domains: tuple[str, ...], *, new_share: float = NEW_SHARE
) -> Text:
    """Join splits into a text whose validation side does not leak.

    A line is new if no training line has its `letters`. Validation keeps a paragraph if enough of
    its characters stand in new lines.

    Args:
        splits: one or more of each source.
        domains: their names, in the order of the domain ids.
        new_share: how many are enough, as a share of the paragraph; at 0, one new line is enough.
    """
    trained = _letters_of_all(part for split in splits for _, part in split.train)

    def is_new(paragraph: Paragraph) -> bool:
        return _is_new(paragraph[1], trained, new_share)

    kept = [replace(split, validation=[*filter(is_new, split.validation)]) for split in splits]
    train = [*chain.from_iterable(split.train for split in kept)]
    validation = [*chain.from_iterable(split.validation for split in kept)]
    uses = tuple(use for split in kept for use in _uses(split))
    return Text(_corpus(train, domains), _corpus(validation, domains), uses)


def _uses(split: Split) -> list[Use]:
    """The bytes of a split by domain; none if it names no source."""
    if split.source is None:
        return []
    train, validation = _bytes_by_domain(split.train), _bytes_by_domain(split.validation)
    names = dict.fromkeys([*train, *validation])
    return [Use(split.source, name, train[name], validation[name]) for name in names]


def _bytes_by_domain(paragraphs: list[Paragraph]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for domain, part in paragraphs:
        counts[domain] += len(part.encode("utf-8"))
    return counts


def _letters_of_all(parts: Iterable[str]) -> set[str]:
    """The `letters` of every line; ASCII is joined, because it is read ten times as fast."""
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for part in parts:
        kinds[part.isascii()].append(part)
    return {key for kind in kinds.values() for key in letters_of_lines("\n".join(kind))}


def _is_new(paragraph: str, trained: set[str], new_share: float) -> bool:
    text = paragraph.rstrip("\n")
    keys = zip(text.split("\n"), letters_of_lines(text), strict=True)
    n_new = sum(len(line) for line, key in keys if key not in trained)
    return n_new > 0 and n_new >= new_share * len(text.replace("\n", ""))


def letters(line: str) -> str:
    """The letters of a line in lower case, or the whole line when it has none.

    Two lines with the same letters count as near-identical: "Step 1:" and "step 2" both give
    "step".
    """
    return line.lower().translate(_ONLY_LETTERS) or line.strip()


def letters_of_lines(text: str) -> list[str]:
    """`letters` of every line of a text."""
    kept = text.lower().translate(_ONLY_LETTERS).split("\n")
    return [key or line.strip() for key, line in zip(kept, text.split("\n"), strict=True)]


class _OnlyLetters(dict[int, int | None]):
    """A table for `str.translate` that keeps letters and line ends, filled as it is used."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        self[code] = code if character.isalpha() or character == "\n" else None
        return self[code]


_ONLY_LETTERS = _OnlyLetters()


def _corpus(paragraphs: list[Paragraph], domains: tuple[str, ...]) -> Corpus:
    parts = [text.encode("utf-8") for _, text in paragraphs]
    ids = torch.tensor([domains.index(domain) for domain, _ in paragraphs], dtype=torch.uint8)
    lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    return Corpus(_tokens(b"".join(parts)), torch.repeat_interleave(ids, lengths), domains)
