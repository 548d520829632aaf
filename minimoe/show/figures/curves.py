"""Lines over a number: curves, medians of rounds, means of seeds, measurements and predictions."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from minimoe.errors import InputError
from minimoe.show.figures import looks

Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]


def plot_curves(ax: Axes, curves: Curves, xlabel: str, ylabel: str, log_x: bool = False) -> None:
    """Draw one line per label, with its last value written at its end.

    Args:
        curves: label to (x, y), each [n] with n at least 1.
        log_x: a logarithmic x axis.
    """
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = _pair(label, x, y)
        every = max(1, len(xs) // 8)
        ax.plot(xs, ys, label=label, markevery=every, markersize=5, **looks.line(number))
    _curve_axes(ax, xlabel, ylabel, log_x)
    if len(curves) > 1:
        ax.legend(handlelength=3.2)
    _write_ends(ax, ax.lines[-len(curves) :])


def mark_distance(ax: Axes, y: float, start: float, end: float, label: str) -> None:
    """Draw a horizontal arrow from one x to another at this height, with a label beside its end."""
    color = looks.LINES[2]
    arrow = {"arrowstyle": "->", "color": color, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (end, y), (start, y), arrowprops=arrow)
    ax.annotate(
        label, (end, y), (5, 2), textcoords="offset points", va="bottom",
        color=looks.readable(color), fontweight="bold",
    )  # fmt: skip


def plot_medians(ax: Axes, curves: Curves, xlabel: str, ylabel: str, log_x: bool = False) -> None:
    """Draw the median over rounds as a line, and the middle half of the rounds as a band.

    Args:
        curves: label to (x, y), x [n] and y [n_rounds, n]; a single round is a line alone.
        log_x: a logarithmic x axis.
    """
    lines = {}
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = np.asarray(x, float), np.asarray(y, float)
        if ys.ndim != 2 or ys.shape[1:] != xs.shape:
            raise InputError(f"{label}: y must be [n_rounds, {xs.size}] like x, got {ys.shape}")
        low, middle, high = np.quantile(ys, [0.25, 0.5, 0.75], axis=0)
        if len(ys) > 1:
            label = f"{label} (median, middle half of {len(ys)} rounds)"
            ax.fill_between(xs, low, high, color=looks.LINES[number], alpha=0.2, linewidth=0)
        lines[label] = (xs, middle)
    plot_curves(ax, lines, xlabel, ylabel, log_x)


def plot_seeds(ax: Axes, curves: Curves, xlabel: str, ylabel: str) -> None:
    """Draw each seed as a thin line, and the mean of the seeds as in `plot_curves`.

    A point of the mean is the mean x and the mean y of the seeds' points with its number.

    Args:
        curves: label to (x, y), both [n_seeds, n]; a single seed is a line alone.
    """
    means = {}
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = np.asarray(x, float), np.asarray(y, float)
        if xs.ndim != 2 or xs.shape != ys.shape or not xs.size:
            raise InputError(
                f"{label}: x and y must both be [n_seeds, n], got {xs.shape} and {ys.shape}"
            )
        if len(ys) > 1:
            thin = looks.line(number) | {"marker": "", "linewidth": 0.8, "alpha": 0.7}
            ax.plot(xs.T, ys.T, **thin)
            label = f"{label} (mean of {len(ys)} seeds)"
        means[label] = (xs.mean(0), ys.mean(0))
    plot_curves(ax, means, xlabel, ylabel)
    for end in ax.texts:  # often on the lines of another label
        end.set_path_effects([withStroke(linewidth=3, foreground="white")])


def plot_interval(
    ax: Axes,
    x: ArrayLike,
    interval: tuple[ArrayLike, ArrayLike, ArrayLike],
    marked: Mapping[str, SupportsFloat],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw a mean as a line with its interval as a band, beside a line at 0 and marked places.

    Args:
        x: [n], rising.
        interval: low end, mean and high end, each [n].
        marked: label to the x at which a vertical line stands.
    """
    lows, means, highs = (_pair("interval", x, part)[1] for part in interval)
    xs = np.asarray(x, float)
    for low, middle, high in zip(lows, means, highs, strict=True):
        if not low <= middle <= high:
            raise InputError(f"a mean must lie in its interval, got {middle:g} in {low:g} {high:g}")
    ax.fill_between(xs, lows, highs, color=looks.LINES[0], alpha=0.25, linewidth=0)
    ax.plot(xs, means, color=looks.LINES[0])
    ax.axhline(0, color=looks.DARK, linewidth=1)
    _curve_axes(ax, xlabel, ylabel, log_x=False)
    for number, (label, place) in enumerate(marked.items(), start=1):
        at, color = float(place), looks.LINES[number % len(looks.LINES)]
        ax.axvline(at, color=color, linestyle=looks.DASHES[1], linewidth=1.5)
        ax.annotate(
            f" {label}: {at:.2f}", (at, 1), xycoords=("data", "axes fraction"), va="bottom",
            ha="center", color=looks.readable(color), fontsize=10,
        )  # fmt: skip


