"""Text for tests that must not read megabytes: paragraphs that differ in their letters."""

import hashlib

LETTERS = str.maketrans("0123456789", "ghijklmnöp")


def paragraphs(seed: str, n: int = 300) -> str:
    """`n` paragraphs of 42 characters, another text for another seed."""
    digests = (hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:40] for i in range(n))
    return "".join(digest.translate(LETTERS) + "\n\n" for digest in digests)
