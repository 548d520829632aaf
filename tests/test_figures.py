"""Figures show the numbers that they were given, and refuse what cannot be drawn."""

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from minimoe.errors import InputError
from minimoe.measure.comparison import paired
from minimoe.measure.specialisation import Specialisation
from minimoe.show import figures as draw
from minimoe.show.colors import EXPERT_COLORS, contrast, expert_color, ink_on, luminance, mix
from minimoe.show.figures.labels import place_labels
from minimoe.show.figures.looks import readable, tick
from minimoe.show.speed import speed_picture

TOKEN = Specialisation(nmi=0.5, low=0.4, high=0.55, control=0.02, control_high=0.03)
DOMAIN = Specialisation(nmi=0.1, low=0.05, high=0.2, control=0.04, control_high=0.06)


@pytest.fixture
def ax() -> Iterator[Axes]:
    with mpl.rc_context():
        draw.style()
        figure = Figure()
        yield figure.subplots()
        with warnings.catch_warnings():  # a glyph that the font lacks would warn here
            warnings.simplefilter("error")
            figure.canvas.draw()


def widths(ax: Axes) -> list[list[float]]:
    return [[float(bar.get_width()) for bar in bars] for bars in ax.containers]  # type: ignore


def texts(ax: Axes) -> list[str]:
    return [text.get_text().strip() for text in ax.texts]


def legend(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore


def test_colours_have_the_values_that_their_docstrings_name() -> None:
    assert expert_color(0) == expert_color(8) == "#E69F00" and ink_on("#F0E442") == "#000000"
    assert luminance("#FFFFFF") == pytest.approx(1) and mix("#000000", "#FFFFFF", 0.2) == "#333333"
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.005)
    assert [luminance(c) for c in ("#FF0000", "#00FF00")] == pytest.approx([0.2126, 0.7152])


def test_curves_hold_the_points_given_and_differ_by_more_than_colour(ax: Axes) -> None:
    x, dense, moe = np.arange(1, 9), np.linspace(3, 2, 8), np.linspace(3, 1.876, 8)
    draw.plot_curves(ax, {"dense": (x, dense), "MoE": (x, moe)}, "step", "loss (nats)")
    first, second = (line for line in ax.lines if len(line.get_xdata()) == 8)
    assert np.array_equal(first.get_xydata(), np.stack([x, dense], 1))
    assert np.array_equal(second.get_xydata(), np.stack([x, moe], 1))
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    assert sorted(texts(ax)) == ["1.88", "2.00"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss (nats)")


def test_last_values_that_nearly_agree_are_written_apart(ax: Axes) -> None:
    curves = {"a": ([1, 2], [5, 2.0]), "b": ([1, 2], [4, 2.001]), "c": ([1, 2], [3, 2.002])}
    draw.plot_curves(ax, curves, "x", "y")
    ax.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_a_logarithmic_axis_names_the_points(ax: Axes) -> None:
    draw.plot_curves(ax, {"a": ([16, 64, 256], [1, 2, 3])}, "x", "y", log_x=True)
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["16", "64", "256"]


def test_a_distance_is_an_arrow_between_two_places_with_its_label(ax: Axes) -> None:
    draw.plot_curves(ax, {"a": ([1, 8], [3, 1]), "b": ([1, 8], [4, 2])}, "x", "y", log_x=True)
    before = len(ax.texts)
    draw.mark_distance(ax, 2.5, 2.0, 4.0, "times 2.00")
    arrow, label = ax.texts[before:]
    assert (arrow.xy, arrow.get_position()) == ((4.0, 2.5), (2.0, 2.5)) and not arrow.get_text()
    assert label.xy == (4.0, 2.5) and label.get_text() == "times 2.00"


def test_a_line_of_medians_has_the_middle_half_of_the_rounds_as_a_band(ax: Axes) -> None:
    y = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0], [1.0, 5.0], [1.0, 9.0]])
    curves = {"measured": ([4, 256], y), "predicted": ([4, 256], [[1.0, 1.5]])}
    draw.plot_medians(ax, curves, "experts", "time", log_x=True)
    measured, predicted = (line for line in ax.lines if len(line.get_xdata()) == 2)
    assert np.allclose(measured.get_ydata(), [1, 4])
    assert np.allclose(predicted.get_ydata(), [1, 1.5])
    (band,) = ax.collections
    corners = np.asarray(band.get_paths()[0].vertices).tolist()
    assert {(256, 3), (256, 5)} <= {(a, b) for a, b in corners}
    assert legend(ax) == ["measured (median, middle half of 5 rounds)", "predicted"]


