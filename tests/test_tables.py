"""Do tables stand aligned, and do numbers read as they should?"""

import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest

from minimoe.config import InputError
from minimoe.show.tables import grouped, html_table, si, text_table


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def test_numbers_stand_right_and_text_left() -> None:
    table = text_table(["model", "parameters"], [["dense", 1234], ["MoE", 5]])
    assert table.split("\n") == [
        "model  parameters",
        "─────  ──────────",
        "dense        1234",
        "MoE             5",
    ]


def test_the_docstring_example_holds() -> None:
    assert text_table(["n"], [[1], [23]]) == " n\n──\n 1\n23"


def test_wide_characters_count_as_two_columns() -> None:
    table = text_table(["语言", "loss"], [["中文", 2.5], ["English", 10.25]])
    head, rule, *rows = table.split("\n")
    assert [columns(line) for line in (head, rule, *rows)] == [14] * 4
    assert rows[0] == "中文       2.5"


def test_missing_values_are_dashes_and_keep_the_column_right_aligned() -> None:
    rows = text_table(["x", "y"], [[None, 1.5], [12, float("nan")]]).split("\n")[2:]
    assert rows == [" –  1.5", "12    –"]


def test_numpy_numbers_and_units_read_as_numbers() -> None:
    rows = text_table(["size"], [[np.float64(0.12345)], ["1.23 M"], ["9 %"]]).split("\n")[2:]
    assert rows == ["0.1235", "1.23 M", "   9 %"]


def test_text_that_begins_with_a_number_stands_left() -> None:
    assert text_table(["what"], [["8 experts, top 2"], ["dense"]]).split("\n")[3] == "dense"


def test_align_can_be_given() -> None:
    assert text_table(["ab", "cd"], [["x", 1]], align="rl").split("\n")[2] == " x  1"


def test_a_table_without_rows_is_its_head() -> None:
    assert text_table(["a", "b"], []) == "a  b\n─  ─"


def test_a_row_of_another_length_is_refused_with_both_numbers() -> None:
    for table in (text_table, html_table):
        with pytest.raises(InputError, match=r"row 2 .* per header \(2\), got 3"):
            table(["a", "b"], [[1, 2], [1, 2, 3]])
    with pytest.raises(InputError, match=r"align must hold 2 letters, .* got 'lrr'"):
        text_table(["a", "b"], [[1, 2]], align="lrr")


def test_html_cells_are_escaped() -> None:
    table = html_table(["<b>"], [["<script>&\"'"], [None]])
    assert "<script>" not in table and "&lt;script&gt;&amp;&quot;" in table
    assert "&lt;b&gt;" in table and "–" in table


def test_html_table_holds_every_cell_in_order() -> None:
    cells: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            if data.strip():
                cells.append(data)

    Reader().feed(html_table(["a", "b"], [["x", 1], ["y", 2.5]]))
    assert cells == ["a", "b", "x", "1", "y", "2.5"]


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (1_234_567, "", "1.23 M"),
        (12, "", "12"),
        (0, "", "0"),
        (999, "", "999"),
        (1000, "", "1.00 k"),
        (999_499, "", "999 k"),
        (999_999, "", "1.00 M"),
        (671.026e9, "", "671 G"),
        (-4.56e13, "FLOP", "-45.6 TFLOP"),
        (0.0023, "s", "2.30 ms"),
        (5, "s", "5 s"),
        (12.345, "s", "12.3 s"),
        (0.5, "", "0.5"),
        (float("nan"), "", "–"),
    ],
)
def test_si_writes_three_digits_and_a_prefix(number: float, unit: str, text: str) -> None:
    assert si(number, unit) == text


def test_grouped_writes_a_number_whole() -> None:
    assert grouped(1_234_567) == "1,234,567"
    assert grouped(np.int64(-1000)) == "-1,000"
    assert grouped(float("inf")) == "–"
