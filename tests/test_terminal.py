"""The terminal shows each byte's expert, by colour and by number, within its width."""

import re

import numpy as np
import pytest

from minimoe.show.sample import Sample
from minimoe.show.tables import text_width
from minimoe.show.terminal import color_depth, routed_text

TEXT = "a路b\n\tc😀".encode() + b"\xff\x01\xcc\x81"
ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


def sample(*, kept: bool = True, n_experts: int = 16) -> Sample:
    first = np.arange(len(TEXT)) % n_experts
    ids = np.stack([(first + 1) % n_experts, first], -1)[None].repeat(2, 0)
    weights = np.broadcast_to([0.25, 0.75], ids.shape)
    return Sample("t", TEXT, ids, weights, np.full(ids.shape, kept), np.zeros(ids.shape[:2]))


def lines(depth: int = 2**24, **options: int) -> list[str]:
    given = {"layer": 1, "n_experts": 16, "width": 80} | options
    return routed_text(sample(), depth=depth, **given).split("\n")


def test_each_byte_has_the_number_of_the_expert_with_the_largest_weight() -> None:
    below = " ".join(ESCAPE.sub("", line) for line in lines()[1::2])
    assert [int(number) for number in below.split()] == list(np.arange(len(TEXT)) % 16)


def test_each_number_is_below_its_byte_also_under_wide_characters() -> None:
    plain = [ESCAPE.sub("", line) for line in lines()]
    assert plain[0] == " a 路        b  ↵ "
    assert plain[1] == " 0  1  2  3  4  5 "
    assert plain[2] == " →  c 😀          FF 01 CC    "
    for above, below in zip(plain[::2], plain[1::2], strict=True):
        assert text_width(above) == text_width(below)


@pytest.mark.parametrize("width", [1, 7, 9, 11, 14, 30])
def test_no_line_is_wider_than_the_terminal_or_cuts_a_character(width: int) -> None:
    plain = [ESCAPE.sub("", line) for line in lines(width=width)]
    widest = max(width, 4 * 3)  # the four bytes of one character stay together
    assert all(text_width(line) <= widest for line in plain)
    counts = [len(line.split()) for line in plain[1::2]]
    ends = set(np.cumsum(counts))
    assert ends >= {6} and not ends & {2, 3, 9, 10, 11}  # inside 路, inside 😀
    assert sum(counts) == len(TEXT)


def test_colours_are_those_of_the_view_or_the_nearest_of_256() -> None:
    first = ESCAPE.findall(lines()[0])
    assert first[0] == "38;2;0;0;0;48;2;230;159;0"  # expert 0, black on orange
    assert ESCAPE.findall(lines(256)[0])[0] == "38;5;16;48;5;178"
    assert "1;" not in first[0][:2] and ESCAPE.findall(lines()[2])[4].startswith("1;")  # expert 10


def test_a_dropped_assignment_is_marked_and_not_coloured() -> None:
    shown = routed_text(sample(kept=False), layer=0, n_experts=16)
    assert "\x1b" not in shown and " 0! 1! 2!" in shown


def test_a_long_text_ends_after_the_line_that_reaches_the_limit() -> None:
    assert len(lines(width=12, most=6)) == 2 * 2  # a路, then b↵, which ends at 6
    assert len(lines(width=12, most=1)) == 2
    assert len(lines(width=12, most=7)) == 2 * 3


def test_colours_go_to_a_terminal_whose_reader_wants_them() -> None:
    full = {"COLORTERM": "truecolor"}
    assert color_depth(False, full) == 0
    assert color_depth(True, {}) == color_depth(True, {"NO_COLOR": ""}) == 256
    assert color_depth(True, full) == 2**24
    assert color_depth(True, full | {"NO_COLOR": "1"}) == 0
    assert color_depth(True, {"TERM": "dumb"}) == 0
