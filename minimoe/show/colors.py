"""Colours of the experts, and ink that is legible on them."""

# Okabe and Ito's eight colours, told apart under the common forms of colour blindness.
# Black comes last: as the first expert's colour it would dominate every coloured text.
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
    """Return the colour of an expert, counted from 0; from 8 on the eight colours repeat.

    `expert_color(0) == expert_color(8) == "#E69F00"`.
    """
    return EXPERT_COLORS[expert % len(EXPERT_COLORS)]


def expert_style(expert: int) -> tuple[str, str, str]:
    """Choose the colours of an expert's cells: ground, pattern, ink.

    Below expert 8 the pattern is the ground. Ink has a contrast of at least 4.5 with both.
    `expert_style(0) == ("#E69F00", "#E69F00", "#000000")`.
    """
    ground = expert_color(expert)
    ink = ink_on(ground)
    if expert < len(EXPERT_COLORS):
        return ground, ground, ink
    away = "#FFFFFF" if ink == "#000000" else "#000000"  # away from the ink: contrast only grows
    return ground, mix(ground, away, 0.55) if ground != away else "#595959", ink


def rgb(color: str) -> tuple[int, int, int]:
    """Read `#RRGGBB` as three numbers from 0 to 255; `rgb("#E69F00") == (230, 159, 0)`."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def luminance(color: str) -> float:
    """Return the relative luminance of an sRGB colour, 0 for black to 1 for white (WCAG 2.2)."""
    channels = (part / 255 for part in rgb(color))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two sRGB colours (WCAG 2.2: at least 4.5 for small text).

    It lies between 1 and 21: `contrast("#000000", "#FFFFFF") == 21.0`.
    """
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(background: str) -> str:
    """Return black or white, whichever has more contrast with a background (at least 4.5).

    `ink_on("#F0E442") == "#000000"`.
    """
    return max(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, background))


def mix(color: str, other: str, share: float) -> str:
    """Move a colour towards another one: share 0 is the first, 1 the other.

    `mix("#000000", "#FFFFFF", 0.2) == "#333333"`.
    """
    pairs = zip(rgb(color), rgb(other), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in pairs)
