"""Exercises of notebook 09: differences by seed, a bootstrap interval, the cost of equal loss."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from statistics import fmean, mean, quantiles, stdev
from typing import Any

from minimoe.exercises.exercise import Case, Exercise, Wrong

Bits = dict[int, float]
Interval = tuple[float, float]

# --- 09.2 pairing ---------------------------------------------------------------------------------


def differences(one, other):
    """Return {seed: one minus other} for the seeds that both have.

    one and other are dicts {seed: bits per byte}. Their seeds may stand in another order.
    """
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def _difference_of_means(one: Bits, other: Bits) -> float:
    return mean(one.values()) - mean(other.values())


def _mean_for_every_seed(one: Bits, other: Bits) -> Bits:
    return {seed: bits - mean(other.values()) for seed, bits in one.items()}


def _other_sign(one: Bits, other: Bits) -> Bits:
    return {seed: -d for seed, d in differences(one, other).items()}


def _by_place(one: Bits, other: Bits) -> Bits:
    return {seed: a - b for seed, a, b in zip(one, one.values(), other.values(), strict=False)}


def _by_size(one: Bits, other: Bits) -> Bits:
    pairs = zip(sorted(one.values()), sorted(other.values()), strict=False)
    return dict(zip(sorted(one), (a - b for a, b in pairs), strict=False))


def _every_seed_of_one(one: Bits, other: Bits) -> Bits:
    return {seed: one[seed] - other[seed] for seed in one}


def _missing_is_zero(one: Bits, other: Bits) -> Bits:
    seeds = sorted(one.keys() | other.keys())
    return {seed: one.get(seed, 0.0) - other.get(seed, 0.0) for seed in seeds}


def _without_seed_zero(one: Bits, other: Bits) -> Bits:
    return {seed: d for seed, d in differences(one, other).items() if seed}


def _without_sign(one: Bits, other: Bits) -> Bits:
    return {seed: abs(d) for seed, d in differences(one, other).items()}


def _as_share(one: Bits, other: Bits) -> Bits:
    return {seed: d / other[seed] for seed, d in differences(one, other).items()}


def _as_list(one: Bits, other: Bits) -> list[float]:
    return list(differences(one, other).values())


def _numbers(seed: int, n: int, middle: float = 3.0) -> Bits:
    rng = random.Random(seed)
    return {s: round(middle + rng.gauss(0, 0.1), 5) for s in range(n)}


def _other_order(bits: Bits) -> Bits:
    return dict(sorted(bits.items(), key=lambda pair: -pair[0]))


def _pairing_cases() -> Iterator[Case]:
    yield Case(
        "one {0: 3.0, 1: 2.5} and other {0: 3.5, 1: 2.0}", ({0: 3.0, 1: 2.5}, {0: 3.5, 1: 2.0})
    )
    for n in (2, 5, 8):
        yield Case(f"{n} seeds", (_numbers(n, n), _numbers(n + 20, n, 2.8)))
    yield Case("seeds in another order", (_numbers(1, 4), _other_order(_numbers(2, 4))))
    some = {seed: bits for seed, bits in _numbers(3, 5).items() if seed != 2}
    yield Case("a seed that only other has", (some, _numbers(4, 5)))
    yield Case("a seed that only one has", (_numbers(5, 5), some))
    yield Case("no common seed", ({0: 3.0}, {1: 3.0}))


PAIRING = Exercise(
    id="09.2",
    title="Differences by seed",
    level=1,
    minutes=5,
    task="""
        Subtract `other` from `one`, seed by seed. Both are dicts from a seed to bits per byte.
        Leave out a seed that only one side has. A check: `{0: 3.0, 1: 2.5}` minus
        `{0: 3.5, 1: 2.0}` is `{0: -0.5, 1: 0.5}`.
    """,
    reference=differences,
    wrong=(
        Wrong(_difference_of_means, "Return one difference for each seed, not one of the means."),
        Wrong(
            _mean_for_every_seed,
            "You subtract the mean of all seeds. Subtract the bits of the same seed: other[seed].",
        ),
        Wrong(_other_sign, "The order is one minus other. Yours is other minus one."),
        Wrong(
            _by_place,
            "zip pairs the first with the first, whatever their seeds are. Look up other[seed].",
        ),
        Wrong(
            _by_size,
            "You sorted the bits. Then the best of one side meets the best of the other. Match the "
            "seeds.",
        ),
        Wrong(_every_seed_of_one, "A seed may be missing on one side: write: if seed in other."),
        Wrong(_missing_is_zero, "A missing seed has no bits. Leave it out; 0 is not its value."),
        Wrong(_without_seed_zero, "Seed 0 is a seed too. The condition if seed leaves it out."),
        Wrong(_without_sign, "Keep the sign. Without it nobody sees which side is lower."),
        Wrong(_as_share, "The difference is wanted in bits per byte, not as a share."),
        Wrong(_as_list, "Return a dict, so that each difference keeps its seed."),
    ),
    cases=_pairing_cases,
    hints=(
        "Go through the seeds of one, and look each up in other.",
        "A dict comprehension: {seed: ... for seed in one if ...}.",
        "The value is one[seed] - other[seed]; the condition is seed in other.",
    ),
    imports="",
)

# --- 09.3 bootstrap -------------------------------------------------------------------------------


def bootstrap(one, other, n_draws):
    """Return (low, high): the middle 95 % of the mean difference over n_draws draws of seeds.

    one and other are dicts {seed: bits per byte} with the same seeds.
    """
    rng = random.Random(0)
    seeds = sorted(one)
    means = []
    for _ in range(n_draws):
        drawn = rng.choices(seeds, k=len(seeds))
        means.append(sum(one[seed] - other[seed] for seed in drawn) / len(drawn))
    cuts = quantiles(means, n=40)
    return cuts[0], cuts[-1]


def _middle(means: list[float], parts: int = 40) -> Interval:
    cuts = quantiles(means, n=parts)
    return cuts[0], cuts[-1]


def _means(
    one: Bits, other: Bits, n_draws: int, draw: Callable[[random.Random, list[int]], list[int]]
) -> list[float]:
    rng, seeds = random.Random(0), sorted(one)
    rounds = (draw(rng, seeds) for _ in range(n_draws))
    return [fmean(one[seed] - other[seed] for seed in drawn) for drawn in rounds]


def _with_replacement(rng: random.Random, seeds: list[int]) -> list[int]:
    return rng.choices(seeds, k=len(seeds))


def _no_replacement(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(_means(one, other, n_draws, lambda rng, seeds: rng.sample(seeds, len(seeds))))


def _independent_sides(one: Bits, other: Bits, n_draws: int) -> Interval:
    rng, seeds, means = random.Random(0), sorted(one), []
    for _ in range(n_draws):
        left, right = (rng.choices(seeds, k=len(seeds)) for _ in range(2))
        means.append(fmean(one[s] for s in left) - fmean(other[s] for s in right))
    return _middle(means)


def _middle_of_the_data(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle([one[seed] - other[seed] for seed in sorted(one)])


def _one_seed_a_draw(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(_means(one, other, n_draws, lambda rng, seeds: rng.choices(seeds, k=1)))


def _as_many_as_draws(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(_means(one, other, 20, lambda rng, seeds: rng.choices(seeds, k=n_draws)))


def _ninety_percent(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(_means(one, other, n_draws, _with_replacement), 20)


def _middle_half(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(_means(one, other, n_draws, _with_replacement), 4)


def _extremes(one: Bits, other: Bits, n_draws: int) -> Interval:
    means = _means(one, other, n_draws, _with_replacement)
    return min(means), max(means)


def _two_errors(one: Bits, other: Bits, n_draws: int) -> Interval:
    found = [one[seed] - other[seed] for seed in one]
    half = 2 * stdev(found) / math.sqrt(len(found))
    return mean(found) - half, mean(found) + half


def _seeds_0_to_4(one: Bits, other: Bits, n_draws: int) -> Interval:
    five = [0, 1, 2, 3, 4]
    return _middle(_means(one, other, n_draws, lambda rng, seeds: rng.choices(five, k=5)))


def _chance_starts_again(one: Bits, other: Bits, n_draws: int) -> Interval:
    return _middle(
        _means(one, other, n_draws, lambda _, seeds: _with_replacement(random.Random(0), seeds))
    )


def _other_minus_one(one: Bits, other: Bits, n_draws: int) -> Interval:
    return bootstrap(other, one, n_draws)


def _high_first(one: Bits, other: Bits, n_draws: int) -> Interval:
    low, high = bootstrap(one, other, n_draws)
    return high, low


def _near(one: Bits, other: Bits, n_draws: int) -> Callable[[Any], str | None]:
    """Judge an interval of random draws: right within a fifteenth of its width."""
    low, high = bootstrap(one, other, n_draws)
    room = 0.065 * (high - low) + 1e-9

    def problem(got: Any) -> str | None:
        if not isinstance(got, tuple | list) or len(got) != 2:
            return "the result must be two numbers, low and high"
        mine = [float(value) for value in got]
        if max(abs(mine[0] - low), abs(mine[1] - high)) <= room:
            return None
        width = (mine[1] - mine[0]) / (high - low) if high > low else math.inf
        said = f"; its width is {width:.2f} times the right one" if 0 <= width < 100 else ""
        found = f"({mine[0]:.3f}, {mine[1]:.3f})"
        return f"the interval must be near ({low:.3f}, {high:.3f}), got {found}{said}"

    return problem


def _bootstrap_cases() -> Iterator[Case]:
    steady = {seed: bits - 0.1 for seed, bits in _numbers(6, 5).items()}
    lucky = {0: 2.9, 1: 2.8, 2: 2.95, 3: 2.85, 4: 1.5}
    sides = [
        ("5 seeds, the differences larger on one seed", lucky, _numbers(7, 5)),
        ("5 seeds that are lower everywhere by 0.1", steady, _numbers(6, 5)),
        ("5 seeds", _numbers(8, 5), _numbers(9, 5)),
        ("9 seeds", _numbers(10, 9), _numbers(11, 9, 2.9)),
        ("3 seeds", _numbers(12, 3), _numbers(13, 3)),
        (
            "5 seeds that rise and fall together on both sides",
            _shifted(_numbers(15, 5), 14),
            _numbers(15, 5),
        ),
    ]
    for name, one, other in sides:
        yield Case(name, (one, other, 3000), _near(one, other, 3000))


def _shifted(bits: Bits, seed: int) -> Bits:
    """The same seeds, all lower, with small differences between them."""
    rng = random.Random(seed)
    return {s: value - 0.05 + rng.gauss(0, 0.01) for s, value in bits.items()}


BOOTSTRAP = Exercise(
    id="09.3",
    title="The bootstrap interval",
    level=2,
    minutes=10,
    task="""
        Draw as many seeds as there are, **with replacement**. Take the mean difference of the drawn
        seeds. Do this `n_draws` times. Return the two ends of the middle 95 % of these means. A
        check: if every seed differs by -0.1, both ends are -0.1. Your result may differ a little by
        chance. The check allows for that.
    """,
    reference=bootstrap,
    wrong=(
        Wrong(
            _no_replacement,
            "Without replacement each draw holds all seeds, and its mean is always the same. Use "
            "choices, not sample.",
        ),
        Wrong(
            _independent_sides,
            "You drew the seeds of each side by themselves. Draw seeds once, and use them on both "
            "sides: the pairs must stay together.",
        ),
        Wrong(
            _middle_of_the_data,
            "These are quantiles of the differences. The interval is about their mean: take the "
            "mean of each draw first.",
        ),
        Wrong(_one_seed_a_draw, "A draw has as many seeds as there are: k=len(seeds), not 1."),
        Wrong(
            _as_many_as_draws,
            "A draw has as many seeds as there are. With more seeds in a draw the interval "
            "looks narrower than it is.",
        ),
        Wrong(_ninety_percent, "That is the middle 90 %. 2.5 % stay outside on each side: n=40."),
        Wrong(_middle_half, "That is the middle half. 2.5 % stay outside on each side: n=40."),
        Wrong(_extremes, "Smallest and largest mean leave nothing outside. Take the middle 95 %."),
        Wrong(
            _two_errors,
            "That is a formula for a symmetric interval. Draw the seeds again; the interval may be "
            "lopsided.",
        ),
        Wrong(_seeds_0_to_4, "The seeds are the keys of one: 3 or 9 of them, not always 0 to 4."),
        Wrong(
            _chance_starts_again,
            "Each draw is the same. Write rng = random.Random(0) once, before the loop.",
        ),
        Wrong(_other_minus_one, "The order is one minus other."),
        Wrong(_high_first, "Return the lower end first."),
    ),
    cases=_bootstrap_cases,
    hints=(
        "A loop over range(n_draws). Each round draws seeds and keeps one mean difference.",
        "rng = random.Random(0) before the loop; rng.choices(seeds, k=len(seeds)) inside it.",
        "After the loop: cuts = quantiles(means, n=40), then cuts[0] and cuts[-1].",
    ),
    imports="import random\nfrom statistics import quantiles",
    parts=("low", "high"),
)

# --- 09.7 the cost of equal loss ------------------------------------------------------------------


def cost_of(costs, losses, loss):
    """Return the cost at which a falling curve reaches a loss.

    costs rise and losses fall. Between two points, the loss falls evenly in the logarithm of cost.
    A loss above the first one costs the first cost. A loss below the last one costs math.inf.
    """
    if loss >= losses[0]:
        return costs[0]
    for i in range(1, len(costs)):
        if losses[i] <= loss:
            share = (losses[i - 1] - loss) / (losses[i - 1] - losses[i])
            return costs[i - 1] * (costs[i] / costs[i - 1]) ** share
    return math.inf


Curve = tuple[float, ...]


def _between(costs: Curve, losses: Curve, loss: float, i: int, *, log: bool = True) -> float:
    """Through the points i - 1 and i, also beyond them."""
    share = (losses[i - 1] - loss) / (losses[i - 1] - losses[i])
    if not log:
        return costs[i - 1] + share * (costs[i] - costs[i - 1])
    return costs[i - 1] * (costs[i] / costs[i - 1]) ** share


def _place(losses: Curve, loss: float) -> int | None:
    return next((i for i in range(1, len(losses)) if losses[i] <= loss), None)


def _linear_in_cost(costs: Curve, losses: Curve, loss: float) -> float:
    i = _place(losses, loss)
    if loss >= losses[0] or i is None:
        return cost_of(costs, losses, loss)
    return _between(costs, losses, loss, i, log=False)


def _beyond_the_end(costs: Curve, losses: Curve, loss: float) -> float:
    if _place(losses, loss) is None:
        return _between(costs, losses, loss, len(costs) - 1)
    return cost_of(costs, losses, loss)


def _last_cost(costs: Curve, losses: Curve, loss: float) -> float:
    return min(cost_of(costs, losses, loss), costs[-1])


def _before_the_start(costs: Curve, losses: Curve, loss: float) -> float:
    return _between(costs, losses, loss, 1) if loss >= losses[0] else cost_of(costs, losses, loss)


def _first_point_below(costs: Curve, losses: Curve, loss: float) -> float:
    return next((c for c, found in zip(costs, losses, strict=True) if found <= loss), math.inf)


def _nearest_point(costs: Curve, losses: Curve, loss: float) -> float:
    return min(zip(costs, losses, strict=True), key=lambda point: abs(point[1] - loss))[0]


def _one_line_for_all(costs: Curve, losses: Curve, loss: float) -> float:
    share = (losses[0] - loss) / (losses[0] - losses[-1])
    inside = 0 <= share <= 1
    return costs[0] * (costs[-1] / costs[0]) ** share if inside else cost_of(costs, losses, loss)


def _from_the_far_side(costs: Curve, losses: Curve, loss: float) -> float:
    i = _place(losses, loss)
    if loss >= losses[0] or i is None:
        return cost_of(costs, losses, loss)
    return costs[i] * costs[i - 1] / _between(costs, losses, loss, i)


def _always_halfway(costs: Curve, losses: Curve, loss: float) -> float:
    i = _place(losses, loss)
    if loss >= losses[0] or i is None:
        return cost_of(costs, losses, loss)
    return math.sqrt(costs[i - 1] * costs[i])


def _log_of_the_loss(costs: Curve, losses: Curve, loss: float) -> float:
    i = _place(losses, loss)
    if loss >= losses[0] or i is None:
        return cost_of(costs, losses, loss)
    return _between(costs, tuple(map(math.log, losses)), math.log(loss), i)


def _never_at_the_start(costs: Curve, losses: Curve, loss: float) -> float:
    return math.inf if loss > losses[0] else cost_of(costs, losses, loss)


def _forgets_exp(costs: Curve, losses: Curve, loss: float) -> float:
    return math.log(cost_of(costs, losses, loss))


def _as_ratio(costs: Curve, losses: Curve, loss: float) -> float:
    return cost_of(costs, losses, loss) / costs[0]


def _cost_cases() -> Iterator[Case]:
    yield Case("costs (1, 4), losses (3, 2) and loss 2.5", ((1.0, 4.0), (3.0, 2.0), 2.5))
    curve = ((128.0, 512.0, 1024.0, 2048.0, 8192.0), (4.1, 3.4, 3.2, 3.05, 2.9))
    for loss in (3.9, 3.3, 3.1, 2.95):
        yield Case(f"five points and loss {loss}", (*curve, loss))
    yield Case("the loss of a point", (*curve, 3.2))
    yield Case("the last loss", (*curve, 2.9))
    yield Case("a loss that the curve does not reach", (*curve, 2.7))
    yield Case("a loss above the first point", (*curve, 4.5))
    yield Case("costs in FLOPs", ((2e11, 4e11, 1.6e12), (3.5, 3.3, 3.0), 3.07))


COST = Exercise(
    id="09.7",
    title="The cost of equal loss",
    level=3,
    minutes=12,
    task="""
        Find the two points between which the loss lies. Go between them, evenly in the logarithm of
        the cost. Two checks: the costs 1 and 4 have the losses 3 and 2, so the loss 2.5 costs 2. A
        quarter of the way from 1 to 16 is 2, too. If the whole curve lies above the loss, return
        `math.inf`. If the first point is low enough, return its cost.
    """,
    reference=cost_of,
    wrong=(
        Wrong(
            _linear_in_cost,
            "You went evenly in the cost: from 1 to 4 that gives 2.5. Go evenly in its logarithm.",
        ),
        Wrong(
            _beyond_the_end,
            "You went on beyond the last point. Nobody measured there: return math.inf.",
        ),
        Wrong(_last_cost, "The curve does not reach this loss, so its cost is not the last one."),
        Wrong(
            _log_of_the_loss,
            "You took the logarithm of the loss too. Only the cost is on a logarithmic scale.",
        ),
        Wrong(
            _never_at_the_start,
            "inf is for a loss that the curve never reaches. The first point reaches this one.",
        ),
        Wrong(_before_the_start, "A loss above the first one costs the first cost."),
        Wrong(
            _first_point_below,
            "You returned the cost of the next point. Go back between it and the one before.",
        ),
        Wrong(_nearest_point, "You returned the cost of the nearest point. Go between two points."),
        Wrong(
            _one_line_for_all,
            "You drew one line from the first to the last point. Use the two neighbours.",
        ),
        Wrong(
            _always_halfway,
            "You always go halfway. First compute which share of the way the loss has gone.",
        ),
        Wrong(_from_the_far_side, "The share counts from the left neighbour, which costs less."),
        Wrong(_forgets_exp, "That is the logarithm of the cost. Take exp of it."),
        Wrong(_as_ratio, "Return the cost itself, not its ratio to the first one."),
    ),
    cases=_cost_cases,
    hints=(
        "Go through the points until a loss is low enough. The loss before it is still too high.",
        "The share of the way: (losses[i - 1] - loss) / (losses[i - 1] - losses[i]).",
        "Half of the way in the logarithm is a square root. In general, multiply costs[i - 1] by "
        "(costs[i] / costs[i - 1]) ** share.",
    ),
    imports="import math",
)

EXERCISES = (PAIRING, BOOTSTRAP, COST)
