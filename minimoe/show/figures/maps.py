"""Heat maps: load by layer and by step, router scores of tokens, tables of shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from minimoe.errors import InputError
from minimoe.show.colors import expert_color, ink_on
from minimoe.show.figures.style import LIGHT, PERCENT_TICKS, name_rows, percent

_MOST_NUMBERED = 16  # experts up to which a heat map writes the numbers in its cells
_VISIBLE = {" ": "␣", "\n": "↵", "\t": "→"}


def plot_load(ax: Axes, load: ArrayLike) -> None:
    """Draw how the assignments of each layer spread over the experts.

    Args:
        load: shares of the assignments, [n_layers, E]; each layer sums to 1.
    """
    shares = _shares("load", load, "n_layers")
    n_layers, n_experts = shares.shape
    top = max(shares.max(), 2 / n_experts)
    image = ax.imshow(shares, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    if n_experts <= _MOST_NUMBERED:
        _write_cells(ax, image, percent, 9)
    ax.set_yticks(range(n_layers), [str(layer) for layer in range(1, n_layers + 1)])
    _expert_ticks(ax.xaxis, n_experts)
    ax.set(xlabel="expert", ylabel="MoE layer")
    _plain(ax)
    _load_scale(ax, image, n_experts, "dashed: even share")


def plot_load_history(
    ax: Axes, loads: ArrayLike, top: float | None = None, first_step: int = 1
) -> None:
    """Draw how the load of each expert changes from step to step; white: it got no assignment.

    Args:
        loads: shares of the assignments of one layer, [n_steps, E]; each step sums to 1.
        top: the load that gets the last colour, as do larger ones; None: the largest load. Give
            it to compare two figures.
        first_step: the training step of the first row of loads.
    """
    shares = _shares("loads", loads, "n_steps")
    n_steps, n_experts = shares.shape
    last = top or float(max(shares.max(), 2 / n_experts))
    image = ax.imshow(
        np.ma.masked_equal(shares.T, 0), cmap="cividis", vmin=0, vmax=last, aspect="auto",
        interpolation="nearest",
        extent=(first_step - 0.5, first_step + n_steps - 0.5, n_experts - 0.5, -0.5),
    )  # fmt: skip
    _expert_ticks(ax.yaxis, n_experts)
    ax.set(xlabel="training step", ylabel="expert")
    ax.tick_params(length=0)
    more = "max" if shares.max() > last else "neither"
    _load_scale(ax, image, n_experts, "white: none; dashed: even", more)


def plot_scores(
    ax: Axes, scores: ArrayLike, expert_ids: ArrayLike, token_labels: Sequence[str]
) -> None:
    """Draw the router's scores, tokens from left to right, with a dot on each chosen expert.

    Args:
        scores: [T, E], the router's score of each expert.
        expert_ids: integers [T, K] in [0, E), the experts chosen.
        token_labels: T texts; a character that the font lacks is written as its code point.
    """
    table, chosen = np.asarray(scores, float), np.asarray(expert_ids)
    if table.ndim != 2 or chosen.ndim != 2 or len(table) != len(chosen):
        raise InputError(
            f"scores must be [T, E] and expert_ids [T, K], got {table.shape} and {chosen.shape}"
        )
    if len(token_labels) != len(table):
        raise InputError(f"token_labels must hold T={len(table)} texts, got {len(token_labels)}")
    wrong = chosen[(chosen < 0) | (chosen >= table.shape[1])]
    if wrong.size:
        raise InputError(f"expert_ids must lie in [0, E={table.shape[1]}), got {wrong[0]}")
    image = ax.imshow(table.T, cmap="cividis", aspect="auto", interpolation="nearest")
    tokens = np.repeat(np.arange(len(table)), chosen.shape[1])
    ax.scatter(tokens, chosen.ravel(), s=42, color="white", edgecolors="black", linewidths=1.2)
    labels = [_drawable(text) for text in token_labels]
    turn = 90 if max(map(len, labels), default=0) > 2 else 0
    ax.set_xticks(range(len(table)), labels, parse_math=False, rotation=turn)
    _expert_ticks(ax.yaxis, table.shape[1])
    ax.set(xlabel="token, in reading order (dot: chosen)", ylabel="expert")
    _plain(ax)
    ax.figure.colorbar(image, ax=ax, label="router score", pad=0.02)


def plot_used(ax: Axes, rows: Sequence[tuple[str, Sequence[int]]], n_experts: int) -> None:
    """Draw one row of E boxes for each token: filled for the experts it uses, else empty.

    Args:
        rows: a label and the experts that a token uses; the first is drawn on top.
        n_experts: E, at least 1.
    """
    for row, (_, used) in enumerate(rows):
        wrong = [expert for expert in used if not 0 <= expert < n_experts]
        if wrong:
            raise InputError(f"experts must lie in [0, E={n_experts}), got {wrong[0]}")
        for expert in range(n_experts):
            color = expert_color(expert) if expert in used else "#FFFFFF"
            ax.barh(row, 0.86, left=expert - 0.43, height=0.78, color=color, edgecolor=LIGHT)
            ink = ink_on(color) if expert in used else LIGHT
            ax.text(expert, row, str(expert), ha="center", va="center", color=ink, fontsize=9)
        ax.text(n_experts - 0.3, row, f"{len(set(used))} of {n_experts}", va="center")
    name_rows(ax, [label for label, _ in rows])
    ax.set_xlim(-0.6, n_experts + 0.12 * n_experts)
    ax.set_xticks([])
    ax.set_xlabel("expert (filled: used, empty: not used)")
    _plain(ax)


def plot_shares(ax: Axes, table: ArrayLike, rows: Sequence[str], ylabel: str, label: str) -> None:
    """Draw a table with its numbers, experts from left to right.

    Args:
        table: [rows, E].
        rows: the name of each row.
        label: what the numbers are, with their unit.
    """
    values = np.asarray(table, float)
    if values.ndim != 2 or len(values) != len(rows):
        raise InputError(f"table must be [{len(rows)} rows, E], got shape {values.shape}")
    image = ax.imshow(values, cmap="cividis", aspect="auto", interpolation="nearest")
    _write_cells(ax, image, "{:z.2f}".format, 8)
    ax.set_xticks(range(values.shape[1]))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel="expert", ylabel=ylabel)
    _plain(ax)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)


def _shares(name: str, load: ArrayLike, rows: str) -> np.ndarray:
    """Loads of several layers or steps, checked: each row sums to 1."""
    shares = np.asarray(load, float)
    if shares.ndim != 2 or 0 in shares.shape:
        raise InputError(f"{name} must be [{rows}, E], got shape {shares.shape}")
    furthest = shares.sum(-1)[np.abs(shares.sum(-1) - 1).argmax()]
    if not abs(furthest - 1) < 1e-3:
        raise InputError(f"each row of {name} must sum to 1, got {furthest:g}")
    return shares


def _write_cells(ax: Axes, image: AxesImage, written: Any, fontsize: int) -> None:
    """Write each number of a map in its cell, in the ink that the cell's colour needs."""
    values = np.asarray(image.get_array())
    colors = np.asarray(image.to_rgba(values))
    for (row, column), value in np.ndenumerate(values):
        ink = ink_on(to_hex(tuple(colors[row, column, :3])))
        ax.text(column, row, written(value), ha="center", va="center", color=ink, fontsize=fontsize)


def _load_scale(
    ax: Axes, image: AxesImage, n_experts: int, marks: str, extend: str = "neither"
) -> None:
    """The scale of colours of a load, with the even share as a dashed line."""
    bar = ax.figure.colorbar(image, ax=ax, format=PERCENT_TICKS, pad=0.02, extend=extend)
    bar.set_label(f"load ({marks}, 1/{n_experts})")
    bar.ax.axhline(1 / n_experts, linestyle=(0, (2, 1.2)), color="white", linewidth=2)


def _expert_ticks(axis: Any, n_experts: int) -> None:
    """Every expert has a tick up to 32, some beyond."""
    if n_experts <= 32:
        axis.set_ticks(range(n_experts))
    else:
        axis.set_major_locator(MaxNLocator(integer=True))


def _plain(ax: Axes) -> None:
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _drawable(text: str) -> str:
    """A token as the font can draw it: spaces made visible, missing characters as code points."""
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    shown = "".join(_VISIBLE.get(char, char) for char in text)
    return "".join(
        char if ord(char) in known and char.isprintable() else f"U+{ord(char):04X}"
        for char in shown
    )
