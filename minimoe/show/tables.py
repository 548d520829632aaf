"""Text tables, HTML tables, and numbers as a reader wants them."""

import html
import math
import re
import unicodedata
from collections.abc import Sequence
from numbers import Integral
from typing import Any, SupportsFloat

from minimoe.errors import InputError

MISSING = "–"
_NUMBER_AND_UNIT = re.compile(r"[-+−±~<>≈ ]*\d[\d.,]*(e[-+]?\d+)?( ± [\d.,]+)? ?\S{0,8}")
_PREFIXES = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P", 6: "E"}
_STYLES = {"l": "text-align:left", "r": "text-align:right;font-variant-numeric:tabular-nums"}


class Table:
    """A table that a notebook shows as HTML and a terminal as text.

    Args:
        headers: one name per column.
        rows: one sequence per row, as in `text_table`.
    """

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.headers, self.rows = list(headers), [list(row) for row in rows]

    def __repr__(self) -> str:
        return text_table(self.headers, self.rows)

    def _repr_html_(self) -> str:
        """A wide table scrolls inside its own frame; its cells do not wrap."""
        table = html_table(self.headers, self.rows)
        return f'<div style="overflow-x:auto;white-space:nowrap">\n{table}\n</div>'


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[Any]], *, align: str | None = None
) -> str:
    """Lay out rows as a table in monospaced text.

    Args:
        headers: one name per column.
        rows: one sequence per row; None and NaN are shown as "–", floats with four digits.
        align: one letter per column, "l" or "r"; by default columns of numbers go right.

    Returns:
        Lines joined by newlines, without trailing spaces;
        `text_table(["n"], [[1], [23]]) == " n\\n──\\n 1\\n23"`.

    Raises:
        InputError: a row or `align` has another number of columns than `headers`.
    """
    align = _alignment(headers, rows, align)
    cells = [list(headers), *([as_text(value) for value in row] for row in rows)]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        rooms = [width - text_width(text) for text, width in zip(row, widths, strict=True)]
        padded = (
            " " * room + text if side == "r" else text + " " * room
            for text, room, side in zip(row, rooms, align, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def html_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out rows as one HTML `<table>`, every cell escaped; otherwise like `text_table`."""
    styles = [_STYLES[side] for side in _alignment(headers, rows, None)]

    def line(cells: Sequence[str], tag: str) -> str:
        name = tag.partition(" ")[0]
        return "".join(
            f'<{tag} style="{style}">{html.escape(cell)}</{name}>'
            for cell, style in zip(cells, styles, strict=True)
        )

    head = line(headers, 'th scope="col"')
    body = "\n".join(f"<tr>{line([as_text(value) for value in row], 'td')}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def si(number: SupportsFloat, unit: str = "") -> str:
    """Write a number with three significant digits and an SI prefix.

    The prefixes are k, M, G, T, P, E, and below 1, where a unit follows, m, µ, n.

    Args:
        number: any real number; not finite means missing.
        unit: written after the prefix, such as "s" or "FLOP".

    Returns:
        `si(1_234_567) == "1.23 M"`, `si(0.0023, "s") == "2.30 ms"`, `si(12) == "12"`, missing: "–".
    """
    value = float(number)
    if not math.isfinite(value):
        return MISSING
    if value == 0 or (value.is_integer() and abs(value) < 1000):
        return f"{int(value)} {unit}".rstrip()
    if abs(value) < 1 and not unit:
        return f"{value:.3g}"  # "500 m" without a unit would be unclear
    rounded = float(f"{value:.2e}")  # first, so that 999,999 becomes 1.00 M and not 1000 k
    power = max(-3, min(6, math.floor(math.log10(abs(rounded)) / 3)))
    scaled = rounded / 1000.0**power
    before_point = math.floor(math.log10(abs(scaled))) + 1
    digits = max(0, 3 - max(1, before_point))
    return f"{scaled:.{digits}f} {_PREFIXES[power]}{unit}".rstrip()


def text_width(text: str) -> int:
    """Count the terminal columns of a text: 2 for wide (CJK) characters, 0 for combining marks.

    `text_width("a中") == 3`.
    """
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def as_text(value: Any) -> str:
    """One value as one line of text: 12345.6 as "12,346", 0.25 as "0.25", None as "–"."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral) or not _is_number(value):
        return " ".join(str(value).split("\n"))
    if not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, (bool, str))


def _alignment(headers: Sequence[str], rows: Sequence[Sequence[Any]], align: str | None) -> str:
    """Check the shapes; return one letter per column."""
    for number, row in enumerate(rows, start=1):
        if len(row) != len(headers):
            raise InputError(
                f"row {number} must have one cell per header ({len(headers)}), got {len(row)}"
            )
    if align is None:
        return "".join(_side([row[i] for row in rows]) for i in range(len(headers)))
    if len(align) != len(headers) or set(align) - {"l", "r"}:
        raise InputError(
            f"align must hold {len(headers)} letters, each l or r, one per header, got {align!r}"
        )
    return align


def _side(column: Sequence[Any]) -> str:
    """ "r" for a column of numbers, with or without a unit ("1.23 M", "12 %"); "l" otherwise."""
    present = [value for value in column if value is not None and value != MISSING]
    numbers = (_is_number(v) or _NUMBER_AND_UNIT.fullmatch(str(v)) for v in present)
    return "r" if present and all(numbers) else "l"