def test_seeds_are_thin_lines_in_the_colour_and_dashes_of_their_mean(ax: Axes) -> None:
    curves = {"dense": ([[0, 2], [0, 4]], [[5, 1], [7, 2]]), "MoE": ([[0, 9]], [[5, 3]])}
    draw.plot_seeds(ax, curves, "seconds", "bits")
    one, other, mean, alone = (line for line in ax.lines if len(line.get_xdata()) == 2)
    assert one.get_xydata().tolist() == [[0, 5], [2, 1]]
    assert other.get_xydata().tolist() == [[0, 7], [4, 2]]
    assert mean.get_xydata().tolist() == [[0, 6], [3, 1.5]]
    assert alone.get_xydata().tolist() == [[0, 5], [9, 3]]
    assert one.get_color() == mean.get_color() != alone.get_color()
    assert one.get_linewidth() < mean.get_linewidth() == alone.get_linewidth()
    assert legend(ax) == ["dense (mean of 2 seeds)", "MoE"]
    assert sorted(texts(ax)) == ["1.50", "3.00"]


def test_an_interval_is_a_band_around_its_mean_and_marked_places_are_vertical_lines(
    ax: Axes,
) -> None:
    interval = ([-2.0, 0.0], [-1.0, 1.0], [0.0, 3.0])
    draw.plot_interval(ax, [1, 2], interval, {"measured": 1.5}, "ratio", "bits")
    mean, zero, marked = ax.lines
    assert mean.get_xydata().tolist() == [[1, -1], [2, 1]]
    assert list(zero.get_ydata()) == [0, 0] and list(marked.get_xdata()) == [1.5, 1.5]
    (band,) = ax.collections
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
    assert {(1, -2), (2, 0), (1, 0), (2, 3)} <= corners
    assert texts(ax) == ["measured: 1.50"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ratio", "bits")


def test_a_prediction_has_the_colour_of_its_measurement_and_both_axes_are_logarithmic(
    ax: Axes,
) -> None:
    curves = {"MoE": ([1, 64], [3e-4, 2e-5], [1e-4, 1e-5]), "dense": ([1, 64], [2, 4], [1, 2])}
    draw.plot_predicted(ax, curves, "tokens", "seconds")
    moe, said, dense, other = ax.lines[:4]
    assert [line.get_ydata().tolist() for line in (moe, said)] == [[3e-4, 2e-5], [1e-4, 1e-5]]
    assert moe.get_color() == said.get_color() != dense.get_color() == other.get_color()
    assert said.get_linestyle() == ":" == other.get_linestyle() != moe.get_linestyle()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert legend(ax) == ["MoE", "dense", "predicted"] and texts(ax) == ["2.00e-05", "4.00"]


def test_load_of_several_layers_is_the_image_and_the_even_share_is_marked(ax: Axes) -> None:
    load = np.random.default_rng(0).dirichlet(np.ones(8), size=3)
    draw.plot_load(ax, load)
    assert np.array_equal(np.asarray(ax.images[0].get_array()), load)
    assert len(ax.texts) == 24 and texts(ax)[0] == f"{100 * load[0, 0]:.0f}%"
    scale = ax.figure.axes[1]  # type: ignore
    assert any(set(line.get_ydata()) == {1 / 8} for line in scale.lines)


def test_a_history_of_loads_is_the_image_with_the_idle_left_white(ax: Axes) -> None:
    loads = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    draw.plot_load_history(ax, loads)
    (image,) = ax.images
    shown = np.ma.asarray(image.get_array())
    assert np.array_equal(shown.mask, loads.T == 0) and np.array_equal(shown.filled(0), loads.T)
    assert image.get_clim() == (0, 1) and tuple(image.get_extent()) == (0.5, 2.5, 2.5, -0.5)


def test_histories_of_loads_can_share_their_colours_and_start_at_any_step(ax: Axes) -> None:
    draw.plot_load_history(ax, [[0.5, 0.5], [0.9, 0.1]], top=0.6, first_step=91)
    assert tuple(ax.images[0].get_extent()) == (90.5, 92.5, 1.5, -0.5)
    assert ax.images[0].get_clim() == (0, 0.6)
    assert ax.images[0].colorbar.extend == "max"  # type: ignore


def test_scores_are_the_image_and_dots_are_on_the_chosen(ax: Axes) -> None:
    scores = np.random.default_rng(0).random((5, 4))
    chosen = np.argsort(-scores, -1)[:, :2]
    draw.plot_scores(ax, scores, chosen, ["T", " ", "\n", "$", "中"])
    assert np.array_equal(np.asarray(ax.images[0].get_array()), scores.T)
    dots = {(int(t), int(e)) for t, e in ax.collections[0].get_offsets().tolist()}  # type: ignore
    assert dots == {(t, int(e)) for t in range(5) for e in chosen[t]}
    assert not any(label.get_parse_math() for label in ax.get_xticklabels())  # "$" is a byte too
    assert [label.get_text() for label in ax.get_xticklabels()] == ["T", "␣", "↵", "$", "U+4E2D"]


def test_a_table_of_shares_writes_every_number_in_its_cell(ax: Axes) -> None:
    draw.plot_shares(ax, [[0.5, 0.25, 0], [1, 0, 2]], ["english", "python"], "domain", "share")
    written = {tuple(map(int, t.get_position())): t.get_text() for t in ax.texts}
    assert written[(1, 0)] == "0.25" and written[(2, 1)] == "2.00" and len(written) == 6
    assert ax.texts[5].get_color() == "#000000" != ax.texts[2].get_color()  # on yellow, on blue
    assert [label.get_text() for label in ax.get_yticklabels()] == ["english", "python"]


def test_stacked_parts_follow_one_another_and_end_at_the_total(ax: Axes) -> None:
    rows = {
        "dense": {"attention": 100.0, "FFN": 300.0},
        "MoE": {"attention": 100.0, "router": 8.0, "experts": 1200.0},
    }
    draw.plot_stacked(ax, rows, "parameters")
    assert widths(ax) == [[100, 100], [300, 0], [0, 8], [0, 1200]]
    starts = [[float(bar.get_x()) for bar in bars] for bars in ax.containers]  # type: ignore
    assert starts == [[0, 0], [100, 100], [400, 100], [400, 108]]
    assert sorted(texts(ax)) == ["1.20 k", "1.31 k", "100", "100", "300", "400"]  # and not 8
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 4  # type: ignore


def test_logarithmic_bars_end_at_their_amounts(ax: Axes) -> None:
    draw.plot_bars_log(ax, {"MHA": 1.2e6, "MLA": 7.0e4}, "bytes per token")
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]  # type: ignore
    assert ends == pytest.approx([1.2e6, 7.0e4])
    assert texts(ax) == ["1.20 M", "70.0 k"] and "logarithmic" in ax.get_xlabel()


