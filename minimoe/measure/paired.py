"""Paired differences over seeds, and the interval of their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from minimoe.errors import InputError

# 97.5 % quantiles of Student's t for 1, 2, ... 9 degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
MOST_SEEDS = len(_T) + 1


@dataclass(frozen=True)
class Paired:
    """One trial minus another for each seed, their mean, and its 95 % interval by Student's t."""

    differences: tuple[float, ...]
    mean: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """The interval does not hold 0."""
        return not self.low <= 0 <= self.high


def paired(one: Sequence[float], other: Sequence[float]) -> Paired:
    """Compare two trials of the same seeds, in the same order.

    Returns:
        The comparison. (1, 2, 3) against (0, 0, 0) differ by 2 in the mean, from -0.484 to 4.484.

    Raises:
        InputError: fewer than 2 or more than 10 seeds, or not as many on both sides.
    """
    if len(one) != len(other) or not 2 <= len(one) <= MOST_SEEDS:
        raise InputError(
            f"both sides need the same 2 to {MOST_SEEDS} seeds, "
            f"got {len(one)} and {len(other)} numbers"
        )
    differences = tuple(a - b for a, b in zip(one, other, strict=True))
    n, middle = len(differences), mean(differences)
    half = _T[n - 2] * stdev(differences) / sqrt(n)
    return Paired(differences, middle, middle - half, middle + half)
