"""Scaling laws fitted by least squares: loss against parameters, sparsity and tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, variance

import torch
from jaxtyping import Float64
from torch import Tensor

from minimoe.errors import InputError

Columns = Callable[[Tensor, Tensor, Tensor, Mapping[str, Tensor]], dict[str, Tensor]]
STEPS, ROUNDS, FINER = 9, 9, 0.4  # of the search: values of an exponent, how often, how much finer


@dataclass(frozen=True)
class Point:
    """What a law is fitted to.

    Attributes:
        parameters: N, active, without embeddings.
        sparsity: S, the share of the routed experts that a token leaves out: 1 - K / E. 0 if dense.
        tokens: D, read in training.
        losses: bits per byte of each seed; a law is fitted to their mean.
    """

    parameters: int
    sparsity: float
    tokens: int
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Form:
    """How loss may depend on N, S and D: a sum of columns, each times a factor to be found.

    Attributes:
        formula: for a reader.
        exponents: by name, the range in which they are searched.
        columns: by name of the factor; of N in units of 1e5, S, D in units of 1e6, exponents.
    """

    formula: str
    exponents: Mapping[str, tuple[float, float]]
    columns: Columns


def _plain(n: Tensor, s: Tensor, d: Tensor, e: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"floor": torch.ones_like(d), "a": n ** -e["alpha"], "b": d ** -e["beta"]}


def _parameters(n: Tensor, s: Tensor, d: Tensor, e: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = _plain(n, s, d, e)
    return {**plain, "a": plain["a"] * (1 - s) ** e["gamma"]}


def _tokens(n: Tensor, s: Tensor, d: Tensor, e: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = _plain(n, s, d, e)
    size, tokens = plain["a"], plain["b"]
    return {**plain, "k": -size * tokens, "c": -s * size, "g": s * size * tokens}


_EXPONENTS = {"alpha": (0.05, 1.5), "beta": (0.05, 1.5)}
FORMS: Mapping[str, Form] = {
    # arXiv 2203.15556, equation 2.
    "without experts": Form("floor + a / N^alpha + b / D^beta", _EXPONENTS, _plain),
    # Experts act as more parameters would, after the idea of arXiv 2202.01169.
    "experts as parameters": Form(
        "floor + a (1 - S)^gamma / N^alpha + b / D^beta",
        {**_EXPONENTS, "gamma": (0.0, 1.5)},
        _parameters,
    ),
    # What size and experts are worth grows with the tokens, up to an end.
    "experts with tokens": Form(
        "floor + b / D^beta + (a - k / D^beta - S (c - g / D^beta)) / N^alpha", _EXPONENTS, _tokens
    ),
}


@dataclass(frozen=True)
class Law:
    """A form with its numbers.

    Attributes:
        residual: root of the mean squared difference to the mean losses of the points.
    """

    form: Form
    exponents: Mapping[str, float]
    factors: Mapping[str, float]
    residual: float

    def loss(self, parameters: int, sparsity: float, tokens: int) -> float:
        """The predicted loss."""
        n, s, d = torch.tensor([parameters / 1e5, sparsity, tokens / 1e6], dtype=torch.float64)
        exponents = {name: torch.tensor(value) for name, value in self.exponents.items()}
        columns = self.form.columns(n, s, d, exponents)
        return float(sum(self.factors[name] * column for name, column in columns.items()))

    @property
    def at_bounds(self) -> tuple[str, ...]:
        """The exponents that lie on the end of their range: the points do not decide them."""
        return tuple(
            name
            for name, value in self.exponents.items()
            if min(abs(value - bound) for bound in self.form.exponents[name]) < 1e-3
        )


def fit_law(points: Sequence[Point], form: str = "experts with tokens") -> Law:
    """Fit a law to points: exponents by search, the factors by linear least squares.

    For given exponents the law is linear in its factors, so these are solved for. The exponents
    are searched on a grid that is made finer around its best point eight times.

    Args:
        form: a key of FORMS.

    Raises:
        InputError: the points are too few to decide the numbers of the form.
    """
    shape = FORMS[form]
    names, (n, s, d, losses) = list(shape.exponents), _table(points)
    low, high = torch.tensor(list(shape.exponents.values()), dtype=torch.float64).T
    middle, half = (low + high) / 2, (high - low) / 2
    numbers = len(names) + len(shape.columns(n, s, d, dict(zip(names, middle, strict=True))))
    if len(points) <= numbers:
        raise InputError(
            f"a law of {numbers} numbers needs at least {numbers + 1} points, got {len(points)}"
        )
    steps = torch.linspace(-1, 1, STEPS, dtype=torch.float64).tolist()
    grid = torch.tensor(list(product(steps, repeat=len(names))), dtype=torch.float64)
    for _ in range(ROUNDS):
        candidates = (middle + grid * half).clamp(low, high)
        exponents = dict(zip(names, candidates.T[:, :, None], strict=True))
        columns = shape.columns(n, s, d, exponents)
        factors, errors = _solve(columns, losses)
        best = int(errors.argmin())
        middle, half = candidates[best], half * FINER
    return Law(
        shape,
        dict(zip(names, middle.tolist(), strict=True)),
        dict(zip(columns, factors[best].tolist(), strict=True)),
        errors[best].item(),
    )


def lack_of_fit(law: Law, points: Sequence[Point]) -> float:
    """How far the law misses the points, over what the spread between seeds explains.

    It is the F of a test for lack of fit: the mean square of the misses, over the mean square
    between seeds. About 1 if the form is right, whatever the noise.

    Raises:
        InputError: a point has fewer than 2 seeds.
    """
    fewest = min((len(point.losses) for point in points), default=0)
    if fewest < 2:
        raise InputError(f"each point needs at least 2 seeds, got one with {fewest}")
    seeds = [len(point.losses) for point in points]
    missed = sum(
        n * (mean(p.losses) - law.loss(p.parameters, p.sparsity, p.tokens)) ** 2
        for n, p in zip(seeds, points, strict=True)
    )
    left = len(points) - len(law.exponents) - len(law.factors)
    between = sum((n - 1) * variance(p.losses) for n, p in zip(seeds, points, strict=True))
    return (missed / left) / (between / (sum(seeds) - len(seeds)))


def _table(points: Sequence[Point]) -> Float64[Tensor, "4 points"]:
    return torch.tensor(
        [[p.parameters / 1e5, p.sparsity, p.tokens / 1e6, mean(p.losses)] for p in points],
        dtype=torch.float64,
    ).T


def _solve(
    columns: Mapping[str, Float64[Tensor, "..."]], losses: Float64[Tensor, "points"]
) -> tuple[Float64[Tensor, "C factors"], Float64[Tensor, "C"]]:
    """The best factors for each set of exponents, and the root mean squared error."""
    matrix = torch.stack(torch.broadcast_tensors(*columns.values()), dim=2)  # C, points, factors
    right = losses.expand(len(matrix), -1)[:, :, None]
    factors = torch.linalg.lstsq(matrix, right, driver="gelsy").solution
    return factors[:, :, 0], (matrix @ factors - right).square().mean(dim=(1, 2)).sqrt()
