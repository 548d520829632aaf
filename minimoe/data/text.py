"""Text as bytes with domains, split into training and validation without leakage."""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

VOCAB_SIZE = 256  # a token is a byte
TOTAL = "all"  # the name of the figure over all domains
MAX_DOMAINS = 255  # domain ids are stored as bytes

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

    @functools.cached_property
    def positions_by_domain(self) -> Int64[Tensor, "n"]:
        """All positions of the text, sorted by domain and then by place."""
        ids = range(len(self.domains))
        return torch.cat([torch.nonzero(self.domain_ids == i).flatten() for i in ids])


@dataclass(frozen=True, eq=False)
class Text:
    """A training side and a validation side that share no paragraph."""

    train: Corpus
    validation: Corpus


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


def split_every(documents: Sequence[Document], every: int) -> tuple[list[Document], list[Document]]:
    """Split documents: the last of every `every` documents is for validation, the rest trains."""
    train = [document for i, document in enumerate(documents, start=1) if i % every]
    return train, list(documents[every - 1 :: every])


def text_of_splits(
    splits: Sequence[tuple[list[Document], list[Document]]], domains: tuple[str, ...]
) -> Text:
    """Join (training, validation) documents into a text whose validation side does not leak.

    Validation keeps only the paragraphs with a line whose `letters` no training line has.
    """
    train, validation = (
        [paragraph for split in splits for document in split[side] for paragraph in document]
        for side in (0, 1)
    )
    trained = {letters(line) for _, part in train for line in part.split("\n")}
    unseen = [
        (domain, part)
        for domain, part in validation
        if any(letters(line) not in trained for line in part.rstrip("\n").split("\n"))
    ]
    return Text(_corpus(train, domains), _corpus(unseen, domains))


def letters(line: str) -> str:
    """The letters of a line in lower case, or the whole line when it has none.

    Two lines with the same letters count as near-identical: "Step 1:" and "step 2" both give
    "step".
    """
    return "".join(filter(str.isalpha, line.lower())) or line.strip()


def _corpus(paragraphs: list[Paragraph], domains: tuple[str, ...]) -> Corpus:
    parts = [text.encode("utf-8") for _, text in paragraphs]
    ids = torch.tensor([domains.index(domain) for domain, _ in paragraphs], dtype=torch.uint8)
    lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    return Corpus(_tokens(b"".join(parts)), torch.repeat_interleave(ids, lengths), domains)
