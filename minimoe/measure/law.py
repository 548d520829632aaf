"""A scaling law fitted by least squares: loss against parameters, experts and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float64
from torch import Tensor

from minimoe.errors import InputError


@dataclass(frozen=True)
class Point:
    """A trained model: active parameters without embeddings (N), experts (E), tokens (D), loss."""

    parameters: int
    experts: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Law:
    """loss = floor + a / (N^alpha * E^gamma) + b / D^beta, with E = 1 for a dense model.

    Without E it is the law of arXiv 2203.15556, equation 2. Experts act on the term of the
    parameters, as in arXiv 2202.01169.

    Attributes:
        a, b: with N in units of 1e5 parameters and D in units of 1e6 tokens.
        residual: root of the mean squared difference to the fitted losses.
    """

    floor: float
    a: float
    b: float
    alpha: float
    beta: float
    gamma: float
    residual: float

    def loss(self, parameters: int, experts: int, tokens: int) -> float:
        """The predicted loss."""
        n, d = parameters / 1e5, tokens / 1e6
        return self.floor + self.a * n**-self.alpha * experts**-self.gamma + self.b * d**-self.beta


def fit_law(points: Sequence[Point]) -> Law:
    """Fit the law to points: exponents by search, the three factors by linear least squares.

    For given exponents the law is linear in floor, a and b, so these are solved for. The exponents
    are searched on a grid that is made finer around its best point eight times.

    Raises:
        InputError: fewer than 7 points, which cannot decide 6 numbers.
    """
    if len(points) < 7:
        raise InputError(f"a law of 6 numbers needs at least 7 points, got {len(points)}")
    table = torch.tensor(
        [[p.parameters / 1e5, p.experts, p.tokens / 1e6, p.loss] for p in points],
        dtype=torch.float64,
    )
    low, high = torch.tensor([[0.05, 0.05, 0.0], [1.5, 1.5, 0.6]], dtype=torch.float64)
    middle, half = (low + high) / 2, (high - low) / 2
    steps = torch.linspace(-1, 1, 9, dtype=torch.float64).tolist()
    grid = torch.tensor(list(product(steps, repeat=3)), dtype=torch.float64)
    for _ in range(9):
        candidates = (middle + grid * half).clamp(low, high)
        factors, errors = _solve(table, candidates)
        best = int(errors.argmin())
        middle, half = candidates[best], half * 0.4
    floor, a, b = factors[best].tolist()
    alpha, beta, gamma = middle.tolist()
    return Law(floor, a, b, alpha, beta, gamma, errors[best].item())


def _solve(
    table: Float64[Tensor, "points 4"], exponents: Float64[Tensor, "C 3"]
) -> tuple[Float64[Tensor, "C 3"], Float64[Tensor, "C"]]:
    """The best floor, a and b for each triple of exponents, and the root mean squared error."""
    alpha, beta, gamma = exponents.T[:, :, None]
    n, experts, d, loss = table.unbind(1)
    columns = [torch.ones_like(n * alpha), n**-alpha * experts**-gamma, d**-beta]
    matrix, right = torch.stack(columns, dim=2), loss.expand(len(exponents), -1)[:, :, None]
    factors = torch.linalg.lstsq(matrix, right, driver="gelsy").solution
    return factors[:, :, 0], (matrix @ factors - right).square().mean(dim=(1, 2)).sqrt()
