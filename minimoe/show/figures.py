"""How do numbers become figures? Small functions that draw on the Axes they are given."""

from __future__ import annotations

import io
import math
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib import get_backend, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import withStroke
from matplotlib.rcsetup import cycler
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from numpy.typing import ArrayLike

from minimoe.config import InputError
from minimoe.show import contrast, expert_color, ink_on, mix
from minimoe.show.labels import place_labels
from minimoe.show.tables import si

# Okabe and Ito's colours again, those that stand out on white first: lines, not experts.
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (1, 1)), "-")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "++", "oo")
_MOST_NUMBERED = 16  # experts up to which a heat map writes the numbers in its cells
_UNDATED = {"png": {"Software": None}, "svg": {"Date": None}}  # the same figure, the same bytes
_VISIBLE = {" ": "␣", "\n": "↵", "\t": "→"}


def style() -> None:
    """Set matplotlib to the look of all figures: legible, plain, the same on every machine."""
    rcParams.update(
        {
            "font.family": "DejaVu Sans",  # shipped with matplotlib, so the same everywhere
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#59636e",
            "axes.axisbelow": True,
            "axes.grid": False,
            "grid.color": "#dfe3e8",
            "grid.linewidth": 0.8,
            "lines.linewidth": 2.0,
            "hatch.linewidth": 0.6,
            "figure.figsize": (8.0, 4.0),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.09,
            "figure.constrained_layout.w_pad": 0.09,
            "savefig.facecolor": "white",
            "image.cmap": "cividis",
            "svg.hashsalt": "minimoe",
            "axes.prop_cycle": cycler(color=list(_LINES)),
        }
    )
    _show_in_notebook()


