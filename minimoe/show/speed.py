"""The picture of the benchmark: ratios as bars, and time over the number of experts."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import SupportsFloat

from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from minimoe.show.figures import plot_medians, plot_ratios, style
from minimoe.show.figures.looks import ABOVE, GRAY

_UNDATED = {"png": {"Software": None}, "svg": {"Date": None}}  # the same figure, the same bytes


def speed_picture(
    ratios: Mapping[str, Mapping[str, Sequence[SupportsFloat]]],
    growth: Mapping[str, tuple[ArrayLike, ArrayLike]],
    caption: str,
    form: str,
) -> bytes:
    """Draw how many times as fast, and how time grows with the number of experts.

    Args:
        ratios: for `plot_ratios`; if empty, its half is left out. One of both must hold something.
        growth: for `plot_medians`, over numbers of experts; likewise.
        caption: the text below, such as the machine.
        form: "png" or "svg", of the file whose content is returned.
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
            ax.legend(handlelength=3.2, **ABOVE)
        lines = textwrap.fill(caption, round(13 * figure.get_figwidth()))
        figure.supxlabel(lines, fontsize=9, color=GRAY)
        figure.savefig(content, format=form, dpi=160, metadata=_UNDATED[form])
    return content.getvalue()
