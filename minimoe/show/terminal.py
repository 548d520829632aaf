"""How does a terminal show where the bytes of a text went? A colour and a number for each byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from minimoe.show import ink_on
from minimoe.show.explorer import Sample, expert_style, glyphs
from minimoe.show.tables import text_width

_RESET = "\x1b[0m"
_PICTURELESS = ("Cc", "Cf", "Cn", "Co", "Me", "Mn", "Zl", "Zp")  # controls, marks, line ends
_CUBE = (0, 95, 135, 175, 215, 255)  # the levels of red, green and blue among 256 colours


def color_depth(is_terminal: bool, environment: Mapping[str, str]) -> int:
    """How many colours to write.

    Args:
        is_terminal: whether the text goes to a terminal.
        environment: variables; NO_COLOR with any value but "" asks for none (no-color.org), and
            COLORTERM says that a terminal knows all colours.

    Returns:
        0 for a file, a pipe, a dumb terminal or a reader who wants none, else 256 or 2**24.
    """
    if not is_terminal or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return 0
    return 2**24 if environment.get("COLORTERM") in ("truecolor", "24bit") else 256


def routed_text(
    sample: Sample,
    *,
    layer: int,
    n_experts: int,
    width: int = 80,
    depth: int = 2**24,
    most: int | None = None,
) -> str:
    """Colour a text by the expert with the largest combine weight, its number below each byte.

    The bytes of one character stay on one line; a newline ends its line. A dropped assignment has
    no colour and a "!" behind its number.

    Args:
        sample: the text and what the routers decided.
        layer: counted from 0.
        n_experts: routed experts per layer.
        width: columns of the terminal.
        depth: 2**24 colours, or 256.
        most: lines that begin beyond so many bytes are left out; None: none are.

    Returns:
        Pairs of lines, the text above and the experts below.
    """
    ids, weights = np.asarray(sample.expert_ids)[layer], np.asarray(sample.weights)[layer]
    best = weights.argmax(-1)[:, None]
    first = np.take_along_axis(ids, best, -1)[:, 0]
    kept = np.ones(len(first), dtype=bool)
    if sample.kept is not None:
        kept = np.take_along_axis(np.asarray(sample.kept)[layer], best, -1)[:, 0]
    size = max(2, len(str(n_experts - 1)) + 1)  # of a cell: the number and a space or "!"
    lines = []
    for start, end, shown in _lines(sample.text, max(1, width // size)):
        if most is not None and start >= most:
            break
        row = [_color(int(first[t]), depth) if kept[t] else "" for t in range(start, end)]
        above = _colored((_fitted(glyph, size) for glyph in shown), row)
        below = _colored(_numbers(first[start:end], kept[start:end], size), row)
        lines += [above, below]
    return "\n".join(lines)


def _numbers(
    first: Int[np.ndarray, " n"], kept: Bool[np.ndarray, " n"], size: int
) -> Iterator[str]:
    return (
        f"{expert}{' ' if keeps else '!'}".rjust(size)
        for expert, keeps in zip(first, kept, strict=True)
    )


def _lines(text: bytes, most: int) -> Iterator[tuple[int, int, Sequence[str | None]]]:
    """Ranges of at most `most` bytes that end at a newline or between two characters."""
    shown = glyphs(text)
    ends = [t for t in range(1, len(text) + 1) if t == len(text) or shown[t] is not None]
    start = last = 0
    for end in ends:
        if end - start > most and last > start:
            yield start, last, shown[start:last]
            start = last
        last = end
        if shown[end - 1] == "\n":
            yield start, end, shown[start:end]
            start = end
    if start < len(text):
        yield start, len(text), shown[start:]


def _fitted(glyph: str | None, size: int) -> str:
    """What a byte shows, in exactly `size` columns; two hex digits for what has no picture."""
    shown = {None: "", "\n": "↵", "\t": "→"}.get(glyph, glyph) or ""
    if shown and unicodedata.category(shown[0]) in _PICTURELESS:
        shown = f"{shown.encode()[0]:02X}"
    room = size - text_width(shown)
    return " " * (room // 2) + shown + " " * (room - room // 2)


def _colored(cells: Iterator[str], row: Sequence[str]) -> str:
    return "".join(
        f"{color}{cell}{_RESET}" if color else cell for cell, color in zip(cells, row, strict=True)
    )


def _color(expert: int, depth: int) -> str:
    """The escape sequence for an expert's ground and ink; every second round of hues in bold."""
    ground, _, _ = expert_style(expert)
    ink = ink_on(ground)
    bold = "1;" if expert // 8 % 2 else ""
    if depth > 256:
        return f"\x1b[{bold}38;2;{_levels(ink)};48;2;{_levels(ground)}m"
    return f"\x1b[{bold}38;5;{_of_256(ink)};48;5;{_of_256(ground)}m"


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _levels(color: str) -> str:
    return ";".join(map(str, _rgb(color)))


def _of_256(color: str) -> int:
    """The nearest colour of the cube of 6 x 6 x 6: black is 16, white 231."""
    red, green, blue = (
        min((abs(level - value), i) for i, level in enumerate(_CUBE))[1] for value in _rgb(color)
    )
    return 16 + 36 * red + 6 * green + blue