@pytest.mark.parametrize(("least", "step"), [(7.0e4, 10), (4e-16, 1000)])
def test_logarithmic_bars_name_the_step_between_their_grid_lines(
    ax: Axes, least: float, step: int
) -> None:
    draw.plot_bars_log(ax, {"most": 1.2e6, "least": least}, "x")
    ticks = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    ratios = [after / before for before, after in pairwise(ticks)]
    assert f"each grid line is {step} times" in ax.get_xlabel()
    assert ratios == pytest.approx([step] * len(ratios)) and 2 <= len(ticks) <= 10


def test_used_experts_are_filled_boxes_with_their_numbers(ax: Axes) -> None:
    draw.plot_used(ax, [("dense", range(3)), ("sparse: x", [2])], 3)
    faces = [mpl.colors.to_hex(box.get_facecolor()).upper() for box in ax.patches]
    used = [expert_color(expert) for expert in range(3)]
    assert faces == [*used, "#FFFFFF", "#FFFFFF", used[2]]
    assert texts(ax) == ["0", "1", "2", "3 of 3", "0", "1", "2", "1 of 3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dense", "sparse: x"]


def test_shares_of_the_peak_are_the_bars_and_the_peak_is_a_line_at_one(ax: Axes) -> None:
    draw.plot_parts_of_peak(ax, {"whole": 0.25, "small": 0.0044, "peak": 1.0}, "of the peak")
    assert widths(ax) == [[0.25, 0.0044, 1.0]] and texts(ax) == ["25%", "0.4%", "100%"]
    assert list(ax.lines[0].get_xdata()) == [1, 1] and ax.get_xlim()[1] > 1
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top


