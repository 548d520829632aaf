"""Text for tests: paragraphs that differ in their letters, and the package's texts, read once."""

import hashlib
import re
from functools import cache

from minimoe.data.packaged import real_text, small_text
from minimoe.data.text import Corpus, Text, decode

LETTERS = str.maketrans("0123456789", "ghijklmnöp")
WORDS = ("router", "expert", "token", "weight", "score", "bias", "layer", "head", "loss", "gate")


def paragraphs(seed: str, n: int = 300) -> str:
    """`n` paragraphs of 42 characters, another text for another seed."""
    digests = (hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:40] for i in range(n))
    return "".join(digest.translate(LETTERS) + "\n\n" for digest in digests)


def words(start: int, n: int) -> str:
    """Different sentences on every line, a blank line after every third."""
    lines = []
    for i in range(start, start + n):
        line = " ".join(WORDS[int(digit)] for digit in str(i * 7919 + 10_000_019))
        lines.append(line + ("\n\n" if i % 3 == 2 else "\n"))
    return "".join(lines)


@cache
def the_small_text() -> Text:
    """The text of the trained models; a process of the tests reads it once."""
    return small_text()


@cache
def the_real_text() -> Text:
    """The text of 34 MB, which takes seconds to read; few test files ask for it."""
    return real_text()


def sides_of(text: Text) -> tuple[Corpus, Corpus]:
    """The training side and the validation side."""
    return text.train, text.validation


def digest_of(text: Text) -> str:
    """16 digits of the SHA-256 of all bytes and domain ids."""
    digest = hashlib.sha256()
    for side in sides_of(text):
        digest.update(side.tokens.numpy().tobytes() + side.domain_ids.numpy().tobytes())
    return digest.hexdigest()[:16]


def sizes_of(text: Text) -> list[list[int]]:
    """Bytes of each domain, of each side."""
    return [side.bytes_per_domain.tolist() for side in sides_of(text)]


def domain_text(corpus: Corpus, domain: str) -> str:
    """The text of one domain."""
    return decode(corpus.tokens[corpus.domain_ids == corpus.domains.index(domain)])


def blocks(text: str) -> list[str]:
    """The paragraphs of a text, without the blank lines between them."""
    return [part.strip("\n") for part in re.split(r"\n\n+", text) if part.strip("\n")]


def assert_no_leak(text: Text) -> None:
    """No paragraph of validation stands in training as whole lines."""
    training = "\n" + decode(text.train.tokens) + "\n"
    for part in blocks(decode(text.validation.tokens)):
        assert f"\n{part}\n" not in training, part
