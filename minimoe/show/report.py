"""The report of the tour: dense beside Mixture of Experts, as a table, two sentences and a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minimoe.show.explorer import routing_view
from minimoe.show.figures import plot_curves, plot_load, style
from minimoe.show.page import figure_html, page
from minimoe.show.sample import Sample
from minimoe.show.tables import html_table, si

NAMES = {"dense": "dense", "moe": "MoE"}
TIE = 0.01  # bits a byte; a smaller difference is not called a win


@dataclass(frozen=True)
class Point:
    """Validation loss, in bits a byte, and what the training had used until then."""

    tokens: int
    flops: float
    seconds: float
    bits: float


@dataclass(frozen=True)
class Contender:
    """One model of the tour, measured.

    Attributes:
        active_parameters, touched_parameters: of one token, by formula and measured.
        flops_per_token, measured_flops_per_token: of the forward pass.
        bits_per_byte: of validation text, for each domain and over "all".
        seconds, tokens: of training steps, without evaluations.
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
    def label(self) -> str:
        """The name as tables and figures write it."""
        return NAMES.get(self.name, self.name)


def comparison_rows(contenders: Sequence[Contender]) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of the tour's table, one column a model."""

    columns = [_column(contender) for contender in contenders]
    rows = [[what, *(column[what] for column in columns)] for what in columns[0]]
    return ["", *(contender.label for contender in contenders)], rows


def _column(c: Contender) -> dict[str, str | None]:
    """The column of one model."""
    return {
        "total parameters": f"{c.total_parameters:,}",
        "active parameters, by formula": f"{c.active_parameters:,}",
        "touched per token, measured": f"{c.touched_parameters:,}",
        "FLOPs per token, by formula": f"{c.flops_per_token:,}",
        "FLOPs per token, measured": f"{c.measured_flops_per_token:,}",
        **{f"bits per byte, {name}": f"{bits:.3f}" for name, bits in c.bits_per_byte.items()},
        "training tokens": f"{c.tokens:,}",
        "training seconds": f"{c.seconds:.1f}",
        "training tokens per second": f"{round(c.tokens / (c.seconds or 1)):,}",
        "load of the busiest expert": f"{100 * np.max(c.load):.1f} %" if c.load else None,
        "load of the idlest expert": f"{100 * np.min(c.load):.1f} %" if c.load else None,
    }


def verdicts(dense: Contender, moe: Contender) -> tuple[str, str]:
    """Say who won by FLOPs and who by seconds: the losses at the largest amount both have used.

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
    """Write the tour as a self-contained HTML page; samples are what the MoE model routed."""
    dense, moe = contenders
    headers, rows = comparison_rows(contenders)
    by_flops, by_seconds = verdicts(dense, moe)
    done = f"{moe.tokens:,} of {planned_tokens:,} planned tokens"
    stopped = "" if moe.tokens == planned_tokens else f"<p>Stopped after {done}.</p>"
    view = routing_view(samples, n_experts=len(moe.load[0]), title="Where the tokens went")
    return page(
        "Dense against Mixture of Experts at equal active parameters",
        [
            ("", f"<p>{by_flops}</p><p>{by_seconds}</p>{stopped}"),
            ("The numbers", html_table(headers, rows)),
            ("Loss against FLOPs, and against seconds", _losses(contenders)),
            ("Load of the experts", _loads(moe)),
            ("", view),
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
            c.label: (
                [scale * getattr(point, unit) for point in c.curve],
                [point.bits for point in c.curve],
            )
            for c in contenders
        }
        plot_curves(ax, curves, xlabel, "validation loss (bits per byte)")
    final = ", ".join(f"{c.label} {c.curve[-1].bits:.3f}" for c in contenders)
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
