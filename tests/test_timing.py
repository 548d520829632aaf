"""Times are taken in turns, and quoted as medians and ratios of one run."""

import itertools
from collections.abc import Callable

import pytest
import torch

from minimoe import InputError
from minimoe.formulas.roofline import MachinePeak
from minimoe.measure.timing import Ratio, Timing, measure_peak, time_interleaved


class Clock:
    """A clock that only the timed things move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: list[float]) -> Callable[[], None]:
        each = itertools.cycle(seconds)

        def run() -> None:
            self.now += next(each)

        return run


def test_values_at_the_points_that_the_docstrings_name() -> None:
    assert Timing((1.0, 2.0, 9.0)).median == 2
    assert Timing((1.0, 2.0, 3.0)).spread == 0.5
    ratio = Timing((1.0, 2.0, 2.0)).ratio(Timing((2.0, 4.0, 6.0)))
    assert ratio.rounds == (2, 2, 3) and ratio.median == 2
    assert Ratio((1.0, 2.0, 3.0, 4.0, 5.0)).quartiles == (2, 4)


def test_each_is_timed_once_a_round_in_turns_and_the_first_rounds_are_not() -> None:
    clock, calls = Clock(), []
    slow, quick = clock.work([100.0, 2.0, 4.0, 6.0]), clock.work([50.0, 1.0, 2.0, 2.0])

    def named(name: str, run: Callable[[], None]) -> Callable[[], None]:
        return lambda: (calls.append(name), run())[1]

    runs = {"slow": named("slow", slow), "quick": named("quick", quick)}
    timings = time_interleaved(runs, rounds=3, warm_up=1, clock=clock)
    assert calls == ["slow", "quick"] * 4
    assert timings["slow"].seconds == (2, 4, 6)
    assert timings["quick"].seconds == (1, 2, 2)


def test_what_slows_a_whole_round_down_leaves_the_ratio() -> None:
    clock = Clock()
    runs = {"a": clock.work([3.0, 30.0, 6.0]), "b": clock.work([1.0, 10.0, 2.0])}
    timings = time_interleaved(runs, rounds=3, warm_up=0, clock=clock)
    assert timings["b"].ratio(timings["a"]).rounds == (3, 3, 3)


def test_the_progress_sees_every_round() -> None:
    seen = []

    def progress(first: int, last: int) -> range:
        seen.append((first, last))
        return range(first, last)

    time_interleaved({"a": lambda: None}, rounds=4, warm_up=3, progress=progress)
    assert seen == [(0, 7)]


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="1.*0"):
        time_interleaved({})
    with pytest.raises(InputError, match="2.*1 and 2"):
        time_interleaved({"a": lambda: None}, rounds=1)


def test_the_peak_is_a_rate_that_no_run_of_the_same_product_beats_by_much() -> None:
    peak = measure_peak(size=128, rounds=5)
    assert isinstance(peak, MachinePeak)
    assert 1e8 < peak.flops_per_second < 1e15
    assert 1e7 < peak.bytes_per_second < 1e13
    assert 1e-8 < peak.seconds_per_operation < 1e-2
    a = torch.ones(128, 128)
    timing = time_interleaved({"mm": lambda: a @ a}, rounds=3)["mm"]
    assert 2 * 128**3 / timing.median < 5 * peak.flops_per_second
