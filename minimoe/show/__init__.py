"""What does it look like? Plain arrays in; matplotlib Axes, text tables or static HTML out.

The colours of the experts stand here, because figures and the HTML view share them.
"""

from __future__ import annotations

# Okabe and Ito's eight colours, told apart under the common forms of colour blindness.
# Black stands last: as a first expert it would dominate every coloured text.
EXPERT_COLORS = (
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#009E73",  # bluish green
    "#F0E442",  # yellow
    "#0072B2",  # blue
    "#D55E00",  # vermillion
    "#CC79A7",  # reddish purple
    "#000000",  # black
)


def expert_color(expert: int) -> str:
    """The colour of one expert, the same in every figure and view.

    Args:
        expert: the expert's number, from 0; from 8 on the eight hues repeat.

    Returns:
        A colour as `#RRGGBB`; `expert_color(0) == expert_color(8) == "#E69F00"`.
    """
    return EXPERT_COLORS[expert % len(EXPERT_COLORS)]


def luminance(color: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2).

    Args:
        color: `#RRGGBB`.

    Returns:
        Between 0 for black and 1 for white, no unit; `luminance("#FFFFFF") == 1.0`.
    """
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2; small text wants 4.5 at least).

    Args:
        one: `#RRGGBB`.
        other: `#RRGGBB`.

    Returns:
        Between 1 and 21, no unit; `contrast("#000000", "#FFFFFF") == 21.0`.
    """
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(background: str) -> str:
    """Black or white, whichever reads better on a background.

    Args:
        background: `#RRGGBB`.

    Returns:
        `#000000` or `#FFFFFF`, with a contrast of at least 4.5; `ink_on("#F0E442") == "#000000"`.
    """
    return max(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, background))


def mix(color: str, other: str, share: float) -> str:
    """A colour moved towards another one.

    Args:
        color: `#RRGGBB`.
        other: `#RRGGBB`.
        share: how far, from 0 (stay) to 1 (arrive).

    Returns:
        `#RRGGBB`; `mix("#000000", "#FFFFFF", 0.2) == "#333333"`.
    """
    pairs = ((int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in pairs)
