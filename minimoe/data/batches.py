"""Batches of tokens, computed from corpus, seed and step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from minimoe.data.text import Corpus
from minimoe.errors import InputError
from minimoe.randomness import generator_of


@dataclass(frozen=True, eq=False)
class Batch:
    """Token ids, the token that follows each of them, and its domain.

    The mask is False where a position is padding, which counts in no loss and in no statistic of
    the routers; None = there is no padding.
    """

    inputs: Int64[Tensor, "B L"]
    targets: Int64[Tensor, "B L"]
    domain_ids: Int64[Tensor, "B L"]
    mask: Bool[Tensor, "B L"] | None = None


def training_batch(
    corpus: Corpus,
    *,
    batch_size: int,
    length: int,
    seed: int,
    step: int,
    domain_weights: Sequence[float] | None = None,
) -> Batch:
    """Draw windows of the text at random.

    For each window a domain is drawn first, then a byte of that domain as the first input. A start
    too near the end of the text is moved back, so that the window fits.

    Args:
        batch_size, length: sequences (B), and positions in each (L).
        seed, step: of the run and of the optimizer; the same two give the same batch.
        domain_weights: how often a window starts in each domain, relative to the others; None =
            equally often in every domain that has text.

    Returns:
        The batch; inputs[:, 1:] equals targets[:, :-1].

    Raises:
        InputError: the corpus is shorter than one window, or the weights do not fit its domains.
    """
    _check_window(corpus, batch_size, length)
    generator = generator_of(seed, step)
    uniform = torch.rand(2, batch_size, generator=generator, dtype=torch.float64)
    counts = corpus.bytes_per_domain
    ends = _shares(corpus, domain_weights).cumsum(0)
    # uniform < 1, and a domain of share 0 ends where it begins, so it is never drawn
    domains = torch.searchsorted(ends, uniform[0] * ends[-1], right=True)
    within = (uniform[1] * counts[domains]).long()
    starts = corpus.positions(domains, within)
    return _windows(corpus, starts.clamp(max=len(corpus.tokens) - length - 1), length)


def validation_batches(
    corpus: Corpus, *, batch_size: int = 32, length: int, max_bytes: int | None = None
) -> Iterator[Batch]:
    """Cut the text into windows whose targets do not overlap, in order.

    Tokens that do not fill a last window are dropped. The last batch may hold fewer sequences.
    With `max_bytes` every domain gets the same number of windows, or all that it has. They are
    spread evenly over the domain. A window belongs to the rarest domain among its targets.

    Args:
        batch_size, length: sequences in a batch (B), and positions in each (L).
        max_bytes: the largest number of targets in all batches together; None = the whole text.

    Returns:
        The batches, with (n - 1) // L sequences in all when max_bytes is None: 10 tokens cut
        at length 3 give 3 sequences.

    Raises:
        InputError: the corpus is shorter than one window, or max_bytes is too small for one
            window of each domain.
    """
    _check_window(corpus, batch_size, length)
    n_windows = (len(corpus.tokens) - 1) // length
    chosen = torch.arange(n_windows)
    if max_bytes is not None and max_bytes < n_windows * length:
        chosen = _evenly_chosen(corpus, n_windows, length, max_bytes)
    return (_windows(corpus, rows * length, length) for rows in chosen.split(batch_size))


def _check_window(corpus: Corpus, batch_size: int, length: int) -> None:
    for name, value in (("batch_size", batch_size), ("length", length)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if len(corpus.tokens) < length + 1:
        raise InputError(
            f"one window of length={length} needs {length + 1} tokens, the text has "
            f"{len(corpus.tokens)}; give more text or lower the length"
        )


def _shares(corpus: Corpus, weights: Sequence[float] | None) -> Float64[Tensor, "domains"]:
    """Relative frequency of each domain; 0 for a domain without text."""
    has_text = corpus.bytes_per_domain > 0
    if weights is None:
        return has_text.double()
    if len(weights) != len(corpus.domains):
        raise InputError(
            f"domain_weights needs {len(corpus.domains)} numbers, one for each of "
            f"{', '.join(corpus.domains)}, got {len(weights)}"
        )
    shares = torch.tensor(weights, dtype=torch.float64)
    if not (shares.isfinite().all() and (shares >= 0).all() and (shares * has_text).sum() > 0):
        raise InputError(
            "domain_weights must be finite, at least 0, and above 0 for a domain with text, "
            f"got {list(weights)}"
        )
    return shares * has_text


def _windows(corpus: Corpus, starts: Int64[Tensor, "B"], length: int) -> Batch:
    positions = starts[:, None] + torch.arange(length + 1)
    inputs, targets = positions[:, :-1], positions[:, 1:]
    return Batch(
        corpus.tokens[inputs].long(),
        corpus.tokens[targets].long(),
        corpus.domain_ids[targets].long(),
    )


def _evenly_chosen(
    corpus: Corpus, n_windows: int, length: int, max_bytes: int
) -> Int64[Tensor, "chosen"]:
    """Choose the same number of windows for each domain, or all that it has; in order."""
    targets = corpus.domain_ids[1 : n_windows * length + 1].long().view(n_windows, length)
    by_count = corpus.bytes_per_domain.argsort(descending=True, stable=True)
    owners = by_count.argsort()[targets].amax(dim=1)  # rank by count: the highest is the rarest
    groups = [(owners == rank).nonzero().flatten() for rank in owners.unique()]
    if max_bytes < len(groups) * length:
        raise InputError(
            f"max_bytes must be at least {len(groups) * length}, one window of length={length} "
            f"for each of {len(groups)} domains, got {max_bytes}"
        )
    left, chosen = max_bytes // length, []
    groups.sort(key=len)  # a small domain leaves its share to the larger ones
    for i, group in enumerate(groups):
        n = min(len(group), left // (len(groups) - i))
        chosen.append(group[torch.arange(n) * len(group) // n])
        left -= n
    return torch.cat(chosen).sort().values