def test_ratios_are_bars_that_begin_at_one_with_their_range(ax: Axes) -> None:
    ratios = {
        "to dense": {"S1": (0.4, 0.5, 0.6), "D1": (1.5, 2.0, 4.0)},
        "to best": {"S1": (1.0, 4.0, 5.0)},
    }
    draw.plot_ratios(ax, ratios, "times as fast")
    slow, fast, best = ax.patches
    ends = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in (slow, fast, best)]  # type: ignore
    assert ends == [(1, 0.5), (1, 2), (1, 4)]
    assert slow.get_x() < best.get_x() < fast.get_x()  # type: ignore  # S1's two, then D1's
    assert slow.get_hatch() != best.get_hatch()
    whiskers = [path.vertices[:, 1].tolist() for path in ax.collections[0].get_paths()]  # type: ignore
    assert whiskers == [[0.4, 0.6], [1.5, 4.0]]
    assert texts(ax) == ["0.50", "2.00", "4.00"] and ax.get_yscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["S1", "D1"]


def test_differences_are_dots_a_mean_and_an_interval_beside_zero(ax: Axes) -> None:
    differences = {"clear": ([-0.2, -0.4], (-0.5, -0.1)), "open": ([0.1, -0.2], (-0.3, 0.2))}
    draw.plot_differences(ax, differences, "bits per byte")
    band, dots, mean, other_band, other_dots, _, zero = ax.lines
    assert list(band.get_xdata()) == [-0.5, -0.1] and list(dots.get_xdata()) == [-0.2, -0.4]
    assert mean.get_xdata()[0] == pytest.approx(-0.3) and list(zero.get_xdata()) == [0, 0]
    assert list(other_dots.get_ydata()) == [1, 1]
    assert band.get_color() == dots.get_color() != other_band.get_color()
    assert texts(ax) == ["-0.300", "-0.050?"]  # an interval that holds 0 has a question mark
    assert [label.get_text() for label in ax.get_yticklabels()] == ["clear", "open"]


def test_comparisons_are_drawn_as_their_differences_with_their_interval(ax: Axes) -> None:
    compared = {"one": paired((1, 2, 3), (0, 0, 0))}
    draw.plot_paired(ax, compared, "bits")
    ends, dots, middle = ax.lines[:3]
    assert list(ends.get_xdata()) == list(compared["one"].interval)
    assert list(dots.get_xdata()) == [1, 2, 3] and list(middle.get_xdata()) == [2]
    assert texts(ax) == ["+2.000?"]


