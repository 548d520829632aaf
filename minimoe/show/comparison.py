"""A dense and an MoE model over several seeds: the records, the table and the sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Literal

from minimoe.show.tables import si

NAMES = {"dense": "dense", "moe": "MoE"}


@dataclass(frozen=True)
class Point:
    """Validation loss, in bits a byte, and what the training had used until then."""

    tokens: float
    flops: float
    seconds: float
    bits: float


@dataclass(frozen=True)
class SeedRun:
    """One training of a model.

    Attributes:
        seed: of the weights and of the batches.
        bits_per_byte: of validation text, for each domain and over "all".
        seconds, tokens: of training steps, without evaluations.
        load: share of the assignments, [n_layers][E]; empty if dense.
        curve: validation loss during the training.
    """

    seed: int
    bits_per_byte: dict[str, float]
    seconds: float
    tokens: int
    load: list[list[float]]
    curve: list[Point] = field(repr=False)


@dataclass(frozen=True)
class Contender:
    """One model of the tour, measured.

    Attributes:
        active_parameters, touched_parameters: of one token, by formula and measured.
        flops_per_token, measured_flops_per_token: of the forward pass.
        runs: one for each seed, at least one.
    """

    name: str
    total_parameters: int
    active_parameters: int
    touched_parameters: int
    flops_per_token: int
    measured_flops_per_token: int
    runs: tuple[SeedRun, ...]

    @property
    def label(self) -> str:
        """The name as tables and figures write it."""
        return NAMES.get(self.name, self.name)


@dataclass(frozen=True)
class Comparison:
    """MoE and dense after equal FLOPs or equal seconds, seed by seed.

    Attributes:
        unit: what is equal.
        spent: how much of it each run had used.
        dense, moe: where each seed's run stood then.
        differences: MoE minus dense for each seed, in bits per byte.
        mean: of the differences.
        interval: low and high end of the mean's 95 % interval; None for a single seed.
    """

    unit: Literal["flops", "seconds"]
    spent: float
    dense: tuple[Point, ...]
    moe: tuple[Point, ...]
    differences: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Tour:
    """All that the tour found."""

    dense: Contender
    moe: Contender
    by_flops: Comparison
    by_seconds: Comparison
    planned_tokens: int


def comparison_rows(tour: Tour) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of the tour's table, one column a model."""
    models = (tour.dense, tour.moe)
    columns = [_column(model) for model in models]
    rows = [[what, *(column[what] for column in columns)] for what in columns[0]]
    return [_kind_of_numbers(len(tour.dense.runs)), *(model.label for model in models)], rows


def _kind_of_numbers(n_seeds: int) -> str:
    return "one seed" if n_seeds == 1 else f"mean of {n_seeds} seeds ± half range"


def _column(model: Contender) -> dict[str, str | None]:
    """The column of one model."""
    runs = model.runs
    tokens, seconds = mean(run.tokens for run in runs), mean(run.seconds for run in runs)
    loads = [[share for layer in run.load for share in layer] for run in runs]
    bits = {
        f"bits per byte, {domain}": _with_spread([run.bits_per_byte[domain] for run in runs])
        for domain in runs[0].bits_per_byte
    }
    return {
        "total parameters": f"{model.total_parameters:,}",
        "active parameters, by formula": f"{model.active_parameters:,}",
        "touched per token, measured": f"{model.touched_parameters:,}",
        "FLOPs per token, by formula": f"{model.flops_per_token:,}",
        "FLOPs per token, measured": f"{model.measured_flops_per_token:,}",
        **bits,
        "training tokens": f"{tokens:,.0f}",
        "training seconds": f"{seconds:.1f}",
        "training tokens per second": f"{tokens / (seconds or 1):,.0f}",
        "load of the busiest expert": _mean_percent(max, loads),
        "load of the idlest expert": _mean_percent(min, loads),
    }


def _with_spread(values: Sequence[float]) -> str:
    """The mean, and with two or more values half their range."""
    half_range = (max(values) - min(values)) / 2
    return f"{mean(values):.3f}" + f" ± {half_range:.3f}" * (len(values) > 1)


def _mean_percent(
    chosen: Callable[[Sequence[float]], float], loads: Sequence[Sequence[float]]
) -> str | None:
    """The mean over seeds of the largest or smallest load; None if there is no load."""
    return f"{100 * mean(map(chosen, loads)):.1f} %" if loads[0] else None


def verdicts(tour: Tour) -> tuple[str, str]:
    """Say what the seeds show at equal FLOPs and at equal seconds.

    A model is called better only if the 95 % interval of the difference does not include 0.
    """
    return _verdict(tour.by_flops), _verdict(tour.by_seconds)


def _verdict(found: Comparison) -> str:
    by_flops = found.unit == "flops"
    by = "By FLOPs" if by_flops else "By seconds on this machine"
    spent = si(found.spent, "FLOPs") if by_flops else f"{found.spent:.1f} s"
    return f"{by}, {_difference(found)} After {spent} of training, {_standings(found)}."


def _difference(found: Comparison) -> str:
    """Name the better model if the seeds decide it; otherwise say that they do not."""
    n, difference = (
        len(found.differences),
        f"MoE minus dense is {_signed(found.mean)} bits per byte",
    )
    if found.interval is None:
        return (
            "one seed cannot decide which model is better: it does not show the spread over seeds. "
            f"{difference}. Give --seeds 3 for an interval."
        )
    low, high = found.interval
    if low <= 0 <= high:
        return (
            f"these {n} seeds do not decide which model is better. {difference} on average; the "
            f"95 % interval, {_signed(low)} to {_signed(high)}, includes 0."
        )
    better = "MoE" if found.mean < 0 else "dense"
    least, most = sorted((abs(low), abs(high)))
    return (
        f"{better} is better by {abs(found.mean):.3f} bits per byte on average "
        f"(95 % interval over {n} seeds: {least:.3f} to {most:.3f})."
    )


def _standings(found: Comparison) -> str:
    """The loss of both models, and the text that each has read."""
    moe, dense = (
        f"{mean(point.bits for point in points):.3f}" for points in (found.moe, found.dense)
    )
    moe_read, dense_read = (
        f"{mean(point.tokens for point in points):,.0f}" for points in (found.moe, found.dense)
    )
    return (
        f"MoE has {moe} bits per byte of validation text ({moe_read} bytes read) "
        f"and dense {dense} ({dense_read} bytes read)"
    )


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")
