"""Numbers with an interval: paired differences, and mutual information beside its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsFloat, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from minimoe.errors import InputError
from minimoe.show.figures.style import ABOVE, DARK, LINES, look, name_rows, readable


@runtime_checkable
class Measured(Protocol):
    """A normalised mutual information, its interval, and the high end of its control."""

    @property
    def nmi(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def control_high(self) -> float: ...


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
        settled = not low <= 0 <= high
        color, says = LINES[not settled], f" {seeds.mean():+.3f}" + "?" * (not settled)
        marks: dict[str, Any] = {"linestyle": "", "color": color}
        ax.plot([low, high], [row, row], color=color, linewidth=5, alpha=0.35)
        ax.plot(seeds, [row] * seeds.size, marker="o", ms=5, markerfacecolor="white", **marks)
        ax.plot([seeds.mean()], [row], marker="|", ms=17, markeredgewidth=2.5, **marks)
        ax.annotate(
            says, (1, row), xycoords=("axes fraction", "data"), va="center", color=readable(color)
        )
    ax.axvline(0, color=DARK, linewidth=1)
    name_rows(ax, list(differences))
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")


def plot_specialisation(ax: Axes, measured: Mapping[str, Sequence[Measured]]) -> None:
    """Draw normalised mutual information by layer, its interval, and the control as a grey bar.

    Args:
        measured: label to one value per layer, the first layer first.
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
        marks = look(number) | {"linestyle": ""}
        ax.errorbar(x, nmi, np.maximum(ends, 0), capsize=3, label=label, elinewidth=1.4, **marks)
    ax.set_xticks(layers)
    ax.set_ylim(bottom=0)
    ax.set(xlabel="MoE layer", ylabel="NMI with the expert (0 to 1)")
    ax.grid(axis="y")
    ax.legend(ncols=3, **ABOVE)
