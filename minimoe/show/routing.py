"""What does an expert go by, and what is lost without it? Figures of what routers did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from minimoe.config import InputError
from minimoe.measure.specialisation import Specialisation
from minimoe.show import ink_on
from minimoe.show.figures import _LINES, _MARKERS


def plot_specialisation(
    ax: Axes, measured: Mapping[str, Sequence[Specialisation]], xlabel: str = "MoE layer"
) -> None:
    """Draw normalised mutual information by layer, its interval, and the control as a grey bar.

    Args:
        ax: where to draw.
        measured: label to one value per layer, the first layer first.
        xlabel: what the places from left to right are.

    Raises:
        InputError: labels have different numbers of layers.
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
        color, marker = _LINES[number % len(_LINES)], _MARKERS[number % len(_MARKERS)]
        ax.errorbar(
            x, nmi, np.maximum(ends, 0), fmt=marker, color=color, capsize=3, label=label,
            linewidth=1.4,
        )  # fmt: skip
    ax.set_xticks(layers)
    ax.set_ylim(bottom=0)
    ax.set(xlabel=xlabel, ylabel="NMI with the expert (0 to 1)")
    ax.grid(axis="y")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.4)


def plot_shares(
    ax: Axes, table: ArrayLike, rows: Sequence[str], ylabel: str, label: str, digits: int = 2
) -> None:
    """Draw a table as a heat map, experts from left to right, its numbers written in it.

    Args:
        ax: where to draw.
        table: [rows, E].
        rows: the name of each row.
        ylabel: what the rows are.
        label: what the numbers are, with their unit.
        digits: after the point.

    Raises:
        InputError: table is not [rows, E].
    """
    values = np.asarray(table, float)
    if values.ndim != 2 or len(values) != len(rows):
        raise InputError(f"table must be [{len(rows)} rows, E], got shape {values.shape}")
    image = ax.imshow(values, cmap="cividis", aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        ax.text(
            column, row, f"{value:z.{digits}f}", ha="center", va="center", fontsize=8,
            color=_ink(image, value),
        )  # fmt: skip
    ax.set_xticks(range(values.shape[1]))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel="expert", ylabel=ylabel)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)


def _ink(image: Any, value: float) -> str:
    red, green, blue = (round(255 * part) for part in image.cmap(image.norm(value))[:3])
    return ink_on(f"#{red:02X}{green:02X}{blue:02X}")
