"""Named points on two logarithmic axes, and numbers with an interval."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from minimoe.errors import InputError
from minimoe.show.figures import looks
from minimoe.show.figures.labels import place_labels


def plot_shares_log(
    ax: Axes,
    groups: Mapping[str, Mapping[str, tuple[SupportsFloat, SupportsFloat]]],
    xlabel: str,
    ylabel: str,
    shares: Sequence[float] = (1.0,),
) -> None:
    """Draw named points on logarithmic axes: a whole on x, a part of it on y.

    Args:
        groups: group to {name to (whole, part)}, both above 0; a group has a colour and a marker,
            and names at one point are written as one label.
        shares: for each, the line part = share * whole is drawn; 1.0 is the diagonal.
    """
    names: dict[tuple[float, float], list[str]] = {}
    for number, (group, named) in enumerate(groups.items()):
        points = {name: (float(whole), float(part)) for name, (whole, part) in named.items()}
        for name, point in points.items():
            if not min(point) > 0:
                raise InputError(f"{name}: both numbers must be above 0, got {min(point):g}")
            names.setdefault(point, []).append(name)
        marks = looks.line(number) | {"linestyle": ""}
        ax.plot(*zip(*points.values(), strict=True), label=group, markersize=6, **marks)
    wholes, parts = np.array(list(names)).T
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xlim(wholes.min() / 1.6, wholes.max() * 1.6)
    ax.set_ylim(parts.min() / 1.6, parts.max() * 1.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.grid()
    ax.legend(loc="upper left")
    _share_lines(ax, shares)
    _write_labels(ax, {point: ", ".join(at) for point, at in names.items()})


def _share_lines(ax: Axes, shares: Sequence[float]) -> None:
    """The lines part = share * whole, each with its share where it leaves the axes."""
    ends, top = np.array(ax.get_xlim()), ax.get_ylim()[1]
    for share in shares:
        dashes = looks.DASHES[1 if share == 1 else 2]
        ax.plot(ends, share * ends, color=looks.LIGHT, linewidth=1, linestyle=dashes)
        end = min(ends[1], top / share)
        ax.annotate(
            f"{100 * share:g}%", (end, share * end), (-16, -1), textcoords="offset points",
            ha="right", va="top", fontsize=9, color=looks.GRAY,
        )  # fmt: skip


def _write_labels(ax: Axes, labels: Mapping[tuple[float, float], str]) -> None:
    """Write each label near its point, where it and its line cover nothing else."""
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()  # type: ignore[union-attr]  # the axes get their last size
    others: list[Any] = [ax.get_legend(), *ax.texts]
    taken = np.array([other.get_window_extent().extents for other in others])
    texts = [
        ax.annotate(
            label, point, (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": looks.LIGHT, "linewidth": 0.7, "shrinkA": 0},
            path_effects=[withStroke(linewidth=2, foreground="white")],
            in_layout=False,  # or the axes would shrink after the labels were placed
        )
        for point, label in labels.items()
    ]  # fmt: skip
    sizes = np.array([text.get_window_extent().size for text in texts])
    marks = ax.transData.transform(list(labels))
    offsets = place_labels(marks, sizes, taken, np.array(ax.bbox.extents))
    for text, (right, up) in zip(texts, offsets * 72 / ax.figure.dpi, strict=True):
        text.set_position((right, up))


def plot_differences(
    ax: Axes,
    differences: Mapping[str, tuple[ArrayLike, tuple[SupportsFloat, SupportsFloat]]],
    xlabel: str,
) -> None:
    """Draw the differences between two trials seed by seed, with an interval of their mean.

    A mean whose interval holds 0 has a question mark.

    Args:
        differences: label to (one number for each seed, (low, high) of the interval); the first is
            drawn on top.
    """
    for row, (label, (values, interval)) in enumerate(differences.items()):
        seeds, (low, high) = np.asarray(values, float), map(float, interval)
        if seeds.ndim != 1 or not seeds.size or low > high:
            raise InputError(
                f"{label}: differences must be [n_seeds] with an interval (low, high), got "
                f"{seeds.shape} and ({low:g}, {high:g})"
            )
        unsettled = low <= 0 <= high
        color, says = looks.LINES[unsettled], f" {seeds.mean():+.3f}" + "?" * unsettled
        marks: dict[str, Any] = {"linestyle": "", "color": color}
        ax.plot([low, high], [row, row], color=color, linewidth=5, alpha=0.35)
        ax.plot(seeds, [row] * seeds.size, marker="o", ms=5, markerfacecolor="white", **marks)
        ax.plot([seeds.mean()], [row], marker="|", ms=17, markeredgewidth=2.5, **marks)
        beside, ink = ("axes fraction", "data"), looks.readable(color)
        ax.annotate(says, (1, row), xycoords=beside, va="center", color=ink)
    ax.axvline(0, color=looks.DARK, linewidth=1)
    looks.name_rows(ax, differences)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")


def plot_paired(ax: Axes, compared: Mapping[str, Any], xlabel: str) -> None:
    """Draw comparisons by seed, as `plot_differences` does.

    Args:
        compared: label to a comparison with `differences` and `interval`, as
            `minimoe.measure.comparison` returns it.
    """
    plot_differences(
        ax, {k: (list(r.differences), r.interval) for k, r in compared.items()}, xlabel
    )


def plot_specialisation(ax: Axes, measured: Mapping[str, Sequence[Any]]) -> None:
    """Draw normalised mutual information by layer, its interval, and the control as a grey bar.

    Args:
        measured: label to one value per layer, the first layer first; a value has nmi, low, high
            and control_high, as `minimoe.measure.specialisation` returns it.
    """
    lengths = {len(layers) for layers in measured.values()}
    if len(lengths) != 1:
        raise InputError(f"each label needs as many layers, got {sorted(lengths)}")
    layers = np.arange(1, lengths.pop() + 1)
    for number, (label, values) in enumerate(measured.items()):
        x = layers + 0.8 * ((number + 0.5) / len(measured) - 0.5)
        ax.bar(
            x, [v.control_high for v in values], width=0.8 / len(measured), color="#c8ced6",
            label="control: most of its shuffles" if number == 0 else None,
        )  # fmt: skip
        nmi = np.array([v.nmi for v in values])
        ends = np.array([[v.nmi - v.low, v.high - v.nmi] for v in values]).T
        marks = looks.line(number) | {"linestyle": ""}
        ax.errorbar(x, nmi, np.maximum(ends, 0), capsize=3, label=label, elinewidth=1.4, **marks)
    ax.set_xticks(layers)
    ax.set_ylim(bottom=0)
    ax.set(xlabel="MoE layer", ylabel="NMI with the expert (0 to 1)")
    ax.grid(axis="y")
    ax.legend(ncols=3, **looks.ABOVE)