def _show_in_notebook() -> None:
    """Show figures below a notebook's cells, even where MPLBACKEND=agg would show none."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if hasattr(shell, "kernel") and get_backend().lower() in silent:
        shell.run_line_magic("matplotlib", "inline")


def expert_colors(n: int) -> list[str]:
    """One colour per expert, the same as in the routing view.

    Args:
        n: how many experts, at least 0; from the ninth on the hues repeat.

    Returns:
        n colours as `#RRGGBB`; `expert_colors(2) == ["#E69F00", "#56B4E9"]`.
    """
    return [expert_color(expert) for expert in range(n)]


def plot_curves(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
) -> None:
    """Draw one line per label, with its last value written at its end.

    Args:
        ax: where to draw.
        curves: label to (x, y), each [n] with n at least 1.
        xlabel: what x is, with its unit.
        ylabel: what y is, with its unit.
        log_x: a logarithmic x axis.

    Raises:
        InputError: when x and y of a curve differ in length.
    """
    ends = []
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = _pair(label, x, y)
        look = _look(number)
        points = {"marker": look.pop("marker"), "markevery": max(1, len(xs) // 8), "markersize": 5}
        ax.plot(xs, ys, label=label, **look, **points)
        ends.append((float(xs[-1]), float(ys[-1]), look["color"]))
    _curve_axes(ax, xlabel, ylabel, log_x, many=len(curves) > 1)
    _write_ends(ax, ends)


def plot_curve_band(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
) -> None:
    """Draw the mean over seeds as a line and the range from least to most as a band.

    Args:
        ax: where to draw.
        curves: label to (x, y), x [n] and y [n_seeds, n].
        xlabel: what x is, with its unit.
        ylabel: what y is, with its unit.
        log_x: a logarithmic x axis.

    Raises:
        InputError: when y is not [n_seeds, n] for the n of x.
    """
    ends = []
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = _repeated(label, x, y, "n_seeds")
        look = _look(number)
        look.pop("marker")
        ax.plot(xs, ys.mean(0), label=f"{label} (mean, range of {len(ys)} seeds)", **look)
        ax.fill_between(xs, ys.min(0), ys.max(0), color=look["color"], alpha=0.2, linewidth=0)
        ends.append((float(xs[-1]), float(ys.mean(0)[-1]), look["color"]))
    _curve_axes(ax, xlabel, ylabel, log_x, many=True)
    _write_ends(ax, ends)


def plot_load(ax: Axes, load: ArrayLike, layer_names: Sequence[str] | None = None) -> None:
    """Draw how the assignments spread over the experts, with 1/E marked.

    Args:
        ax: where to draw.
        load: shares of the assignments, [E] for one layer (bars) or [n_layers, E] (heat map);
            each layer sums to 1.
        layer_names: one name per layer of a heat map; None: counted from 1.

    Raises:
        InputError: when load has another number of axes, or a layer does not sum to 1.
    """
    shares = np.asarray(load, float)
    if shares.ndim not in (1, 2) or 0 in shares.shape:
        raise InputError(f"load must be [E] or [n_layers, E], got shape {shares.shape}")
    for total in np.atleast_1d(shares.sum(-1)):
        if not abs(total - 1) < 1e-3:
            raise InputError(
                f"load must sum to 1 in each layer, got {total:g}: divide the counts by their sum"
            )
    if shares.ndim == 1:
        return _load_bars(ax, shares)
    if layer_names is not None and len(layer_names) != len(shares):
        raise InputError(
            f"layer_names must hold one name per layer ({len(shares)}), got {len(layer_names)}"
        )
    return _load_map(ax, shares, layer_names)


def plot_load_history(
    ax: Axes, loads: ArrayLike, top: float | None = None, first_step: int = 1
) -> None:
    """Draw how the load of each expert changes from step to step; white where it got nothing.

    Args:
        ax: where to draw.
        loads: shares of the assignments of one layer, [n_steps, E]; each step sums to 1.
        top: the load that gets the last colour, as do larger ones; None: the largest there is.
            Give it to compare two figures.
        first_step: the training step of the first row of loads.

    Raises:
        InputError: when loads has another number of axes, or a step does not sum to 1.
    """
    shares = np.asarray(loads, float)
    if shares.ndim != 2 or 0 in shares.shape:
        raise InputError(f"loads must be [n_steps, E], got shape {shares.shape}")
    furthest = shares.sum(-1)[np.abs(shares.sum(-1) - 1).argmax()]
    if not abs(furthest - 1) < 1e-3:
        raise InputError(f"loads must sum to 1 in each step, got {furthest:g}")
    n_steps, n_experts = shares.shape
    last = top or float(max(shares.max(), 2 / n_experts))
    image = ax.imshow(
        np.ma.masked_equal(shares.T, 0), cmap="cividis", vmin=0, vmax=last, aspect="auto",
        interpolation="nearest",
        extent=(first_step - 0.5, first_step + n_steps - 0.5, n_experts - 0.5, -0.5),
    )  # fmt: skip
    _expert_ticks(ax.yaxis, n_experts)
    ax.set_xlabel("training step")
    ax.set_ylabel("expert")
    ax.tick_params(length=0)
    more = "max" if shares.max() > last else "neither"
    percent = FuncFormatter(lambda share, _: f"{100 * share:.3g}%")
    bar = ax.figure.colorbar(image, ax=ax, format=percent, pad=0.02, extend=more)
    bar.set_label(f"load (white: none; dashed: even, 1/{n_experts})")
    bar.ax.axhline(1 / n_experts, linestyle=(0, (2, 1.2)), color="white", linewidth=2)


def plot_stacked(ax: Axes, rows: Mapping[str, Mapping[str, SupportsFloat]], unit: str) -> None:
    """Draw where an amount sits: one horizontal bar per row, made of its parts.

    Args:
        ax: where to draw.
        rows: row to {part to amount}, amounts 0 or more; the first row is drawn on top.
        unit: what is counted, such as "parameters".

    Raises:
        InputError: when an amount is negative.
    """
    parts = list(dict.fromkeys(part for amounts in rows.values() for part in amounts))
    totals = [math.fsum(map(float, amounts.values())) for amounts in rows.values()]
    left = np.zeros(len(rows))
    for number, part in enumerate(parts):
        widths = np.array([float(amounts.get(part, 0)) for amounts in rows.values()], float)
        if (widths < 0).any():
            raise InputError(f"amounts must be at least 0, got {part} = {widths.min():g}")
        color, hatch = expert_color(number), _HATCHES[number % len(_HATCHES)]
        line = mix(color, ink_on(color), 0.35)
        ax.barh(
            range(len(rows)), widths, left=left, label=part, color=color, hatch=hatch, height=0.62,
            edgecolor=line, linewidth=0,
        )  # fmt: skip
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            _write_part(ax, row, start, width, max(totals), color)
        left += widths
    for row, total in enumerate(totals):
        ax.text(total, row, f" {si(total)}", va="center", ha="left", fontweight="bold")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.set_xlim(0, max(totals) * 1.14 or 1)
    ax.set_xlabel(unit)
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(4, len(parts)), borderaxespad=0.4)


def plot_scores(
    ax: Axes, scores: ArrayLike, expert_ids: ArrayLike, token_labels: Sequence[str]
) -> None:
    """Draw the router's scores as a heat map, tokens from left to right, the chosen ones dotted.

    Args:
        ax: where to draw.
        scores: [T, E], what the router gave each expert.
        expert_ids: integers [T, K], the experts chosen.
        token_labels: T texts; a character that the font lacks is written as its code point.

    Raises:
        InputError: when the three disagree on T, or an expert is not in [0, E).
    """
    table, chosen = np.asarray(scores, float), np.asarray(expert_ids)
    if table.ndim != 2 or chosen.ndim != 2 or len(table) != len(chosen):
        raise InputError(
            f"scores must be [T, E] and expert_ids [T, K], got {table.shape} and {chosen.shape}"
        )
    if len(token_labels) != len(table):
        raise InputError(f"token_labels must hold T={len(table)} texts, got {len(token_labels)}")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < table.shape[1]:
        worst = chosen.min() if chosen.min() < 0 else chosen.max()
        raise InputError(f"expert_ids must lie in [0, E={table.shape[1]}), got {worst}")
    image = ax.imshow(table.T, cmap="cividis", aspect="auto", interpolation="nearest")
    tokens = np.repeat(np.arange(len(table)), chosen.shape[1])
    ax.scatter(tokens, chosen.ravel(), s=42, color="white", edgecolors="black", linewidths=1.2)
    labels = [_drawable(text) for text in token_labels]
    turn = 90 if max(map(len, labels), default=0) > 2 else 0
    ax.set_xticks(range(len(table)), labels, parse_math=False, rotation=turn)
    _expert_ticks(ax.yaxis, table.shape[1])
    ax.set_xlabel("token, in reading order (dot: chosen)")
    ax.set_ylabel("expert")
    _plain_map(ax)
    ax.figure.colorbar(image, ax=ax, label="router score", pad=0.02)


def plot_bars_log(ax: Axes, amounts: Mapping[str, SupportsFloat], unit: str) -> None:
    """Draw amounts that differ by powers of ten, as bars on a logarithmic axis with their values.

    The bars start at a power of ten below the least amount, since such an axis has no zero:
    compare where bars end, not how long they are.

    Args:
        ax: where to draw.
        amounts: label to amount, above 0; the first is drawn on top.
        unit: what is counted, such as "bytes per token".

    Raises:
        InputError: when an amount is not above 0.
    """
    values = np.array([float(amount) for amount in amounts.values()])
    if not (values > 0).all():
        raise InputError(f"amounts on a logarithmic axis must be above 0, got {values.min():g}")
    low = 10.0 ** (math.floor(math.log10(values.min()) - 0.15))
    rows = range(len(values))
    ax.set_xscale("log")
    ax.barh(rows, values - low, left=low, height=0.6, color=_LINES[0])
    for row, value in zip(rows, values, strict=True):
        ax.text(value, row, f" {si(value)}", va="center", ha="left", fontweight="bold")
    ax.set_yticks(rows, list(amounts))
    ax.set_ylim(len(values) - 0.45, -0.55)
    right = values.max() * (values.max() / low) ** 0.14
    step = 10 ** math.ceil(math.log10(right / low) / 9)  # so that at most ten numbers stand there
    ax.set_xlim(low, right)
    ax.xaxis.set_major_locator(LogLocator(base=step, numticks=12))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"{unit} (logarithmic: each grid line is {step} times the one before)")
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def plot_shares_log(
    ax: Axes,
    groups: Mapping[str, Mapping[str, tuple[SupportsFloat, SupportsFloat]]],
    xlabel: str,
    ylabel: str,
    shares: Sequence[float] = (1.0,),
) -> None:
    """Draw named points on two logarithmic axes: a whole across, a part of it upwards.

    Args:
        ax: where to draw.
        groups: group to {name to (whole, part)}, both above 0; a group has a colour and a marker,
            and names at one point are written as one label.
        xlabel: what the whole is, with its unit.
        ylabel: what the part is, with its unit.
        shares: for each, the line part = share * whole is drawn; 1.0 is the diagonal.

    Raises:
        InputError: when a number is not above 0.
    """
    names: dict[tuple[float, float], list[str]] = {}
    for number, (group, named) in enumerate(groups.items()):
        points = {name: (float(whole), float(part)) for name, (whole, part) in named.items()}
        for name, point in points.items():
            if not min(point) > 0:
                raise InputError(f"{name}: both numbers must be above 0, got {min(point):g}")
            names.setdefault(point, []).append(name)
        look = _look(number) | {"linestyle": ""}
        ax.plot(*zip(*points.values(), strict=True), label=group, markersize=6, **look)
    wholes, parts = np.array(list(names)).T
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xlim(wholes.min() / 1.6, wholes.max() * 1.6)
    ax.set_ylim(parts.min() / 1.6, parts.max() * 1.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.grid()
    ax.legend(loc="upper left")
    _share_lines(ax, shares)
    _write_beside(ax, {point: ", ".join(at) for point, at in names.items()})


def plot_predicted(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw what was measured as lines with markers, and thin and dotted what was predicted.

    Both axes are logarithmic; a prediction has the colour of its measurement.

    Args:
        ax: where to draw.
        curves: label to (x, measured, predicted), each [n] with n at least 1, all above 0.
        xlabel: what x is, with its unit.
        ylabel: what was measured, with its unit.

    Raises:
        InputError: when x and the rest of a curve differ in length, or a number is not above 0.
    """
    ends = []
    for number, (label, (x, measured, predicted)) in enumerate(curves.items()):
        (xs, seen), (_, said) = _pair(label, x, measured), _pair(label, x, predicted)
        least = min(part.min() for part in (xs, seen, said))
        if not least > 0:
            raise InputError(f"{label}: logarithmic axes need numbers above 0, got {least:g}")
        look = _look(number)
        ax.plot(xs, seen, label=label, markersize=5, **look)
        ax.plot(xs, said, color=look["color"], linestyle=":", linewidth=1.3)
        ends.append((float(xs[-1]), float(seen[-1]), look["color"]))
    ax.set_yscale("log")
    _curve_axes(ax, xlabel, ylabel, log_x=True, many=False)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(_tick))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.plot([], [], color="#59636e", linestyle=":", linewidth=1.3, label="predicted")
    ax.legend(handlelength=3.2)
    _write_ends(ax, ends)


