"""Named points on two logarithmic axes, such as all parameters and active ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from minimoe.errors import InputError
from minimoe.show.figures.labels import place_labels
from minimoe.show.figures.style import DASHES, GRAY, LIGHT, look


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
        marks = look(number) | {"linestyle": ""}
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
    (left, right), top = ax.get_xlim(), ax.get_ylim()[1]
    for share in shares:
        dashes = DASHES[1] if share == 1 else DASHES[2]
        ends = [left, right]
        ax.plot(ends, [share * end for end in ends], color=LIGHT, linewidth=1, linestyle=dashes)
        end = min(right, top / share)
        ax.annotate(
            f"{100 * share:g}%", (end, share * end), (-16, -1), textcoords="offset points",
            ha="right", va="top", fontsize=9, color=GRAY,
        )  # fmt: skip


def _write_labels(ax: Axes, labels: Mapping[tuple[float, float], str]) -> None:
    """Write each label near its point, where it and its line cover nothing else."""
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()  # type: ignore[union-attr]  # the axes get their last size
    texts = [
        ax.annotate(
            label, point, (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": LIGHT, "linewidth": 0.7, "shrinkA": 0},
            path_effects=[withStroke(linewidth=2, foreground="white")],
            in_layout=False,  # or the axes would shrink after the labels were placed
        )
        for point, label in labels.items()
    ]  # fmt: skip
    others: list[Any] = [ax.get_legend(), *(t for t in ax.texts if t not in texts)]
    taken = np.array([other.get_window_extent().extents for other in others])
    sizes = np.array([text.get_window_extent().size for text in texts])
    marks = ax.transData.transform(list(labels))
    offsets = place_labels(marks, sizes, taken, np.array(ax.bbox.extents))
    for text, offset in zip(texts, offsets * 72 / ax.figure.dpi, strict=True):
        text.set_position((float(offset[0]), float(offset[1])))
