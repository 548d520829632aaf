"""Bars: parts of a whole, amounts on a logarithmic axis, shares of a peak, ratios around 1."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import SupportsFloat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minimoe.errors import InputError
from minimoe.show.colors import expert_color, ink_on, mix
from minimoe.show.figures import looks
from minimoe.show.tables import si


def plot_stacked(ax: Axes, rows: Mapping[str, Mapping[str, SupportsFloat]], unit: str) -> None:
    """Draw one horizontal bar per row, made of its parts, with its total at the end.

    Args:
        rows: row to {part to amount}, amounts 0 or more; the first row is drawn on top.
    """
    parts = list(dict.fromkeys(part for amounts in rows.values() for part in amounts))
    totals = [math.fsum(map(float, amounts.values())) for amounts in rows.values()]
    left = np.zeros(len(rows))
    for number, part in enumerate(parts):
        widths = np.array([float(amounts.get(part, 0)) for amounts in rows.values()], float)
        if (widths < 0).any():
            raise InputError(f"amounts must be at least 0, got {part} = {widths.min():g}")
        color, hatch = expert_color(number), looks.HATCHES[number % len(looks.HATCHES)]
        ax.barh(
            range(len(rows)), widths, left=left, label=part, color=color, hatch=hatch, height=0.62,
            edgecolor=mix(color, ink_on(color), 0.35), linewidth=0,
        )  # fmt: skip
        for row in np.flatnonzero(widths >= 0.075 * max(totals)).tolist():  # wide enough for text
            ax.text(
                left[row] + widths[row] / 2, row, si(widths[row]), ha="center", va="center",
                fontsize=9, color=ink_on(color),
                bbox={"facecolor": color, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
        left += widths
    _name_bars(ax, rows, totals, si)
    ax.set_xlim(0, max(totals) * 1.14 or 1)
    ax.set_xlabel(unit)
    ax.xaxis.set_major_formatter(FuncFormatter(looks.tick))
    ax.legend(ncols=min(4, len(parts)), **looks.ABOVE)


def plot_bars_log(ax: Axes, amounts: Mapping[str, SupportsFloat], unit: str) -> None:
    """Draw amounts that differ by powers of ten as bars on a logarithmic axis.

    Such an axis has no zero, so the bars start at a power of ten below the least amount: compare
    where they end, not how long they are.

    Args:
        amounts: label to amount, above 0; the first is drawn on top.
    """
    values = np.array([float(amount) for amount in amounts.values()])
    if not (values > 0).all():
        raise InputError(f"amounts on a logarithmic axis must be above 0, got {values.min():g}")
    low = 10.0 ** (math.floor(math.log10(values.min()) - 0.15))
    ax.set_xscale("log")
    ax.barh(range(len(values)), values - low, left=low, height=0.6, color=looks.LINES[0])
    _name_bars(ax, amounts, values, si)
    right = values.max() * (values.max() / low) ** 0.14
    step = 10 ** math.ceil(math.log10(right / low) / 9)  # so that there are at most ten numbers
    ax.set_xlim(low, right)
    ax.xaxis.set_major_locator(LogLocator(base=step, numticks=12))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"{unit} (logarithmic: each grid line is {step} times the one before)")
    ax.xaxis.set_major_formatter(FuncFormatter(looks.tick))
    ax.grid(axis="x")


def plot_parts_of_peak(ax: Axes, shares: Mapping[str, SupportsFloat], unit: str) -> None:
    """Draw shares of a machine's peak as bars, with the peak as a dashed line.

    Args:
        shares: label to share, 0 or more; 1 is the peak. The first is drawn on top.
    """
    values = np.array([float(share) for share in shares.values()])
    if not (values >= 0).all():
        raise InputError(f"shares must be at least 0, got {values.min():g}")
    ax.barh(range(len(values)), values, height=0.6, color=looks.LINES[0])
    ax.axvline(1, linestyle="--", color=looks.DARK, linewidth=1.3)
    _name_bars(ax, shares, values, looks.percent)
    ax.set_xlim(0, max(1.06, 1.12 * values.max()))
    ax.set_xlabel(f"share {unit} (dashed: all of it)")
    ax.xaxis.set_major_formatter(looks.PERCENT_TICKS)


def _name_bars(
    ax: Axes, names: Iterable[str], ends: Iterable[float], written: Callable[[float], str]
) -> None:
    """Write a name left of each bar, and its amount right of the bar's end."""
    for row, end in enumerate(ends):
        ax.text(end, row, f" {written(end)}", va="center", ha="left", fontweight="bold")
    looks.name_rows(ax, names)


def plot_ratios(
    ax: Axes, ratios: Mapping[str, Mapping[str, Sequence[SupportsFloat]]], ylabel: str
) -> None:
    """Draw ratios as bars that begin at 1, upwards above it and downwards below it.

    The axis is logarithmic: twice as much is as long as half as much. Whiskers show the range.

    Args:
        ratios: series to {label to (low, middle, high)}, all above 0: the bar ends at the middle.
    """
    labels = list(dict.fromkeys(label for bars in ratios.values() for label in bars))
    width = 0.8 / len(ratios)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for number, (series, bars) in enumerate(ratios.items()):
        low, middle, high = ends = np.array(
            [[float(end) for end in bar] for bar in bars.values()]
        ).T
        if not ends.min() > 0:
            raise InputError(f"{series}: ratios must be above 0, got {low.min():g}")
        shift = (number - (len(ratios) - 1) / 2) * width
        at = np.array([labels.index(label) for label in bars]) + shift
        color, hatch = looks.LINES[number], looks.HATCHES[number]
        ax.bar(
            at, middle - 1, width, bottom=1, label=series, color=color, hatch=hatch,
            edgecolor=mix(color, "#FFFFFF", 0.5), linewidth=0,
        )  # fmt: skip
        whiskers = [middle - low, high - middle]
        ax.errorbar(at, middle, whiskers, fmt="none", ecolor=looks.DARK, elinewidth=1.3, capsize=3)
        for x, a, b, c in zip(at, low, middle, high, strict=True):
            end, side, va = (c, 4, "bottom") if b >= 1 else (a, -4, "top")
            ax.annotate(
                f"{b:.2f}", (x, end), (0, side), textcoords="offset points", ha="center", va=va,
                fontsize=9, path_effects=halo,
            )  # fmt: skip
    ax.axhline(1, color=looks.DARK, linewidth=1)
    ax.set_yscale("log", base=2)
    ax.margins(y=0.12)
    ax.yaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(looks.tick))
    ax.set_xticks(range(len(labels)), labels)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    ax.legend(**looks.ABOVE)