def test_specialisation_has_values_intervals_markers_and_a_control(ax: Axes) -> None:
    draw.plot_specialisation(ax, {"token": [TOKEN, DOMAIN], "domain": [DOMAIN, DOMAIN]})
    bars = [patch.get_height() for patch in ax.patches]  # type: ignore[attr-defined]
    assert bars == [0.03, 0.06, 0.06, 0.06]
    lines = [box for box in ax.containers if hasattr(box, "has_yerr")]
    points = [line[0].get_ydata().tolist() for line in lines]
    assert points == [[0.5, 0.1], [0.1, 0.1]]
    ends = [[y for _, y in segment] for segment in lines[0][2][0].get_segments()]
    assert ends == [pytest.approx([0.4, 0.55]), pytest.approx([0.05, 0.2])]
    assert set(legend(ax)) == {"token", "domain", "control: most of its shuffles"}
    assert len({line[0].get_marker() for line in lines}) == 2


def test_points_are_at_their_numbers_and_the_shares_are_lines(ax: Axes) -> None:
    groups = {"dense": {"a": (8e9, 8e9)}, "MoE": {"b": (4e10, 4e9), "twin of b": (4e10, 4e9)}}
    draw.plot_shares_log(ax, groups, "all", "active", shares=(1.0, 0.1))
    dense, moe, *lines = ax.lines
    assert dense.get_xydata().tolist() == [[8e9, 8e9]]  # type: ignore
    assert moe.get_xydata().tolist() == [[4e10, 4e9]] * 2  # type: ignore
    assert dense.get_marker() != moe.get_marker()
    assert [set(line.get_ydata() / line.get_xdata()) for line in lines] == [{1}, {0.1}]
    assert sorted(texts(ax)) == ["10%", "100%", "a", "b, twin of b"]
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_labels_of_crowded_points_cover_neither_one_another_nor_a_point(ax: Axes) -> None:
    numbers = np.random.default_rng(0).uniform(1, 2, (24, 2))
    points = {f"a model {i}": (float(x), float(y)) for i, (x, y) in enumerate(numbers)}
    draw.plot_shares_log(ax, {"crowd": points}, "x", "y", shares=())
    ax.figure.draw_without_rendering()  # type: ignore
    # Text.get_window_extent leaves out the line to the point, an annotation's own does not.
    found = [Text.get_window_extent(text) for text in ax.texts]
    assert len(found) == 24
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])
    marks = ax.transData.transform(numbers)
    assert not any(box.contains(*mark) for box in found for mark in marks)
    assert all(ax.bbox.contains(*corner) for box in found for corner in (box.min, box.max))
    apart = np.array([[distance(box, mark) for mark in marks] for box in found])
    others = np.where(np.eye(24, dtype=bool), np.inf, apart).min(1)
    assert (others > np.minimum(apart.diagonal(), 13)).all()  # 14 less what drawing rounds


def distance(box: Any, point: np.ndarray) -> float:
    return float(np.hypot(*np.maximum(0, np.maximum(box.min - point, point - box.max))))


def test_a_label_without_room_leaves_the_axes_as_wide_as_they_were(ax: Axes) -> None:
    draw.plot_shares_log(ax, {"one": {"a very long name " * 9: (1.0, 1.0)}}, "x", "y", shares=())
    before = ax.bbox.width
    ax.figure.draw_without_rendering()  # type: ignore
    assert ax.bbox.width == before


def test_a_label_alone_is_right_of_its_point_and_one_without_room_on_it() -> None:
    mark, size = np.array([[50.0, 50.0]]), np.array([[20.0, 10.0]])
    nothing, room = np.zeros((0, 4)), np.array([0.0, 0, 100, 100])
    assert place_labels(mark, size, nothing, room).tolist() == [[17, 0]]
    to_the_right = np.array([[56.0, 30, 100, 70]])
    assert place_labels(mark, size, to_the_right, room)[0, 0] < 0
    assert place_labels(mark, size, room[None], room).tolist() == [[0, 0]]


