"""Exercises of notebook 10: a slope, the factors of a law, and the search of its exponents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from minimoe.exercises.exercise import Case, Exercise, Wrong
from minimoe.exercises.judge import seeded

# --- 10.2 the slope -------------------------------------------------------------------------------


def slope(x1, y1, x2, y2):
    """Return the slope of the line through two points, both axes in logarithms.

    All four numbers are above 0, and x1 and x2 differ.
    """
    return (math.log(y2) - math.log(y1)) / (math.log(x2) - math.log(x1))


def _without_logarithms(x1: float, y1: float, x2: float, y2: float) -> float:
    return (y2 - y1) / (x2 - x1)


def _upside_down(x1: float, y1: float, x2: float, y2: float) -> float:
    return math.log(x2 / x1) / math.log(y2 / y1)


def _only_x_in_logarithms(x1: float, y1: float, x2: float, y2: float) -> float:
    return (y2 - y1) / math.log(x2 / x1)


def _logarithm_of_the_difference(x1: float, y1: float, x2: float, y2: float) -> float:
    return math.log(abs(y2 - y1)) / math.log(abs(x2 - x1))


def _ratio_without_logarithms(x1: float, y1: float, x2: float, y2: float) -> float:
    return (y2 / y1) / (x2 / x1)


def _without_its_sign(x1: float, y1: float, x2: float, y2: float) -> float:
    return abs(slope(x1, y1, x2, y2))


def _for_each_doubling(x1: float, y1: float, x2: float, y2: float) -> float:
    return math.log2(y2 / y1)


def _slope_cases() -> Iterator[Case]:
    yield Case("the points (1, 8) and (4, 4)", (1, 8, 4, 4))
    yield Case("the points (1, 4) and (2, 8), a rising line", (1, 4, 2, 8))
    yield Case("losses of 3.6 and 3.3 at 262,144 and 524,288 tokens", (262_144, 3.6, 524_288, 3.3))
    yield Case("the points in the other order", (524_288, 3.3, 262_144, 3.6))
    yield Case("two equal losses", (10, 2.5, 1000, 2.5))
    yield Case("numbers below 1", (0.01, 0.5, 0.1, 0.05))


SLOPE = Exercise(
    id="10.2",
    title="A slope by hand",
    level=1,
    minutes=5,
    task="""
        Write the slope between two points when both axes are logarithms. A check: from the point
        (1, 8) to the point (4, 4) the slope is -0.5. Four times the tokens halve the loss there,
        and four to the power of -0.5 is one half.
    """,
    reference=slope,
    wrong=(
        Wrong(_without_logarithms, "Both axes are logarithms: take math.log of all four numbers."),
        Wrong(_upside_down, "A slope is the change of y over the change of x, not x over y."),
        Wrong(_only_x_in_logarithms, "You took the logarithm of x only. Take it of y too."),
        Wrong(
            _logarithm_of_the_difference,
            "Take the logarithms first and subtract then. The order matters.",
        ),
        Wrong(
            _ratio_without_logarithms,
            "You divided ratios. The logarithm of each ratio is missing.",
        ),
        Wrong(_without_its_sign, "A falling line has a slope below 0. Keep the sign."),
        Wrong(
            _for_each_doubling,
            "You assumed that x2 is twice x1. Divide by the change of log x.",
        ),
    ),
    cases=_slope_cases,
    hints=(
        "Replace each number by its logarithm. Then it is the slope of an ordinary line.",
        "The change of y is math.log(y2) - math.log(y1).",
        "Divide it by math.log(x2) - math.log(x1).",
    ),
    imports="import math",
)

# --- 10.3 the factors -----------------------------------------------------------------------------


def factors(n, d, losses, exponents):
    """Return floor, a and b, a tensor [3]: the least squares for these exponents.

    n, d and losses are tensors [points]; exponents is (alpha, beta).
    """
    alpha, beta = exponents
    matrix = torch.stack([torch.ones_like(n), n**-alpha, d**-beta], dim=1)
    return torch.linalg.lstsq(matrix, losses).solution


Exponents = tuple[float, float]


def _columns(n: Tensor, d: Tensor, exponents: Exponents) -> list[Tensor]:
    alpha, beta = exponents
    return [torch.ones_like(n), n**-alpha, d**-beta]


def _solved(columns: list[Tensor], losses: Tensor) -> Tensor:
    return torch.linalg.lstsq(torch.stack(columns, dim=1), losses).solution


def _without_the_floor(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    return _solved(_columns(n, d, exponents)[1:], losses)


def _a_floor_of_zero(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    without = _without_the_floor(n, d, losses, exponents)
    return torch.cat([torch.zeros(1, dtype=without.dtype), without])


def _logarithm_of_the_losses(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    return factors(n, d, losses.log(), exponents)


def _rising_powers(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    alpha, beta = exponents
    return factors(n, d, losses, (-alpha, -beta))


def _exponents_exchanged(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    alpha, beta = exponents
    return factors(n, d, losses, (beta, alpha))


def _rows_and_columns_exchanged(
    n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents
) -> Tensor:
    return torch.linalg.lstsq(torch.stack(_columns(n, d, exponents)), losses).solution


def _factors_in_another_order(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    return factors(n, d, losses, exponents).roll(-1)


def _still_a_column(n: Tensor, d: Tensor, losses: Tensor, exponents: Exponents) -> Tensor:
    return factors(n, d, losses, exponents)[:, None]


def _made_up(
    seed: int, n_points: int, exponents: Exponents, wanted: tuple[float, float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """N, D and the losses of a law with these factors, without noise."""
    n, d = 0.2 + 4 * seeded(seed, 2, n_points).abs()
    columns = _columns(n, d, exponents)
    losses = sum(w * column for w, column in zip(wanted, columns, strict=True))
    assert isinstance(losses, Tensor)
    return n, d, losses


def _factors_cases() -> Iterator[Case]:
    n, d = torch.tensor([[1, 4, 1, 4], [1, 1, 16, 16]], dtype=torch.float64)
    losses = 1 + 2 * n**-0.5 + 3 * d**-0.25
    yield Case("four points of the law with floor 1, a = 2, b = 3", (n, d, losses, (0.5, 0.25)))
    tries = [
        (5, (0.3, 0.4), (1.2, 0.8, 1.0)),
        (12, (1.0, 0.2), (0.5, 2.0, 0.3)),
        (33, (0.6, 0.9), (2.0, 0.4, 1.5)),
        (3, (0.4, 0.7), (1.0, 1.0, 1.0)),
    ]
    for seed, (n_points, powers, wanted) in enumerate(tries):
        made = _made_up(seed, n_points, powers, wanted)
        yield Case(f"{n_points} points and the exponents {powers}", (*made, powers))
    n, d, losses = _made_up(9, 20, (0.5, 0.25), (1.0, 1.0, 1.0))
    noisy = losses + 0.05 * seeded(10, 20)
    yield Case("20 points with noise", (n, d, noisy, (0.5, 0.25)))
    yield Case("exponents that do not fit the points", (n, d, noisy, (0.1, 1.2)))
    yield Case("20 points in float32", (n.float(), d.float(), noisy.float(), (0.5, 0.25)))


FACTORS = Exercise(
    id="10.3",
    title="The factors by least squares",
    level=2,
    minutes=10,
    task=r"""
        The two exponents are given. Find the floor, a and b that make the squared errors smallest,
        with `torch.linalg.lstsq`. Each point is a row of the matrix. Its columns are 1,
        $N^{-\alpha}$ and $D^{-\beta}$. A check: for points of the law with floor 1, a = 2 and b = 3
        the result is `[1, 2, 3]`.
    """,
    reference=factors,
    wrong=(
        Wrong(
            _without_the_floor,
            "A column is missing: every row has a 1 for the floor. Add torch.ones_like(n).",
        ),
        Wrong(
            _a_floor_of_zero, "You set the floor to 0. Let least squares find it: a column of 1."
        ),
        Wrong(
            _logarithm_of_the_losses,
            "Fit the losses, not their logarithms. A sum of terms is no sum of logarithms.",
        ),
        Wrong(_rising_powers, "The terms fall with N and D: the exponents need a minus sign."),
        Wrong(_exponents_exchanged, "The order is alpha, beta: alpha belongs to N, beta to D."),
        Wrong(
            _rows_and_columns_exchanged,
            "Rows and columns are exchanged. A point is a row: torch.stack(columns, dim=1).",
        ),
        Wrong(_factors_in_another_order, "Return the floor first, then a, then b."),
        Wrong(
            _still_a_column,
            "The result must have the shape [3]. Give lstsq the losses as they are.",
        ),
    ),
    cases=_factors_cases,
    hints=(
        "Three columns, one matrix, one call of torch.linalg.lstsq.",
        "columns = [torch.ones_like(n), n**-alpha, d**-beta]",
        "matrix = torch.stack(columns, dim=1), then torch.linalg.lstsq(matrix, losses). "
        "Return its solution.",
    ),
)

# --- 10.4 the exponents ---------------------------------------------------------------------------


def best_exponents(error_of, alphas, betas):
    """Return the pair (alpha, beta) with the smallest error, of all combinations.

    error_of takes a pair and returns a number.
    """
    return min(product(alphas, betas), key=error_of)


ErrorOf = Callable[[Exponents], float]
Grid = Sequence[float]


def _with_the_largest_error(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    return max(product(alphas, betas), key=error_of)


def _one_after_the_other(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    alpha = min(alphas, key=lambda value: error_of((value, betas[0])))
    return alpha, min(betas, key=lambda value: error_of((alpha, value)))


def _in_turns(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    alpha, beta = alphas[0], betas[0]
    for _ in range(20):
        alpha = min(alphas, key=lambda value: error_of((value, beta)))
        beta = min(betas, key=lambda value: error_of((alpha, value)))
    return alpha, beta


def _side_by_side(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    return min(zip(alphas, betas, strict=False), key=error_of)


def _the_error_itself(error_of: ErrorOf, alphas: Grid, betas: Grid) -> float:
    return min(error_of(pair) for pair in product(alphas, betas))


def _starts_at_zero(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents | None:
    best, least = None, 0.0
    for pair in product(alphas, betas):
        if error_of(pair) < least:
            best, least = pair, error_of(pair)
    return best


def _never_updates(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    first = best = alphas[0], betas[0]
    for pair in product(alphas, betas):
        if error_of(pair) < error_of(first):
            best = pair
    return best


def _in_another_order(error_of: ErrorOf, alphas: Grid, betas: Grid) -> Exponents:
    alpha, beta = best_exponents(error_of, alphas, betas)
    return beta, alpha


def _bowl(middle: Exponents, tilt: float = 0.0, base: float = 0.0) -> ErrorOf:
    """Errors that are least at one place; a tilt ties the exponents to each other."""

    def error_of(exponents: Exponents) -> float:
        x, y = (e - m for e, m in zip(exponents, middle, strict=True))
        return base + x * x + y * y + tilt * (x + y) ** 2

    return error_of


def _two_valleys(exponents: Exponents) -> float:
    """A good pair, and a better one that no change of one exponent reaches."""
    return {(0.1, 0.1): 1.0, (0.2, 0.2): 0.0}.get(exponents, 2.0)


def _search_cases() -> Iterator[Case]:
    grid = [0.1, 0.2, 0.3, 0.4]
    yield Case("errors that are least at (0.3, 0.1)", (_bowl((0.3, 0.1)), grid, grid))
    yield Case(
        "errors that tie the exponents to each other",
        (_bowl((0.33, 0.12), tilt=50.0), grid, [0.3, 0.1, 0.0, 0.2]),
    )
    yield Case("errors above 1", (_bowl((0.2, 0.4), base=5.0), grid, grid))
    yield Case("grids of two lengths", (_bowl((0.9, 0.3)), [0.5, 0.9], [0.1, 0.2, 0.3]))
    yield Case("one pair only", (_bowl((0.0, 0.0)), [0.7], [0.6]))
    yield Case("errors with two valleys", (_two_valleys, grid, grid))
    falling = [0.4, 0.3, 0.2, 0.1]
    yield Case("a grid that falls", (_bowl((0.12, 0.31)), falling, falling))


SEARCH = Exercise(
    id="10.4",
    title="The exponents by search",
    level=2,
    minutes=6,
    task="""
        Try every combination of an alpha and a beta, and return the pair with the smallest error.
        `error_of((0.3, 0.5))` returns the error of one pair. A check: if the error is the distance
        to (0.3, 0.1), and both numbers are in the grids, this pair is the result.
    """,
    reference=best_exponents,
    wrong=(
        Wrong(_with_the_largest_error, "You kept the largest error. The smallest is wanted."),
        Wrong(
            _one_after_the_other,
            "You searched one exponent after the other. The best alpha depends on beta: try all "
            "combinations.",
        ),
        Wrong(
            _in_turns,
            "You improved one exponent at a time. That stops in the first valley, where no single "
            "change helps. Try all combinations.",
        ),
        Wrong(
            _side_by_side,
            "zip takes the first of each list, then the second. All combinations are "
            "product(alphas, betas).",
        ),
        Wrong(_the_error_itself, "Return the pair, not its error."),
        Wrong(
            _starts_at_zero,
            "No error is smaller than 0, so nothing is ever kept. Start from float('inf').",
        ),
        Wrong(
            _never_updates,
            "You compare with the first error again and again. Update the smallest error too.",
        ),
        Wrong(_in_another_order, "Return the pair in the order alpha, beta."),
    ),
    cases=_search_cases,
    hints=(
        "Two loops, one inside the other, are enough. So is one loop over product(alphas, betas).",
        "Keep the best pair and its error; start from an error of float('inf').",
        "min(product(alphas, betas), key=error_of) does it in one line.",
    ),
    imports="from itertools import product",
    parts=("alpha", "beta"),
)

EXERCISES = (SLOPE, FACTORS, SEARCH)
