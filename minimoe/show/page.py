"""Self-contained HTML pages, and figures inside them."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Framed:
    """A document in a frame of its own in a notebook, so that its script meets no other.

    Args:
        title: names the frame for readers who do not see it.
        document: a complete HTML document.
        height: of the frame in pixels.
    """

    title: str
    document: str = field(repr=False)
    height: int

    def _repr_html_(self) -> str:
        source = self.document.replace("&", "&amp;").replace('"', "&quot;")
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:0;display:block" srcdoc="{source}"></iframe>'
        )


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Put sections on one page, light or dark as the reader's system is.

    Args:
        title: the heading of the page, as text.
        sections: pairs of (heading as text, body as HTML); an empty heading is left out.

    Returns:
        A complete document without any address outside itself.
    """
    parts = ["<main>", f"<h1>{html.escape(title)}</h1>"]
    for heading, body in sections:
        above = f"\n<h2>{html.escape(heading)}</h2>" if heading else ""
        parts.append(f"<section>{above}\n{body}\n</section>")
    return document(title, "\n".join([*parts, "</main>"]))


def document(title: str, body: str) -> str:
    """A complete document that may load nothing from anywhere."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-src 'self'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""


def figure_html(figure: "Figure", alt: str, caption: str) -> str:
    """Write a matplotlib figure as one `<figure>` element with its picture inside.

    Args:
        alt: the figure in words, for those who cannot see it.
        caption: one or two sentences below the figure.

    Returns:
        HTML; the same figure gives the same bytes.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    data = base64.b64encode(picture.getvalue()).decode("ascii")
    width = round(figure.get_size_inches()[0] * 100)
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{width}" '
        f'alt="{html.escape(alt)}">\n<figcaption>{html.escape(caption)}</figcaption></figure>'
    )
