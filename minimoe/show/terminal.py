"""A text in a terminal: each byte in the colour of its expert, with the expert's number below."""

import unicodedata
from collections.abc import Iterator, Mapping

from minimoe.show.colors import expert_style, rgb
from minimoe.show.sample import Sample, characters, checked, glyphs
from minimoe.show.tables import text_width

_PICTURELESS = ("Cc", "Cf", "Cn", "Co", "Me", "Mn", "Zl", "Zp")  # controls, marks, line ends
_CUBE = (0, 95, 135, 175, 215, 255)  # the levels of red, green and blue among 256 colours


def color_depth(is_terminal: bool, environment: Mapping[str, str]) -> int:
    """Decide how many colours to write.

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
    no colour and a "!" after its number.

    Args:
        layer: counted from 0.
        n_experts: routed experts per layer.
        width: columns of the terminal.
        depth: 2**24 colours, or 256.
        most: leave out lines that begin after this many bytes; None: leave out none.

    Returns:
        Pairs of lines, the text above and the experts below.
    """
    routed = checked(sample, n_experts)
    first, kept = routed.expert_ids[layer, :, 0], routed.kept[layer, :, 0]
    size = max(2, len(str(n_experts - 1)) + 1)  # of a cell: the number and a space or "!"
    shown, lines = glyphs(sample.text), []
    for start, end in _lines(sample.text, max(1, width // size)):
        if most is not None and start >= most:
            break
        above, below = "", ""
        for t in range(start, end):
            color, reset = (_escape(int(first[t]), depth), "\x1b[0m") if kept[t] else ("", "")
            number = f"{first[t]}{' ' if kept[t] else '!'}".rjust(size)
            above += color + _fitted(shown[t], size) + reset
            below += color + number + reset
        lines += [above, below]
    return "\n".join(lines)


def _lines(text: bytes, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of at most `most` bytes that end at a newline or between two characters."""
    start = end = 0
    for char in characters(text):
        if end + len(char) - start > most and end > start:
            yield start, end
            start = end
        end += len(char)
        if char == b"\n" or end == len(text):
            yield start, end
            start = end


def _fitted(glyph: str | None, size: int) -> str:
    """What a byte shows, in exactly `size` columns; two hex digits for what has no picture."""
    shown = {None: "", "\n": "↵", "\t": "→"}.get(glyph, glyph) or ""
    if shown and unicodedata.category(shown[0]) in _PICTURELESS:
        shown = f"{shown.encode()[0]:02X}"
    room = size - text_width(shown)
    return " " * (room // 2) + shown + " " * (room - room // 2)


def _escape(expert: int, depth: int) -> str:
    """The escape sequence for an expert's ground and ink; every second round of hues in bold."""
    ground, _, ink = expert_style(expert)
    bold = "1;" if expert // 8 % 2 else ""
    kind, code = ("2", _of_16_million) if depth > 256 else ("5", _of_256)
    return f"\x1b[{bold}38;{kind};{code(ink)};48;{kind};{code(ground)}m"


def _of_16_million(color: str) -> str:
    return ";".join(map(str, rgb(color)))


def _of_256(color: str) -> int:
    """The nearest colour of the cube of 6 x 6 x 6: black is 16, white 231."""
    red, green, blue = (min(range(6), key=lambda i: abs(_CUBE[i] - value)) for value in rgb(color))
    return 16 + 36 * red + 6 * green + blue
