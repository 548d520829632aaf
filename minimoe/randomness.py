"""Seeds and generators derived from a seed, a step and a use."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(*parts: int | str) -> int:
    """Compute a seed from the parts that name a draw, such as (seed, step, use, layer).

    The seed is the first 8 bytes of the SHA-256 digest of the parts, joined by spaces, without the
    last bit. Neighbouring parts share nothing: step 1 of seed 2 is not step 2 of seed 1.

    Returns:
        A seed in [0, 2**63); `derived_seed(0, 0)` is 5303414058334976765.
    """
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(*parts: int | str) -> "torch.Generator":
    """Make a generator on the CPU, seeded with `derived_seed(*parts)`."""
    import torch  # only here: the command line starts without it

    return torch.Generator().manual_seed(derived_seed(*parts))