def plot_parts_of_peak(ax: Axes, shares: Mapping[str, SupportsFloat], unit: str) -> None:
    """Draw shares of a machine's peak as bars, one under the other, with the peak as a dashed line.

    Args:
        ax: where to draw.
        shares: label to share, 0 or more; 1 is the peak. The first is drawn on top.
        unit: what it is a share of, such as "of the peak of FLOPs".

    Raises:
        InputError: when a share is negative.
    """
    values = np.array([float(share) for share in shares.values()])
    if not (values >= 0).all():
        raise InputError(f"shares must be at least 0, got {values.min():g}")
    rows = range(len(values))
    ax.barh(rows, values, height=0.6, color=_LINES[0])
    ax.axvline(1, linestyle="--", color="#1b1f24", linewidth=1.3)
    for row, value in zip(rows, values, strict=True):
        ax.text(value, row, f" {_percent(value)}", va="center", ha="left", fontweight="bold")
    ax.set_yticks(rows, list(shares))
    ax.set_ylim(len(values) - 0.45, -0.55)
    ax.set_xlim(0, max(1.06, 1.12 * values.max()))
    ax.set_xlabel(f"share {unit} (dashed: all of it)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))
    ax.tick_params(axis="y", length=0)


def plot_ratios(
    ax: Axes, ratios: Mapping[str, Mapping[str, Sequence[SupportsFloat]]], ylabel: str
) -> None:
    """Draw ratios as bars that begin at 1: up for more, down for less, whiskers for the range.

    The axis is logarithmic, so that twice as much is as long as half as much.

    Args:
        ax: where to draw.
        ratios: series to {label to (low, middle, high)}, all above 0: the bar ends at the middle.
        ylabel: what is divided by what.

    Raises:
        InputError: when a ratio is not above 0.
    """
    labels = list(dict.fromkeys(label for bars in ratios.values() for label in bars))
    width = 0.8 / len(ratios)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for number, (series, bars) in enumerate(ratios.items()):
        low, middle, high = np.array([[float(end) for end in bar] for bar in bars.values()]).T
        if not min(low.min(), middle.min(), high.min()) > 0:
            raise InputError(f"{series}: ratios must be above 0, got {low.min():g}")
        shift = (number - (len(ratios) - 1) / 2) * width
        at = np.array([labels.index(label) for label in bars]) + shift
        ax.bar(
            at, middle - 1, width, bottom=1, label=series, color=_LINES[number],
            hatch=_HATCHES[number], edgecolor=mix(_LINES[number], "#FFFFFF", 0.5), linewidth=0,
        )  # fmt: skip
        ends = [middle - low, high - middle]
        ax.errorbar(at, middle, ends, fmt="none", ecolor="#1b1f24", elinewidth=1.3, capsize=3)
        for x, a, b, c in zip(at, low, middle, high, strict=True):
            up = b >= 1
            ax.annotate(
                f"{b:.2f}", (x, c if up else a), (0, 4 if up else -4), textcoords="offset points",
                ha="center", va="bottom" if up else "top", fontsize=9, path_effects=halo,
            )  # fmt: skip
    ax.axhline(1, color="#1b1f24", linewidth=1)
    ax.set_yscale("log", base=2)
    ax.margins(y=0.12)
    ax.yaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(_tick))
    ax.set_xticks(range(len(labels)), labels)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4)


