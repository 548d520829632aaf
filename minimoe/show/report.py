"""The page of the tour: sentences, table, curves of every seed, load and coloured text."""

from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from minimoe.show.comparison import Contender, Tour, comparison_rows, verdicts
from minimoe.show.explorer import routing_view
from minimoe.show.figures import plot_differences, plot_load, plot_seeds, style
from minimoe.show.page import figure_html, page
from minimoe.show.sample import Sample
from minimoe.show.tables import html_table


def tour_page(tour: Tour, samples: Sequence[Sample], credits: Sequence[str] = ()) -> str:
    """Write the tour as a self-contained HTML page.

    Args:
        samples: what the MoE model of the first seed routed.
        credits: of the texts that the samples come from.
    """
    style()
    first = tour.moe.runs[0]
    headers, rows = comparison_rows(tour)
    done = f"{first.tokens:,} of {tour.planned_tokens:,} planned tokens"
    stopped = "" if first.tokens == tour.planned_tokens else f"<p>Stopped after {done}.</p>"
    said = "".join(f"<p>{sentence}</p>" for sentence in verdicts(tour))
    credited = f"<p>Text: {escape('; '.join(credits))}.</p>" if credits else ""
    title = f"Where the tokens went, in the MoE model of seed {first.seed}"
    return page(
        "Dense against Mixture of Experts at equal active parameters",
        [
            ("", said + stopped + _differences(tour)),
            ("The numbers", html_table(headers, rows)),
            ("Loss against FLOPs, and against seconds", _losses(tour)),
            (f"Load of the experts, seed {first.seed}", _loads(first.load)),
            ("", routing_view(samples, n_experts=len(first.load[0]), title=title) + credited),
        ],
    )


def _differences(tour: Tour) -> str:
    """Each seed's difference beside the interval; nothing for a single seed."""
    rows = {
        label: (np.array(found.differences), found.interval)
        for label, found in (("equal FLOPs", tour.by_flops), ("equal seconds", tour.by_seconds))
        if found.interval is not None
    }
    if not rows:
        return ""
    figure = Figure(figsize=(6.8, 2.1), layout="constrained")
    plot_differences(
        figure.subplots(), rows, "MoE minus dense, bits per byte (left of 0: MoE is better)"
    )
    described = "; ".join(
        f"at {label} {', '.join(f'{d:+.3f}' for d in differences)}, interval {low:+.3f} to "
        f"{high:+.3f}"
        for label, (differences, (low, high)) in rows.items()
    )
    return figure_html(
        figure,
        f"Differences MoE minus dense in bits per byte, one for each seed: {described}.",
        "A circle is one seed: both its models read the same batches. The vertical stroke is the "
        "mean, and the bar its 95 % interval (Student's t). A question mark means that the bar "
        "includes 0. The interval is about other seeds, not about other text or another machine.",
    )


def _losses(tour: Tour) -> str:
    figure = Figure(figsize=(6.8, 7), layout="constrained")
    axes = figure.subplots(2, 1, sharey=True)
    models = (tour.dense, tour.moe)
    for ax, unit, xlabel, scale in (
        (axes[0], "flops", "training FLOPs (10¹²)", 1e-12),
        (axes[1], "seconds", "training seconds on this machine", 1.0),
    ):
        curves = {m.label: (scale * _of_runs(m, unit), _of_runs(m, "bits")) for m in models}
        plot_seeds(ax, curves, xlabel, "validation loss (bits per byte)")
    final = ", ".join(f"{m.label} {_of_runs(m, 'bits')[:, -1].mean():.3f}" for m in models)
    return figure_html(
        figure,
        "Two line charts of validation loss, against FLOPs and against seconds. At the end: "
        f"{final} bits per byte.",
        "Thin lines are seeds, thick lines their mean. "
        * (len(tour.moe.runs) > 1)
        + "The loss before training, about 8 bits per "
        "byte, is left out. The learning rate falls to a tenth along the way. So a model cut short "
        "at equal seconds has not had its last, slow part yet.",
    )


def _of_runs(model: Contender, unit: str) -> np.ndarray:
    """One number of every point drawn, [n_seeds, n_points]: the first only if it is alone."""
    return np.array(
        [[getattr(point, unit) for point in run.curve[1:] or run.curve] for run in model.runs]
    )


def _loads(shares: Sequence[Sequence[float]]) -> str:
    load = np.array(shares)
    figure = Figure(figsize=(7.6, 1.2 + 0.55 * len(load)), layout="constrained")
    plot_load(figure.subplots(), load)
    even = 1 / load.shape[1]
    return figure_html(
        figure,
        f"Heat map of the load of {load.shape[1]} experts in {len(load)} layers, from "
        f"{100 * load.min():.1f} to {100 * load.max():.1f} percent.",
        f"Share of the assignments on validation text; an even load is {100 * even:.2f} % each.",
    )
