"""Tables are aligned, cells are escaped, and numbers read as they should."""

import numpy as np
import pytest

from minimoe.errors import InputError
from minimoe.show.tables import html_table, si, text_table, text_width


def test_numbers_go_right_and_text_left() -> None:
    table = text_table(["model", "parameters"], [["dense", 1234], ["MoE", 5]])
    assert table.split("\n") == [
        "model  parameters",
        "─────  ──────────",
        "dense        1234",
        "MoE             5",
    ]
    assert text_table(["n"], [[1], [23]]) == " n\n──\n 1\n23"
    assert text_table(["a", "b"], []) == "a  b\n─  ─"


def test_wide_characters_take_two_columns_and_combining_marks_none() -> None:
    assert text_width("a中") == 3 and text_width("e\u0301") == 1
    table = text_table(["语言", "loss"], [["中文", 2.5], ["English", 10.25]])
    assert table.split("\n")[::2] == ["语言      loss", "中文       2.5"]


def test_missing_values_are_dashes_and_keep_the_column_right_aligned() -> None:
    rows = text_table(["x", "y"], [[None, 1.5], [12, float("nan")]]).split("\n")[2:]
    assert rows == [" –  1.5", "12    –"]


def test_numpy_numbers_and_units_read_as_numbers_and_other_text_does_not() -> None:
    rows = text_table(["size"], [[np.float64(0.12345)], [123456.7], ["1.23 M"], ["9 %"]])
    assert rows.split("\n")[2:] == [" 0.1235", "123,457", " 1.23 M", "    9 %"]
    assert text_table(["loss"], [["3.9 ± 0.02"], [1]]).split("\n")[3] == "         1"
    assert text_table(["what"], [["8 experts, top 2"], ["dense"]]).split("\n")[3] == "dense"


def test_align_can_be_given() -> None:
    assert text_table(["ab", "cd"], [["x", 1]], align="rl").split("\n")[2] == " x  1"


def test_a_row_of_another_length_is_refused_with_both_numbers() -> None:
    for table in (text_table, html_table):
        with pytest.raises(InputError, match="2.*2.*3"):
            table(["a", "b"], [[1, 2], [1, 2, 3]])
    with pytest.raises(InputError, match="2.*lrr"):
        text_table(["a", "b"], [[1, 2]], align="lrr")


def test_an_html_table_holds_every_cell_escaped_and_aligned() -> None:
    table = html_table(["<b>", "n"], [["<i>&\"'", 1], [None, True]])
    assert '<th scope="col" style="text-align:left">&lt;b&gt;</th>' in table
    assert '>&lt;i&gt;&amp;&quot;&#x27;</td><td style="text-align:left">1</td></tr>' in table
    assert '>–</td><td style="text-align:left">yes</td></tr>' in table
    assert "text-align:right" in html_table(["n"], [[1]])


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (12, "", "12"),
        (0, "", "0"),
        (1000, "", "1.00 k"),
        (999_499, "", "999 k"),
        (999_999, "", "1.00 M"),
        (671.026e9, "", "671 G"),
        (-4.56e13, "FLOP", "-45.6 TFLOP"),
        (0.0023, "s", "2.30 ms"),
        (5, "s", "5 s"),
        (0.5, "", "0.5"),
        (float("nan"), "", "–"),
    ],
)
def test_si_writes_three_digits_and_a_prefix(number: float, unit: str, text: str) -> None:
    assert si(number, unit) == text