def plot_medians(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
) -> None:
    """Draw the median over rounds as a line, and the middle half of the rounds as a band.

    Args:
        ax: where to draw.
        curves: label to (x, y), x [n] and y [n_rounds, n]; a single round is a line alone.
        xlabel: what x is, with its unit.
        ylabel: what y is, with its unit.
        log_x: a logarithmic x axis.

    Raises:
        InputError: when y is not [n_rounds, n] for the n of x.
    """
    lines = {}
    for number, (label, (x, y)) in enumerate(curves.items()):
        xs, ys = _repeated(label, x, y, "n_rounds")
        low, middle, high = np.quantile(ys, [0.25, 0.5, 0.75], axis=0)
        if len(ys) > 1:
            label = f"{label} (median, middle half of {len(ys)} rounds)"
            ax.fill_between(xs, low, high, color=_LINES[number], alpha=0.2, linewidth=0)
        lines[label] = (xs, middle)
    plot_curves(ax, lines, xlabel, ylabel, log_x)


def plot_differences(
    ax: Axes,
    differences: Mapping[str, tuple[ArrayLike, tuple[SupportsFloat, SupportsFloat]]],
    xlabel: str,
) -> None:
    """Draw differences between two trials seed by seed, with an interval of their mean, beside 0.

    Args:
        ax: where to draw.
        differences: label to (one number for each seed, (low, high) of the interval); the first is
            drawn on top.
        xlabel: what was subtracted from what, with its unit.

    Raises:
        InputError: when a label has no differences, or an interval ends before it begins.
    """
    for row, (label, (values, interval)) in enumerate(differences.items()):
        seeds, (low, high) = np.asarray(values, float), map(float, interval)
        if seeds.ndim != 1 or not seeds.size or low > high:
            raise InputError(
                f"{label}: differences must be [n_seeds] with an interval (low, high), got "
                f"{seeds.shape} and ({low:g}, {high:g})"
            )
        settled = not low <= 0 <= high
        color = _LINES[0] if settled else _LINES[1]
        ax.plot([low, high], [row, row], color=color, linewidth=5, alpha=0.35)
        ax.plot(seeds, np.full(seeds.size, row), linestyle="", marker="o", color=color,
                markersize=5, markerfacecolor="white")  # fmt: skip
        ax.plot([seeds.mean()], [row], linestyle="", marker="|", color=color, markersize=17,
                markeredgewidth=2.5)  # fmt: skip
        says = f" {seeds.mean():+.3f}" + ("" if settled else "?")
        ax.annotate(
            says, (1, row), xycoords=("axes fraction", "data"), va="center", color=_readable(color)
        )
    ax.axvline(0, color="#1b1f24", linewidth=1)
    ax.set_yticks(range(len(differences)), list(differences))
    ax.set_ylim(len(differences) - 0.45, -0.55)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def speed_picture(
    ratios: Mapping[str, Mapping[str, Sequence[SupportsFloat]]],
    growth: Mapping[str, tuple[ArrayLike, ArrayLike]],
    caption: str,
    form: str,
) -> bytes:
    """How many times as fast, and how time grows with the number of experts: one picture.

    Args:
        ratios: for `plot_ratios`; their half is left out if there are none, but not both halves.
        growth: for `plot_medians`, over numbers of experts; likewise.
        caption: what stands below, such as the machine.
        form: "png" or "svg".

    Returns:
        The content of a file of that form.
    """
    widths = [width for width, wanted in ((1.7, ratios), (1.0, growth)) if wanted]
    content = io.BytesIO()
    with rc_context():
        style()
        figure = Figure(figsize=(5 * sum(widths), 4.8))
        axes = iter(figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0])
        if ratios:
            ax = next(axes)
            plot_ratios(ax, ratios, "times as fast (above 1: ours is faster)")
            ax.set_xlabel("whiskers: middle half of the rounds")
        if growth:
            ax = next(axes)
            plot_medians(ax, growth, "experts", "time, relative to the fewest experts", log_x=True)
            ax.set_ylim(bottom=0)
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4, handlelength=3.2)
        lines = textwrap.fill(caption, round(13 * figure.get_figwidth()))
        figure.supxlabel(lines, fontsize=9, color="#59636e")
        figure.savefig(content, format=form, dpi=160, metadata=_UNDATED[form])
    return content.getvalue()


