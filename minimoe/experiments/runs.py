"""Stored runs, as a scaling law needs them: sizes, tokens, and the loss of each seed."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, log
from statistics import fmean, variance

import torch

from minimoe.config import ModelConfig
from minimoe.experiments.plan import Plan
from minimoe.experiments.rows import stored_rows
from minimoe.measure.comparison import cost_to_reach
from minimoe.measure.law import Point, fit_law, lack_of_fit


@dataclass(frozen=True)
class StoredRun:
    """One configuration at one budget.

    Attributes:
        parameters: active, without embeddings.
        sparsity: the share of the routed experts that a token leaves out. 0 if dense.
        flops: of the whole training.
        losses: bits per byte, by seed.
    """

    name: str
    steps: int
    d_model: int
    parameters: int
    sparsity: float
    tokens: int
    flops: int
    losses: Mapping[int, float]

    def loss(self, seeds: Iterable[int] | None = None) -> float:
        """The mean over all seeds, or over these, of which one may stand several times."""
        return fmean(self._chosen(seeds))

    def point(self, seeds: Iterable[int] | None = None) -> Point:
        """What a law is fitted to, with all seeds or with these."""
        return Point(self.parameters, self.sparsity, self.tokens, self._chosen(seeds))

    def _chosen(self, seeds: Iterable[int] | None) -> tuple[float, ...]:
        """The losses of seeds; those that the run does not have are left out."""
        wanted = self.losses if seeds is None else seeds
        return tuple(self.losses[seed] for seed in wanted if seed in self.losses)


def stored_runs(
    plan: Plan, parts: Iterable[str], seeds: Collection[int], domain: str = "all"
) -> dict[tuple[str, int], StoredRun]:
    """The runs of some parts of a plan that come with the package.

    Args:
        seeds: rows of other seeds are left out.
        domain: of the text that the losses are for.

    Returns:
        By name and steps. A run without rows is left out.
    """
    rows = [row for row in stored_rows(plan.name) if row["seed"] in seeds]
    found = {}
    for entry in (entry for part in parts for entry in plan.parts[part]):
        for steps in entry.budgets:
            same = [row for row in rows if (row["name"], row["steps"]) == (entry.name, steps)]
            if not same:
                continue
            losses = {row["seed"]: row["bits"][domain] for row in same}
            found[entry.name, steps] = StoredRun(
                entry.name, steps, entry.model.attention.d_model, same[0]["active"],
                _sparsity(entry.model), same[0]["tokens"], same[0]["flops"],
                dict(sorted(losses.items())),
            )  # fmt: skip
    return found


def _sparsity(model: ModelConfig) -> float:
    return 0.0 if model.moe is None else 1 - model.moe.top_k / model.moe.n_routed_experts


def gains(dense: StoredRun, moe: StoredRun) -> dict[int, float]:
    """The loss of dense minus that of the MoE, for each seed that both have."""
    return {
        seed: dense.losses[seed] - moe.losses[seed] for seed in dense.losses.keys() & moe.losses
    }


def interval(values: Iterable[float]) -> tuple[float, float]:
    """The middle 95 % of values."""
    ordered = sorted(values)
    cut = len(ordered) // 40
    return ordered[cut], ordered[-1 - cut]


def redrawn(runs: Iterable[StoredRun], n: int, seed: int = 0) -> list[list[int]]:
    """Seeds drawn with replacement, n times; of each draw every run has at least one."""
    of_each = [sorted(run.losses) for run in runs]
    every, rng = sorted({s for seeds in of_each for s in seeds}), random.Random(seed)
    draws: list[list[int]] = []
    while len(draws) < n:
        drawn = rng.choices(every, k=len(every))
        if all(set(drawn) & set(seeds) for seeds in of_each):
            draws.append(drawn)
    return draws


def made_up(runs: Sequence[StoredRun], form: str, n: int, seed: int = 0) -> list[float]:
    """F of a form in n made-up experiments in which it is right, sorted.

    A made-up loss is what the fitted law says, plus normal noise: a part that all runs of one seed
    share, since they read the same text, and a part of its own. Both are as large as in the runs.
    """
    law = fit_law([run.point() for run in runs], form)
    said = [law.loss(run.parameters, run.sparsity, run.tokens) for run in runs]
    shared, own = _noise(runs)
    rng, found = random.Random(seed), []
    for _ in range(n):
        common = {s: rng.gauss(0, shared) for s in sorted({s for run in runs for s in run.losses})}
        points = [
            Point(
                run.parameters, run.sparsity, run.tokens,
                tuple(loss + common[s] + rng.gauss(0, own) for s in run.losses),
            )
            for run, loss in zip(runs, said, strict=True)
        ]  # fmt: skip
        found.append(lack_of_fit(fit_law(points, form), points))
    return sorted(found)


def _noise(runs: Sequence[StoredRun]) -> tuple[float, float]:
    """The standard deviation between seeds: the part that all runs share, and the rest."""
    pooled = sum((len(r.losses) - 1) * variance(r.losses.values()) for r in runs) / sum(
        len(r.losses) - 1 for r in runs
    )
    of_seed: dict[int, list[float]] = {}
    for run in runs:
        for s, loss in run.losses.items():
            of_seed.setdefault(s, []).append(loss - run.loss())
    shared = min(pooled, variance([fmean(values) for values in of_seed.values()]))
    return shared**0.5, (pooled - shared) ** 0.5


Rule = Callable[[StoredRun], float]


def straight_line(runs: Sequence[StoredRun]) -> Rule:
    """ln L = constant + slopes times ln N, ln D and S, fitted to runs."""
    line = _fitted(runs, lambda n, s, d: (1, log(n), log(d), s), logarithm=True)
    return lambda run: exp(line(run))


def other_forms(runs: Sequence[StoredRun]) -> dict[str, Rule]:
    """Forms with logarithms where the chosen law has powers of the tokens, fitted to runs."""

    def experts(n: float, s: float, d: float, alpha: float, beta: float) -> tuple[float, ...]:
        size, tokens = n**-alpha, d**-beta
        return 1.0, tokens, size, size * tokens, s * size, s * size * log(d)

    def both(n: float, s: float, d: float, alpha: float, beta: float) -> tuple[float, ...]:
        size = n**-alpha
        return 1.0, d**-beta, size, size * log(d), s * size, s * size * log(d)

    def only(n: float, s: float, d: float) -> tuple[float, ...]:
        n, d = log(n), log(d)
        return 1.0, n, d, n * d, d**2, s, s * d, s * n

    tried = [(0.05 * a, 0.05 * b) for a in range(1, 11) for b in range(1, 17)]
    searched = {
        name: min(
            (_fitted(runs, partial(columns, alpha=a, beta=b)) for a, b in tried),
            key=lambda rule: error(rule, runs),
        )
        for name, columns in (("ln D for experts", experts), ("ln D for size, experts", both))
    }
    return {**searched, "ln N and ln D only": _fitted(runs, only)}


def error(rule: Rule, runs: Sequence[StoredRun]) -> float:
    """The root mean square of what a rule misses."""
    return fmean((rule(run) - run.loss()) ** 2 for run in runs) ** 0.5


def _fitted(
    runs: Sequence[StoredRun],
    columns: Callable[[float, float, float], tuple[float, ...]],
    *,
    logarithm: bool = False,
) -> Rule:
    """Least squares for the factors of columns of N in units of 1e5, S, and D in units of 1e6."""

    def row(run: StoredRun) -> torch.Tensor:
        values = columns(run.parameters / 1e5, run.sparsity, run.tokens / 1e6)
        return torch.tensor(values, dtype=torch.float64)

    losses = torch.tensor([run.loss() for run in runs], dtype=torch.float64)
    wanted = losses.log() if logarithm else losses
    factors = torch.linalg.lstsq(torch.stack([row(run) for run in runs]), wanted).solution
    return lambda run: float(row(run) @ factors)


def multiplier(
    run: StoredRun,
    dense: Sequence[StoredRun],
    cost: Callable[[StoredRun], float],
    seeds: Iterable[int] | None = None,
) -> float:
    """The cost at which dense, trained longer, reaches the loss of a run, over that run's cost.

    Args:
        dense: runs of one model, with rising steps.

    Returns:
        Infinity if dense does not get there.
    """
    drawn = None if seeds is None else list(seeds)
    reached = cost_to_reach(
        [cost(d) for d in dense], [d.loss(drawn) for d in dense], run.loss(drawn)
    )
    return reached / cost(run)
