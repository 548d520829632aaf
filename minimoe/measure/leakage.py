"""Share of validation text that also stands in the training text."""

import numpy as np
from jaxtyping import Bool, UInt8, UInt64

from minimoe.config.checks import check_integer
from minimoe.data.text import TOTAL, VOCAB_SIZE, Corpus, Text

CHUNK = 2**22  # stretches of training text that are hashed and sorted at once


def leakage(text: Text, window: int = 40) -> dict[str, float]:
    """Measure how much of the validation text a model could have learned by heart.

    A byte leaks if one of the stretches of `window` bytes around it also stands in the training
    text. Stretches are compared by hashes of 64 bits. Two different stretches have the same hash
    with a chance near 2**-64. The real text has 8e13 pairs of stretches, so the chance of a single
    false hit in it is about 4 in a million.

    Args:
        window: bytes of a stretch.

    Returns:
        Share of the validation bytes that leak, in [0, 1], of each domain that has some and of
        "all". Validation text "abcde" leaks 3/5 from "xbcdx" at window=3.

    Raises:
        InputError: window is below 1.
    """
    check_integer("window", window, 1)
    train, validation = (side.tokens.numpy() for side in (text.train, text.validation))
    hashes, place = np.unique(_hashes(validation, window), return_inverse=True)
    found = np.zeros(len(hashes), dtype=bool)
    for start in range(0, len(train) - window + 1, CHUNK):
        found |= _stand_in(hashes, _hashes(train[start : start + CHUNK + window - 1], window))
    return _shares(text.validation, _covered(found[place], window, len(validation)))


def _hashes(tokens: UInt8[np.ndarray, "n"], window: int) -> UInt64[np.ndarray, "stretches"]:
    """Hash every stretch of `window` bytes; none if there are fewer bytes.

    The hash of a stretch is made from the hashes of its two halves. A window of 40 bytes is 8 and
    then 32 bytes, the powers of two in it.
    """
    n = max(0, len(tokens) - window + 1)
    random = np.random.default_rng(0)
    power = random.integers(2**64, size=VOCAB_SIZE, dtype=np.uint64)[tokens]
    length, done = 1, 0
    whole = np.zeros(n, dtype=np.uint64)
    while True:
        factor = random.integers(2**64, dtype=np.uint64) | np.uint64(1)
        if window & length:
            whole = _joined(whole, power[done : done + n], factor)
            done += length
        if done == window:
            return whole
        power = _joined(power[:-length], power[length:], factor)
        length *= 2


def _joined(
    left: UInt64[np.ndarray, "n"], right: UInt64[np.ndarray, "n"], factor: np.uint64
) -> UInt64[np.ndarray, "n"]:
    """Mix two hashes into one; the products are taken modulo 2**64."""
    mixed = left * factor
    mixed += right
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _stand_in(
    hashes: UInt64[np.ndarray, "n"], others: UInt64[np.ndarray, "m"]
) -> Bool[np.ndarray, "n"]:
    """Which hashes occur among the others; both are searched in order."""
    others.sort()
    place = np.searchsorted(others, hashes)
    return others[np.minimum(place, len(others) - 1)] == hashes


def _covered(
    starts: Bool[np.ndarray, "stretches"], window: int, n_bytes: int
) -> Bool[np.ndarray, "n"]:
    """Which bytes lie in a stretch that was found, given which stretches were."""
    edges = np.zeros(n_bytes + 1, dtype=np.int32)
    edges[: len(starts)] += starts
    edges[window : window + len(starts)] -= starts
    return edges[:-1].cumsum() > 0


def _shares(corpus: Corpus, is_counted: Bool[np.ndarray, "n"]) -> dict[str, float]:
    counts = np.bincount(corpus.domain_ids.numpy(), is_counted, len(corpus.domains))
    sizes = corpus.bytes_per_domain.tolist()
    found = zip(corpus.domains, counts.tolist(), sizes, strict=True)
    shares = {name: count / size for name, count, size in found if size}
    return {**shares, TOTAL: float(counts.sum()) / max(1, sum(sizes))}
