"""Figures: each function draws on the matplotlib Axes `ax` that it is given, and returns nothing.

`xlabel`, `ylabel` and `unit` are the texts of the axes, with their unit. Input that cannot be drawn
raises InputError. The last value, the total or the share is written beside what is drawn, so that
no figure depends on colour alone.
"""

from minimoe.show.figures.bars import plot_bars_log, plot_parts_of_peak, plot_ratios, plot_stacked
from minimoe.show.figures.curves import (
    mark_distance,
    plot_curves,
    plot_interval,
    plot_medians,
    plot_predicted,
    plot_seeds,
)
from minimoe.show.figures.looks import style
from minimoe.show.figures.maps import (
    plot_load,
    plot_load_history,
    plot_scores,
    plot_shares,
    plot_used,
)
from minimoe.show.figures.points import (
    plot_differences,
    plot_paired,
    plot_shares_log,
    plot_specialisation,
)
