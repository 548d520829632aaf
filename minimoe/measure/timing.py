"""Run times of several computations, interleaved, and the peak rates of the machine."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

import torch

from minimoe.config import InputError
from minimoe.formulas.roofline import MachinePeak

Rounds = Callable[[int, int], Iterable[int]]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """Seconds of one computation in each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds; `Timing((1, 2, 9)).median == 2`."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Width of the middle half, as a share of the median; `Timing((1, 2, 3)).spread == 0.5`."""
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median

    def ratio(self, other: "Timing") -> "Ratio":
        """How many times as fast this is as `other`: its seconds over ours, by round.

        For (1, 2, 2) against (2, 4, 6) the ratios are (2, 2, 3), with median 2.
        """
        pairs = zip(other.seconds, self.seconds, strict=True)
        return Ratio(tuple(theirs / ours for theirs, ours in pairs))


@dataclass(frozen=True)
class Ratio:
    """Speed relative to another computation, in each round; above 1 is faster."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle ratio."""
        return median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile; `Ratio((1, 2, 3, 4, 5)).quartiles == (2, 4)`."""
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return low, high


def time_interleaved(
    runs: Mapping[Name, Callable[[], object]],
    *,
    rounds: int = 9,
    warm_up: int = 2,
    progress: Rounds = range,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, Timing]:
    """Time several computations in turns, A B C A B C, so that a slow phase slows all of them.

    Args:
        runs: computations by name; each call does its whole work, and synchronizes on a GPU.
        rounds, warm_up: timed rounds, at least 2, and rounds before them that are not timed.
        progress: gets the first round and the number of rounds, returns an iterable over them.

    Returns:
        Seconds of each round, by name.

    Raises:
        InputError: too few rounds, or no computation.
    """
    if not runs:
        raise InputError("nothing to time: runs must hold at least 1 entry, got 0")
    if rounds < 2 or warm_up < 0:
        raise InputError(
            f"rounds must be at least 2 and warm_up at least 0, got {rounds} and {warm_up}"
        )
    seconds: dict[Name, list[float]] = {name: [] for name in runs}
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
    """Measure the best rates of this machine with its present number of threads.

    The best of several rounds is taken, because nothing runs too fast by chance. A product
    multiplies two matrices [size, size]; a copy has 16 * size * size elements, too many for a CPU
    cache; a small operation negates one number.
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
