"""Do the figures of routing show the numbers they were given?"""

from collections.abc import Iterator

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minimoe.config import InputError
from minimoe.measure.specialisation import Specialisation
from minimoe.show.figures import style
from minimoe.show.routing import plot_shares, plot_specialisation

TOKEN = Specialisation(nmi=0.5, low=0.4, high=0.55, control=0.02, control_high=0.03, bits=2.0)
DOMAIN = Specialisation(nmi=0.1, low=0.05, high=0.2, control=0.04, control_high=0.06, bits=0.2)


@pytest.fixture
def ax() -> Iterator[Axes]:
    with mpl.rc_context():
        style()
        figure = Figure()
        yield figure.subplots()
        figure.canvas.draw()


def test_each_label_has_its_values_its_interval_and_its_control(ax: Axes) -> None:
    plot_specialisation(ax, {"token": [TOKEN, DOMAIN], "domain": [DOMAIN, DOMAIN]})
    bars = [patch.get_height() for patch in ax.patches]  # type: ignore[attr-defined]
    assert bars == [0.03, 0.06, 0.06, 0.06]
    lines = [box for box in ax.containers if hasattr(box, "has_yerr")]
    points = [line[0].get_ydata().tolist() for line in lines]
    assert points == [[0.5, 0.1], [0.1, 0.1]]
    ends = lines[0][2][0].get_segments()
    assert [[y for _, y in segment] for segment in ends] == [
        pytest.approx([0.4, 0.55]),
        pytest.approx([0.05, 0.2]),
    ]
    named = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert set(named) == {"token", "domain", "control: most of its shuffles"}


def test_labels_differ_by_marker_as_well_as_by_colour(ax: Axes) -> None:
    plot_specialisation(ax, {"token": [TOKEN], "domain": [DOMAIN]})
    lines = [box[0] for box in ax.containers if hasattr(box, "has_yerr")]
    assert len({line.get_marker() for line in lines}) == 2 == len({x.get_color() for x in lines})


def test_labels_of_different_depth_are_refused(ax: Axes) -> None:
    with pytest.raises(InputError, match=r"as many layers, got \[1, 2\]"):
        plot_specialisation(ax, {"token": [TOKEN, TOKEN], "domain": [DOMAIN]})


def test_a_table_writes_every_number_where_it_belongs(ax: Axes) -> None:
    plot_shares(ax, [[0.5, 0.25, 0], [1, 0, 2]], ["english", "python"], "domain", "share")
    written = {tuple(map(int, t.get_position())): t.get_text() for t in ax.texts}
    assert written[(1, 0)] == "0.25" and written[(2, 1)] == "2.00" and len(written) == 6
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["english", "python"]


def test_a_table_of_another_shape_is_refused(ax: Axes) -> None:
    with pytest.raises(InputError, match=r"\[2 rows, E\], got shape \(1, 2\)"):
        plot_shares(ax, [[1, 2]], ["a", "b"], "row", "share")
