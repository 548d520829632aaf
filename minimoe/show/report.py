"""Who won? The tour's table, its two sentences, and its page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minimoe.show.explorer import Sample, figure_html, page, routing_view
from minimoe.show.figures import plot_curves, plot_load, style
from minimoe.show.tables import grouped, html_table, si

NAMES = {"dense": "dense", "moe": "MoE"}
TIE = 0.01  # bits a byte; a smaller difference is not called a win


@dataclass(frozen=True)
class Point:
    """Validation loss at one moment of the training: bits a byte after so much of everything."""

    tokens: int
    flops: float
    seconds: float
    bits: float


@dataclass(frozen=True)
class Contender:
    """One model of the tour, measured.

    Attributes:
        active_parameters: by formula: what computing one token reads.
        touched_parameters: the same, measured.
        flops_per_token, measured_flops_per_token: of the forward pass.
        bits_per_byte: of validation text, for each domain and over "all".
        seconds: of training steps; evaluations are not in them.
        tokens: read in training.
        load: share of the assignments, [n_layers][E]; empty if dense.
        curve: validation loss during the training.
    """

    name: str
    total_parameters: int
    active_parameters: int
    touched_parameters: int
    flops_per_token: int
    measured_flops_per_token: int
    bits_per_byte: dict[str, float]
    seconds: float
    tokens: int
    load: list[list[float]]
    curve: list[Point] = field(repr=False)

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second in training; 0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0


def comparison_rows(contenders: Sequence[Contender]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of the tour's table, one column a model."""

    def loads(contender: Contender) -> np.ndarray:
        return np.array(contender.load or [[np.nan]])

    def share(value: float) -> str | None:
        return None if np.isnan(value) else f"{100 * value:.1f} %"

    rows: dict[str, list[str | None]] = {
        "total parameters": [grouped(c.total_parameters) for c in contenders],
        "active parameters, by formula": [grouped(c.active_parameters) for c in contenders],
        "touched per token, measured": [grouped(c.touched_parameters) for c in contenders],
        "FLOPs per token, by formula": [grouped(c.flops_per_token) for c in contenders],
        "FLOPs per token, measured": [grouped(c.measured_flops_per_token) for c in contenders],
        **{
            f"bits per byte, {domain}": [f"{c.bits_per_byte[domain]:.3f}" for c in contenders]
            for domain in contenders[0].bits_per_byte
        },
        "training tokens": [grouped(c.tokens) for c in contenders],
        "training seconds": [f"{c.seconds:.1f}" for c in contenders],
        "training tokens per second": [grouped(round(c.tokens_per_second)) for c in contenders],
        "load of the busiest expert": [share(loads(c).max()) for c in contenders],
        "load of the idlest expert": [share(loads(c).min()) for c in contenders],
    }
    headers = ["", *(NAMES.get(c.name, c.name) for c in contenders)]
    return headers, [[what, *values] for what, values in rows.items()]


def verdicts(dense: Contender, moe: Contender) -> tuple[str, str]:
    """Who won by FLOPs and who by seconds: the losses at the largest amount that both have spent.

    A difference below 0.01 bits a byte is called even.
    """
    return (
        _verdict("FLOPs", "flops", lambda flops: si(flops, "FLOPs"), dense, moe),
        _verdict("seconds on this machine", "seconds", lambda s: f"{s:.1f} s", dense, moe),
    )


def _verdict(
    by: str, unit: str, written: Callable[[float], str], dense: Contender, moe: Contender
) -> str:
    spent = min(getattr(contender.curve[-1], unit) for contender in (dense, moe))
    of_dense, of_moe = _bits(dense, unit, spent), _bits(moe, unit, spent)
    winner = "dense wins" if of_dense < of_moe else "MoE wins"
    if abs(of_dense - of_moe) < TIE:
        winner = "nobody wins"
    return (
        f"By {by}, {winner}: after {written(spent)} of training each, MoE stands at {of_moe:.3f} "
        f"bits per byte of validation text and dense at {of_dense:.3f}."
    )


def _bits(contender: Contender, unit: str, spent: float) -> float:
    """Validation loss after `spent` FLOPs or seconds, on the line between two evaluations."""
    x = [getattr(point, unit) for point in contender.curve]
    return float(np.interp(spent, x, [point.bits for point in contender.curve]))


def tour_page(
    contenders: Sequence[Contender], samples: Sequence[Sample], planned_tokens: int
) -> str:
    """The tour as a self-contained HTML page."""
    dense, moe = contenders
    headers, rows = comparison_rows(contenders)
    by_flops, by_seconds = verdicts(dense, moe)
    done = f"{grouped(moe.tokens)} of {grouped(planned_tokens)} planned tokens"
    stopped = "" if moe.tokens == planned_tokens else f"<p>Stopped after {done}.</p>"
    n_experts = len(moe.load[0])
    view = routing_view(samples, n_experts=n_experts, title="Where the tokens went")
    return page(
        "Dense against Mixture of Experts at equal active parameters",
        [
            ("", f"<p>{by_flops}</p><p>{by_seconds}</p>{stopped}"),
            ("The numbers", html_table(headers, rows)),
            ("Loss against FLOPs, and against seconds", _losses(contenders)),
            ("Load of the experts", _loads(moe)),
            ("", view.fragment),
        ],
    )


def _losses(contenders: Sequence[Contender]) -> str:
    style()
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, unit, xlabel, scale in (
        (axes[0], "flops", "training FLOPs (10¹²)", 1e-12),
        (axes[1], "seconds", "training seconds on this machine", 1.0),
    ):
        curves = {
            NAMES.get(c.name, c.name): (
                [scale * getattr(point, unit) for point in c.curve],
                [point.bits for point in c.curve],
            )
            for c in contenders
        }
        plot_curves(ax, curves, xlabel, "validation loss (bits per byte)")
    final = ", ".join(f"{NAMES.get(c.name, c.name)} {c.curve[-1].bits:.3f}" for c in contenders)
    return figure_html(
        figure,
        "Two line charts of validation loss, against FLOPs and against seconds. At the end: "
        f"{final} bits per byte.",
        "Both read the same batches in the same order. The learning rate falls to a tenth along "
        "the way, so a model cut short at equal seconds has not had its last, slow part yet. One "
        "seed: --seed tells how much of a small gap is luck.",
    )


def _loads(moe: Contender) -> str:
    figure = Figure(figsize=(10, 1.2 + 0.55 * len(moe.load)), layout="constrained")
    plot_load(figure.subplots(), moe.load)
    load = np.array(moe.load)
    even = 1 / load.shape[1]
    return figure_html(
        figure,
        f"Heat map of the load of {load.shape[1]} experts in {len(load)} layers, from "
        f"{100 * load.min():.1f} to {100 * load.max():.1f} percent.",
        f"Share of the assignments on validation text; an even load is {100 * even:.2f} % each.",
    )
