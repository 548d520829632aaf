"""Intervals, the smallest visible effect, interpolated costs and fitted laws have known values."""

import math
import random
from statistics import mean

import pytest
import torch

from minimoe.errors import InputError
from minimoe.measure.comparison import (
    at_cost,
    bootstrap_interval,
    cost_to_reach,
    coverage,
    loss_at,
    multiplier,
    paired,
    paired_by_seed,
)
from minimoe.measure.law import FORMS, Law, Point, fit_law, lack_of_fit


def test_paired_has_its_documented_values() -> None:
    found = paired((1, 2, 3), (0, 0, 0))
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.484, 4.484), abs=1e-3)
    assert found.interval == (found.low, found.high) and not found.settled
    assert found.smallest_visible == pytest.approx(3.097, abs=1e-3)
    assert found.numbers == {"difference": 2, "low": -0.484, "high": 4.484}
    assert found.numbers_with_power == {**found.numbers, "smallest_visible": 3.097}


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


def test_the_coverage_of_an_interval_counts_the_trials_that_hold_zero() -> None:
    assert 930 <= coverage(lambda a, b: paired_by_seed(a, b).interval, 5) <= 970
    assert coverage(lambda a, b: (-9.0, 9.0), 5, n_trials=30) == 30
    above = coverage(lambda a, b: (min(a.values()), 9.0), 1, n_trials=400)
    assert 160 < above < 240  # a single number of mean 0 lies below 0 in half of the trials


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


def test_a_loss_is_interpolated_in_the_logarithm_of_cost() -> None:
    costs, losses = (1.0, 4.0, 8.0), (3.0, 2.0, 1.0)
    assert loss_at(costs, losses, 2.0) == pytest.approx(2.5)
    assert [loss_at(costs, losses, cost) for cost in costs] == [3.0, 2.0, 1.0]
    assert all(math.isnan(loss_at(costs, losses, cost)) for cost in (0.9, 8.1))


def test_a_curved_interpolation_finds_a_parabola_again() -> None:
    """The loss is a parabola in the logarithm of cost here, or the logarithm one in the loss."""
    costs = (1.0, 2.0, 4.0, 8.0)
    losses = [4 - math.log2(cost) + 0.1 * math.log2(cost) ** 2 for cost in costs]
    for cost in (1.5, 3.0, 7.0):
        true = 4 - math.log2(cost) + 0.1 * math.log2(cost) ** 2
        assert loss_at(costs, losses, cost, curved=True) == pytest.approx(true)
        assert loss_at(costs, losses, cost) > true  # a chord lies above a curve that flattens
    levels = (4.0, 3.0, 2.0, 1.0)
    needed = [2 ** ((4 - level) ** 2 / 2) for level in levels]
    for level in (3.5, 2.2, 1.1):
        wanted = 2 ** ((4 - level) ** 2 / 2)
        assert cost_to_reach(needed, levels, level, curved=True) == pytest.approx(wanted)


def test_a_curved_interpolation_ends_as_a_straight_one_does() -> None:
    costs, losses = (1.0, 4.0, 16.0), (3.0, 2.0, 1.9)
    assert cost_to_reach(costs, losses, 3.5, curved=True) == 1
    assert cost_to_reach(costs, losses, 1.8, curved=True) == math.inf
    assert cost_to_reach(costs, losses, 2.0, curved=True) == pytest.approx(4)
    assert math.isnan(loss_at(costs, losses, 17.0, curved=True))
    assert loss_at(costs[:2], losses[:2], 2.0, curved=True) == pytest.approx(2.5)
    for loss in (1.91, 1.95, 1.99):  # a parabola may leave the two points around; the cost may not
        assert 4 <= cost_to_reach(costs, losses, loss, curved=True) <= 16


def test_a_multiplier_is_a_geometric_mean_of_costs_over_a_cost() -> None:
    costs = (1.0, 4.0, 16.0)
    curves = dict.fromkeys(range(2), (3.0, 2.0, 1.0))
    found = multiplier(costs, curves, {0: 2.5, 1: 1.5}, 2.0)  # costs of 2 and 8: 1 and 4 times
    assert found[0] == pytest.approx(2) and found[1] < 1 < 4 < found[2] and found[3] == 0
    beyond = multiplier(costs, curves, {0: 0.5, 1: 0.5}, 2.0)
    assert beyond == pytest.approx((8, 8, 8, 2))
    nearest = multiplier(costs, curves, {0: 2.5, 1: 2.5}, 1.0, reach=lambda c, curve, loss: c[1])
    assert nearest[0] == pytest.approx(4)