def test_a_label_that_finds_no_place_goes_first() -> None:
    """Right of the first point is the only place for the second label."""
    marks, sizes = np.array([[50.0, 50.0], [90.0, 50.0]]), np.array([[20.0, 10.0]] * 2)
    right_of_the_second = np.array([[96.0, 0, 200, 100]])
    room = np.array([0.0, 43, 200, 57])
    offsets = place_labels(marks, sizes, right_of_the_second, room)
    assert offsets.round().tolist() == [[-17, 0], [-17, 0]]


def test_the_picture_of_speed_is_the_same_twice_and_leaves_the_style_alone() -> None:
    ratios, growth = {"a": {"S1": (0.5, 0.6, 0.7)}}, {"b": ([4, 8], [[1.0, 2.0]])}
    before = dict(mpl.rcParams)
    both = speed_picture(ratios, growth, "a machine", "svg")
    assert both == speed_picture(ratios, growth, "a machine", "svg")
    halves = [speed_picture(ratios, {}, "m", "png"), speed_picture({}, growth, "m", "png")]
    assert len({both, *halves}) == 3 and dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (draw.plot_curves, ({"a": ([1, 2], [1, 2, 3])}, "x", "y"), r"\(2,\).*\(3,\)"),
        (draw.plot_medians, ({"a": ([1, 2], [1, 2])}, "x", "y"), r"\[n_rounds, 2\].* \(2,\)"),
        (draw.plot_seeds, ({"a": ([1, 2], [1, 2])}, "x", "y"), r"\(2,\).*\(2,\)"),
        (draw.plot_interval, ([1], ([0], [3], [2]), {}, "x", "y"), "3 in 0 2"),
        (draw.plot_predicted, ({"a": ([1], [1], [0])}, "x", "y"), "a: .*0.*0"),
        (draw.plot_load, (np.ones((1, 2, 2)) / 2,), r"\[n_layers, E\].*\(1, 2, 2\)"),
        (draw.plot_load_history, ([[0.5, 0.5], [3, 5]],), "1.*8"),
        (draw.plot_scores, (np.ones((3, 2)), [[0], [1]], "abc"), r"\(3, 2\).*\(2, 1\)"),
        (draw.plot_scores, (np.ones((2, 2)), [[0], [1]], "abc"), "T=2.*3"),
        (draw.plot_scores, (np.ones((2, 2)), [[0], [2]], "ab"), "E=2.*2"),
        (draw.plot_used, ([("a", [3])], 3), "E=3.*3"),
        (draw.plot_shares, ([[1, 2]], ["a", "b"], "y", "l"), r"2 rows.*\(1, 2\)"),
        (draw.plot_stacked, ({"a": {"b": -1.0}}, "x"), "0.*b = -1"),
        (draw.plot_bars_log, ({"a": 0.0}, "x"), "0.*0"),
        (draw.plot_parts_of_peak, ({"a": -0.5}, "x"), "0.*-0.5"),
        (draw.plot_ratios, ({"a": {"b": (0, 1, 2)}}, "x"), "a: .*0.*0"),
        (draw.plot_shares_log, ({"g": {"a": (2, -1)}}, "x", "y"), "a: .*0.*-1"),
        (draw.plot_differences, ({"a": ([], (0, 1))}, "x"), r"a: .*\(0,\).*\(0, 1\)"),
        (draw.plot_differences, ({"a": ([1], (2, 1))}, "x"), r"a: .*\(1,\).*\(2, 1\)"),
        (draw.plot_specialisation, ({"a": [TOKEN] * 2, "b": [TOKEN]},), r"\[1, 2\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_both_numbers(
    ax: Axes, function: Any, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        function(ax, *arguments)


def test_values_at_the_ends_of_curves_are_legible_on_white() -> None:
    assert all(contrast(readable(color), "#FFFFFF") >= 4.5 for color in EXPERT_COLORS)


def test_a_tick_reads_like_the_number_it_marks() -> None:
    said = [tick(value) for value in (0.2, 16.0, 1024.0, 16384.0, 1e5, 2.5e6)]
    assert said == ["0.2", "16", "1,024", "16,384", "100 k", "2.5 M"]
