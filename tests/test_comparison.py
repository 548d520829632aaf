"""Intervals, the smallest visible effect, interpolated costs and fitted laws have known values."""

import math
import random
from statistics import mean

import pytest

from minimoe.errors import InputError
from minimoe.measure.comparison import (
    bootstrap_interval,
    cost_to_reach,
    paired,
    paired_by_seed,
)
from minimoe.measure.law import Law, Point, fit_law


def test_paired_has_its_documented_values() -> None:
    found = paired((1, 2, 3), (0, 0, 0))
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.484, 4.484), abs=1e-3)
    assert not found.settled
    assert found.smallest_visible == pytest.approx(3.097, abs=1e-3)


def test_paired_by_seed_uses_the_seeds_that_both_have() -> None:
    found = paired_by_seed({0: 2.0, 1: 3.0, 2: 9.0}, {1: 1.0, 0: 1.0})
    assert found.differences == (1.0, 2.0)


def test_an_effect_of_the_smallest_visible_size_is_found_in_four_of_five_experiments() -> None:
    random.seed(0)
    n, found = 2000, 0
    visible = (2.776 + 0.941) / math.sqrt(5)  # for a true standard deviation of 1
    for _ in range(n):
        result = paired([random.gauss(visible, 1) for _ in range(5)], [0] * 5)
        found += result.low > 0
    assert 0.75 < found / n < 0.85


def test_a_bootstrap_interval_of_a_mean_is_that_of_its_resamples() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    low, high = bootstrap_interval(5, lambda seeds: mean(values[s] for s in seeds))
    assert low == pytest.approx(0.8, abs=0.21) and high == pytest.approx(3.2, abs=0.21)
    assert bootstrap_interval(5, lambda seeds: 7.0) == (7.0, 7.0)
    again = bootstrap_interval(5, lambda seeds: mean(values[s] for s in seeds))
    assert again == (low, high)


def test_a_cost_is_interpolated_in_its_logarithm() -> None:
    assert cost_to_reach((1, 4), (3.0, 2.0), 2.5) == pytest.approx(2)
    assert cost_to_reach((1, 4, 8), (3.0, 2.0, 1.0), 2.0) == pytest.approx(4)
    assert cost_to_reach((1, 4), (3.0, 2.0), 3.5) == 1
    assert cost_to_reach((1, 4), (3.0, 2.0), 1.9) == math.inf


def test_a_law_is_found_again_from_points_that_obey_it() -> None:
    true = Law(floor=1.2, a=0.9, b=0.5, alpha=0.3, beta=0.4, gamma=0.1, residual=0.0)
    points = [
        Point(n, e, d, true.loss(n, e, d))
        for n in (30_000, 110_000)
        for e in (1, 4, 16, 64)
        for d in (500_000, 1_000_000, 2_000_000)
    ]
    found = fit_law(points)
    assert found.residual < 1e-4
    assert found.gamma == pytest.approx(0.1, abs=0.01)
    assert found.loss(400_000, 16, 8_000_000) == pytest.approx(
        true.loss(400_000, 16, 8_000_000), abs=0.01
    )


def test_a_law_of_too_few_points_is_refused() -> None:
    with pytest.raises(InputError, match="at least 7 points, got 6"):
        fit_law([Point(100_000, 1, 1_000_000, 2.0)] * 6)