def test_a_comparison_at_a_cost_reads_the_rival_off_its_curve() -> None:
    costs, curves = (1.0, 4.0, 8.0), {0: (3.0, 2.0, 1.0), 1: (4.0, 3.0, 2.0)}
    found = at_cost(costs, curves, {1: 3.0, 0: 2.4}, 2.0)
    assert found.differences == pytest.approx((-0.1, -0.5))
    straight, curved = (
        at_cost(
            (1.0, 2.0, 4.0),
            {0: (4.0, 2.0, 1.0), 1: (4.0, 2.0, 1.0)},
            {0: 0.0, 1: 0.0},
            3.0,
            curved=how,
        )
        for how in (False, True)
    )
    assert curved.mean > straight.mean
    with pytest.raises(InputError, match="a cost of 9 lies outside of 1 to 8"):
        at_cost(costs, curves, {0: 1.0, 1: 1.0}, 9.0)


def _obeying(form: str, noise: float = 0.0) -> list[Point]:
    """Points of a law of this form, with five seeds each."""
    numbers = {"floor": 1.2, "a": 0.9, "b": 0.5, "k": 0.2, "c": 0.3, "g": 0.1}
    exponents = {"alpha": 0.3, "beta": 0.4, "gamma": 0.2}
    law = Law(FORMS[form], {k: exponents[k] for k in FORMS[form].exponents}, numbers, 0.0)
    generator = torch.Generator().manual_seed(0)
    return [
        Point(n, s, d, tuple((law.loss(n, s, d) + noise * seeds).tolist()))
        for n in (30_000, 110_000, 250_000)
        for s in (0.0, 0.5, 0.875)
        for d in (500_000, 1_000_000, 2_000_000)
        for seeds in [torch.randn(5, generator=generator, dtype=torch.float64)]
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_law_is_found_again_from_points_that_obey_it(form: str) -> None:
    points = _obeying(form)
    found = fit_law(points, form)
    assert found.residual < 1e-4 and not found.at_bounds
    far = _obeying(form)[-1]
    assert found.loss(far.parameters, far.sparsity, far.tokens) == pytest.approx(
        far.losses[0], abs=1e-3
    )
    assert found.exponents["beta"] == pytest.approx(0.4, abs=0.01)
    assert found.factors["floor"] == pytest.approx(1.2, abs=0.02)


def test_only_one_form_lets_the_gain_of_experts_depend_on_tokens() -> None:
    moves = {}
    for form in FORMS:
        law = fit_law(_obeying("experts with tokens"), form)
        moves[form] = [
            law.loss(110_000, 0.0, tokens) - law.loss(110_000, 0.875, tokens)
            for tokens in (500_000, 2_000_000)
        ]
    growth = {form: late - early for form, (early, late) in moves.items()}
    expected = 0.875 * 0.1 * 1.1**-0.3 * (0.5**-0.4 - 2.0**-0.4)
    assert growth.pop("experts with tokens") == pytest.approx(expected, abs=1e-3)
    assert all(abs(value) < 1e-9 for value in growth.values())


def test_lack_of_fit_is_about_1_for_the_right_form_and_large_for_a_wrong_one() -> None:
    points = _obeying("experts with tokens", noise=0.01)
    right, wrong = (
        lack_of_fit(fit_law(points, form), points)
        for form in ("experts with tokens", "without experts")
    )
    assert 0.4 < right < 2 and wrong > 10
    with pytest.raises(InputError, match="at least 2 seeds, got one with 1"):
        lack_of_fit(fit_law(points), [Point(1, 0.0, 1, (1.0,))])


def test_lack_of_fit_counts_the_numbers_of_the_law() -> None:
    flat = {"floor": 1.0, "a": 0.0, "b": 0.0}
    law = Law(FORMS["without experts"], {"alpha": 0.3, "beta": 0.4}, flat, 0.0)
    points = [Point(n * 10_000, 0.0, 1_000_000, (1.9, 2.1)) for n in range(1, 8)]
    # 7 points of 2 seeds miss by 1: 14 over 7 - 5; between seeds 7 * 0.02 over 14 - 7.
    assert lack_of_fit(law, points) == pytest.approx(7 / 0.02)


def test_an_exponent_on_the_end_of_its_range_is_named() -> None:
    form = FORMS["without experts"]
    steep = Law(form, {"alpha": 3.0, "beta": 0.4}, dict.fromkeys(("floor", "a", "b"), 1.0), 0.0)
    points = [
        Point(n, 0.0, d, (steep.loss(n, 0.0, d),))
        for n in (80_000, 110_000, 250_000)
        for d in (500_000, 1_000_000, 2_000_000)
    ]
    assert fit_law(points, "without experts").at_bounds == ("alpha",)


def test_a_law_of_too_few_points_is_refused() -> None:
    with pytest.raises(InputError, match="a law of 8 numbers needs at least 9 points, got 8"):
        fit_law([Point(100_000, 0.0, 1_000_000, (2.0,))] * 8)
