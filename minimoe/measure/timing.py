"""How long does it take, beside something else on the same machine, and how fast could it be?"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from minimoe.config import InputError
from minimoe.formulas.roofline import MachinePeak

Rounds = Callable[[int, int], Iterable[int]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing, once in every round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds; (1, 2, 9) has 2."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Width of the middle half of the rounds, as a share of the median; (1, 2, 3) has 0.5."""
        return _middle_half(self.seconds) / self.median

    def ratio(self, other: "Timing") -> "Ratio":
        """How many times as fast as `other`: its seconds over ours, round by round.

        What slows both down in one round cancels. Against (2, 4, 6), (1, 2, 2) has the ratios
        (2, 2, 3), median 2.
        """
        pairs = zip(other.seconds, self.seconds, strict=True)
        return Ratio(tuple(theirs / ours for theirs, ours in pairs))


@dataclass(frozen=True)
class Ratio:
    """How many times as fast, in every round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The ratio in the middle; above 1 is faster."""
        return median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the rounds lies below the first, a quarter above the second."""
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return low, high


def _middle_half(values: tuple[float, ...]) -> float:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def time_interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 9,
    warm_up: int = 2,
    progress: Rounds = range,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time several things in turns, A B C A B C, so that a drift of the machine meets them all.

    Args:
        runs: what to time, by name; each does its whole work once. On a GPU it must wait for the
            end itself.
        rounds: how often each is timed, at least 2.
        warm_up: rounds before that, not timed.
        progress: wraps the rounds, for a bar.
        clock: seconds.

    Returns:
        Seconds of each round, by name.

    Raises:
        InputError: too few rounds, or nothing to time.
    """
    if not runs:
        raise InputError("nothing to time: runs must hold at least 1 entry, got 0")
    if rounds < 2 or warm_up < 0:
        raise InputError(
            f"rounds must be at least 2 and warm_up at least 0, got {rounds} and {warm_up}"
        )
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in progress(0, warm_up + rounds):
        for name, run in runs.items():
            start = clock()
            run()
            taken = clock() - start
            if number >= warm_up:
                seconds[name].append(taken)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}


def measure_peak(
    dtype: torch.dtype = torch.float32, *, size: int = 1024, rounds: int = 15
) -> MachinePeak:
    """Measure the machine's peak, as a yardstick for everything else that is timed.

    The best of several rounds, not the median: nothing can be faster by chance.

    Args:
        dtype: of the product and the copy.
        size: the product is size x size by size x size; the copy has 16 * size * size elements, too
            many for a cache.
        rounds: of each.

    Returns:
        The peak; a matrix product of 2 * size ** 3 FLOPs needs at least that many over
        flops_per_second seconds.
    """
    a, b = (torch.ones(size, size, dtype=dtype) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.ones(16 * size * size, dtype=dtype)
    target, one, n_small = torch.empty_like(source), torch.ones(1, dtype=dtype), 1000

    def small() -> None:
        for _ in range(n_small):
            torch.neg(one)

    runs = {
        "product": lambda: torch.mm(a, b, out=product),
        "copy": lambda: target.copy_(source),
        "small": small,
    }
    best = {name: min(t.seconds) for name, t in time_interleaved(runs, rounds=rounds).items()}
    return MachinePeak(
        flops_per_second=2 * size**3 / best["product"],
        bytes_per_second=2 * source.nbytes / best["copy"],
        seconds_per_operation=best["small"] / n_small,
    )