def _repeated(label: str, x: ArrayLike, y: ArrayLike, times: str) -> tuple[Any, Any]:
    """x [n] and y [times, n] of a curve that was made several times."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if ys.ndim != 2 or ys.shape[1:] != xs.shape:
        raise InputError(f"{label}: y must be [{times}, {xs.size}] like x, got {ys.shape}")
    return xs, ys


def _look(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number: three signs, never colour alone."""
    at = number % len(_LINES)
    return {"color": _LINES[at], "linestyle": _DASHES[at], "marker": _MARKERS[at]}


def _pair(label: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if xs.ndim != 1 or xs.shape != ys.shape or not xs.size:
        raise InputError(f"{label}: x and y must be [n] alike, got {xs.shape} and {ys.shape}")
    return xs, ys


def _curve_axes(ax: Axes, xlabel: str, ylabel: str, log_x: bool, many: bool) -> None:
    if log_x:
        points = np.unique(np.concatenate([line.get_xdata() for line in ax.lines]))
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        if len(points) <= 10:  # few enough to be named each
            ax.set_xticks(points)
            ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(_tick))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    if many:
        ax.legend(handlelength=3.2)


def _write_ends(ax: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write the last value of each curve beside its end, moved apart where they would overlap."""
    low, high = ax.get_xlim()
    more = (high / low) ** 0.1 if ax.get_xscale() == "log" else 0.1 * (high - low)
    ax.set_xlim(low, high * more if ax.get_xscale() == "log" else high + more)
    points_per_pixel = 72 / ax.figure.dpi
    taken: list[tuple[float, float]] = []
    for x, y, color in sorted(ends, key=lambda end: end[1]):
        across, up = ax.transData.transform((x, y)) * points_per_pixel
        at = max([up, *(other + 13 for beside, other in taken if abs(beside - across) < 55)])
        taken.append((across, at))
        ax.plot([x], [y], "o", color=color, markersize=6, clip_on=False)
        ax.annotate(
            f"{y:#.3g}".rstrip("."), (x, y), (8, at - up), textcoords="offset points", va="center",
            color=_readable(color), fontweight="bold", fontsize=10,
        )  # fmt: skip


def _share_lines(ax: Axes, shares: Sequence[float]) -> None:
    """The lines part = share * whole, each with its share where it leaves the axes."""
    (left, right), top = ax.get_xlim(), ax.get_ylim()[1]
    for share in shares:
        dashes = _DASHES[1] if share == 1 else _DASHES[2]
        ends = [left, right]
        ax.plot(ends, [share * end for end in ends], color="#8c959f", linewidth=1, linestyle=dashes)
        end = min(right, top / share)
        ax.annotate(
            f"{100 * share:g}%", (end, share * end), (-16, -1), textcoords="offset points",
            ha="right", va="top", fontsize=9, color="#59636e",
        )  # fmt: skip


def _write_beside(ax: Axes, labels: Mapping[tuple[float, float], str]) -> None:
    """Write each label by its point, as near as it and its line cover nothing else."""
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()  # type: ignore[union-attr]  # the axes get their last size
    texts = [
        ax.annotate(
            label, point, (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "#8c959f", "linewidth": 0.7, "shrinkA": 0},
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


def _readable(color: str) -> str:
    """The colour, darkened until it reads on white."""
    while contrast(color, "#FFFFFF") < 4.5:
        color = mix(color, "#000000", 0.1)
    return color


def _load_bars(ax: Axes, load: np.ndarray) -> None:
    n_experts = len(load)
    ax.bar(range(n_experts), load, color=expert_colors(n_experts), width=0.72)
    halo = [withStroke(linewidth=3, foreground="white")]  # so that it shows on black bars too
    ax.axhline(1 / n_experts, linestyle="--", color="#1b1f24", linewidth=1.3, path_effects=halo)
    ax.annotate(
        f"even: 1/{n_experts}", (1, 1 / n_experts), (4, 0), va="center", annotation_clip=False,
        xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=10,
    )  # fmt: skip
    if n_experts <= _MOST_NUMBERED:
        for expert, share in enumerate(load):
            ax.annotate(
                _percent(share), (expert, share), (0, 3), textcoords="offset points", ha="center",
                va="bottom", fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
    _expert_ticks(ax.xaxis, n_experts)
    ax.set_ylim(0, max(load.max(), 1 / n_experts) * 1.12)
    ax.set_xlim(-0.6, n_experts - 0.4)
    ax.set_xlabel("expert")
    ax.set_ylabel("load (share of assignments)")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def _load_map(ax: Axes, load: np.ndarray, layer_names: Sequence[str] | None) -> None:
    n_layers, n_experts = load.shape
    top = max(load.max(), 2 / n_experts)
    image = ax.imshow(load, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    if n_experts <= _MOST_NUMBERED:
        colors = np.asarray(image.cmap(image.norm(load)))
        for (layer, expert), share in np.ndenumerate(load):
            ink = ink_on(to_hex(tuple(colors[layer, expert, :3])))
            ax.text(expert, layer, _percent(share), ha="center", va="center", color=ink, fontsize=9)
    ax.set_yticks(range(n_layers), layer_names or [str(i) for i in range(1, n_layers + 1)])
    _expert_ticks(ax.xaxis, n_experts)
    ax.set_xlabel("expert")
    ax.set_ylabel("MoE layer")
    _plain_map(ax)
    percent = FuncFormatter(lambda share, _: f"{100 * share:.3g}%")
    bar = ax.figure.colorbar(image, ax=ax, format=percent, pad=0.02)
    bar.set_label(f"load (dashed: even share, 1/{n_experts})")
    bar.ax.axhline(1 / n_experts, linestyle=(0, (2, 1.2)), color="white", linewidth=2)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}%"


def _expert_ticks(axis: Any, n_experts: int) -> None:
    """Every expert has a tick up to 32, some beyond."""
    if n_experts <= 32:
        axis.set_ticks(range(n_experts))
    else:
        axis.set_major_locator(MaxNLocator(integer=True))


def _plain_map(ax: Axes) -> None:
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _write_part(ax: Axes, row: int, start: float, width: float, longest: float, color: str) -> None:
    """The amount inside its part of the bar, where the part is wide enough for it."""
    if width < 0.075 * longest:
        return
    ground = {"facecolor": color, "edgecolor": "none", "pad": 1.2}
    ax.text(
        start + width / 2, row, si(width), ha="center", va="center", fontsize=9,
        color=ink_on(color), bbox=ground,
    )  # fmt: skip


def _tick(value: float, _position: int | None = None) -> str:
    """The number at a tick: 0.2 and not "200 m", 1,024 and not "1.024 k", but 100 k."""
    if abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) < 1e5 else EngFormatter(sep=" ")(value)


def _drawable(text: str) -> str:
    """A token as the font can draw it: spaces made visible, missing characters as code points."""
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    shown = "".join(_VISIBLE.get(char, char) for char in text)
    return "".join(
        char if ord(char) in known and char.isprintable() else f"U+{ord(char):04X}"
        for char in shown
    )
