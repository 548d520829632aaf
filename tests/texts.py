"""Text for tests: paragraphs that differ in their letters, and the real text, read once."""

import hashlib
from functools import cache

from minimoe.data.packaged import real_text
from minimoe.data.text import Text

LETTERS = str.maketrans("0123456789", "ghijklmnöp")


def paragraphs(seed: str, n: int = 300) -> str:
    """`n` paragraphs of 42 characters, another text for another seed."""
    digests = (hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:40] for i in range(n))
    return "".join(digest.translate(LETTERS) + "\n\n" for digest in digests)


@cache
def the_real_text() -> Text:
    """The text that comes with the package; a process of the tests reads it once."""
    return real_text()