def plot_predicted(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw measurements as lines with markers, predictions as thin dotted lines, on log axes.

    A prediction has the colour of its measurement.

    Args:
        curves: label to (x, measured, predicted), each [n] with n at least 1, all above 0.
    """
    measurements: list[Line2D] = []
    dotted: dict[str, Any] = {"linestyle": ":", "linewidth": 1.3}
    for number, (label, (x, measured, predicted)) in enumerate(curves.items()):
        (xs, seen), (_, said) = _pair(label, x, measured), _pair(label, x, predicted)
        least = min(part.min() for part in (xs, seen, said))
        if not least > 0:
            raise InputError(f"{label}: logarithmic axes need numbers above 0, got {least:g}")
        measurements += ax.plot(xs, seen, label=label, markersize=5, **looks.line(number))
        ax.plot(xs, said, color=looks.line(number)["color"], **dotted)
    ax.set_yscale("log")
    _curve_axes(ax, xlabel, ylabel, log_x=True)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(looks.tick))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.plot([], [], color=looks.GRAY, label="predicted", **dotted)
    ax.legend(handlelength=3.2)
    _write_ends(ax, measurements)


def _pair(label: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if xs.ndim != 1 or xs.shape != ys.shape or not xs.size:
        raise InputError(f"{label}: x and y must both be [n], got {xs.shape} and {ys.shape}")
    return xs, ys


def _curve_axes(ax: Axes, xlabel: str, ylabel: str, log_x: bool) -> None:
    if log_x:
        points = np.unique(np.concatenate([line.get_xdata() for line in ax.lines]))
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        if len(points) <= 10:  # few enough to write each at its tick
            ax.set_xticks(_apart(points))
            ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(looks.tick))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(axis="y")


def _apart(points: np.ndarray, ratio: float = 1.3) -> list[float]:
    """Rising numbers without those whose labels would overlap on a logarithmic axis."""
    kept: list[float] = []
    for point in points.tolist():
        if not kept or point >= ratio * kept[-1]:
            kept.append(point)
    return kept


def _write_ends(ax: Axes, lines: Sequence[Line2D]) -> None:
    """Write the last value of each line beside its end, moved apart where they would overlap."""
    low, high = ax.get_xlim()
    log = ax.get_xscale() == "log"
    ax.set_xlim(low, high * (high / low) ** 0.1 if log else high + 0.1 * (high - low))
    taken: list[tuple[float, float]] = []
    ends = [(*np.asarray(line.get_xydata())[-1].tolist(), line.get_color()) for line in lines]
    for x, y, color in sorted(ends, key=lambda end: end[1]):
        across, up = ax.transData.transform((x, y)) * 72 / ax.figure.dpi
        at = max([up, *(other + 13 for beside, other in taken if abs(beside - across) < 55)])
        taken.append((across, at))
        ax.plot([x], [y], "o", color=color, markersize=6, clip_on=False)
        ax.annotate(
            f"{y:#.3g}".rstrip("."), (x, y), (8, at - up), textcoords="offset points", va="center",
            color=looks.readable(color), fontweight="bold", fontsize=10,
        )  # fmt: skip
