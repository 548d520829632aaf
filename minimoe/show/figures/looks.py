"""The look that all figures share: letters, colours, dashes, and how a number reads at a tick."""

import sys
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.rcsetup import cycler
from matplotlib.ticker import EngFormatter, FuncFormatter

from minimoe.show.colors import contrast, mix

# Okabe and Ito's colours again, those with most contrast on white first: lines, not experts.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (1, 1)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "++", "oo")
DARK, GRAY, LIGHT = "#1b1f24", "#59636e", "#8c959f"  # of axes, captions, helping lines
# A legend's place: above the axes.
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.4}
LOOK: dict[Any, Any] = {
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
    "axes.edgecolor": GRAY,
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
    "svg.hashsalt": "minimoe",
    "axes.prop_cycle": cycler(color=LINES),
}


def style() -> None:
    """Set matplotlib to the look of all figures: the same on every machine.

    A notebook's kernel started with MPLBACKEND=Agg would show no figure. There this also switches
    to inline figures.
    """
    matplotlib.rcParams.update(LOOK)
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if hasattr(shell, "kernel") and matplotlib.get_backend().lower() in silent:
        shell.run_line_magic("matplotlib", "inline")


def line(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number: three signs, never colour alone."""
    at = number % len(LINES)
    return {"color": LINES[at], "linestyle": DASHES[at], "marker": MARKERS[at]}


def readable(color: str) -> str:
    """The colour, darkened until its contrast with white is 4.5."""
    while contrast(color, "#FFFFFF") < 4.5:
        color = mix(color, "#000000", 0.1)
    return color


def tick(value: float, _position: int | None = None) -> str:
    """The number at a tick: 0.2 and not "200 m", 1,024 and not "1.024 k", but 100 k."""
    if abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) < 1e5 else EngFormatter(sep=" ")(value)


def percent(share: float) -> str:
    """A share as percent: "12%", "9.5%", "0%"."""
    return f"{100 * share:.0f}%" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}%"


PERCENT_TICKS = FuncFormatter(lambda share, _: f"{100 * share:.3g}%")


def name_rows(ax: Axes, names: Iterable[str]) -> None:
    """Name the rows 0, 1, ... on the left, the first on top."""
    rows = dict(enumerate(names))
    ax.set_yticks(list(rows), list(rows.values()))
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
