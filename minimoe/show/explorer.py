"""Which expert did each byte of a text go to? One self-contained HTML view, and a report page."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from minimoe.config import InputError
from minimoe.files import write_file
from minimoe.show import EXPERT_COLORS, expert_color, ink_on, mix

_HUES = len(EXPERT_COLORS)
_LONGEST_WORD = 32  # bytes kept on one line; longer runs may break anywhere
_WIDE_LEGEND = 16  # experts listed one a line up to here, in a grid beyond


@dataclass(frozen=True)
class Sample:
    """A text and what the router of each MoE layer decided for its bytes.

    Args:
        title: a short name, such as "English".
        text: T bytes; each byte is one token.
        expert_ids: integers [n_layers, T, K], the experts chosen, from 0.
        weights: [n_layers, T, K], the combine weights of the chosen experts, 0 or more.
        kept: booleans [n_layers, T, K], False where an assignment was dropped; None: all kept.
    """

    title: str
    text: bytes
    expert_ids: ArrayLike
    weights: ArrayLike
    kept: ArrayLike | None = None


@dataclass(frozen=True)
class RoutingView:
    """A routing view, finished; shown by Jupyter as it stands.

    Args:
        title: the heading.
        html: a complete document.
        fragment: one `<section>` to place in a larger page.
        height: the pixels the view likes to have in a frame.
    """

    title: str
    html: str = field(repr=False)
    fragment: str = field(repr=False)
    height: int = 600

    def _repr_html_(self) -> str:
        """The document in a frame of its own, so that its script meets no other."""
        source = self.html.replace("&", "&amp;").replace('"', "&quot;")
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:0;display:block" srcdoc="{source}"></iframe>'
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document; a reader of `path` sees the old file or the whole new one.

        Args:
            path: the file to write; its folder must exist.
        """
        write_file(path, self.html)


def routing_view(
    samples: Sequence[Sample],
    *,
    n_experts: int,
    title: str,
    layer_names: Sequence[str] | None = None,
) -> RoutingView:
    """Colour texts by the expert with the largest combine weight, layer by layer.

    Adding `#layer=2` to the address opens layer 2; `sample`, `token` and `numbers` work too
    (`#sample=1&layer=2&token=5&numbers=1`), all counted from 1.

    Args:
        samples: one or more texts with the same number of layers.
        n_experts: routed experts per layer, at least 1.
        title: the heading of the view.
        layer_names: one name per MoE layer; None: layers are only counted.

    Returns:
        A view; the same input gives the same bytes.

    Raises:
        InputError: when the shapes of a sample disagree, or an expert is not in [0, n_experts).
    """
    if not samples:
        raise InputError("samples must hold at least 1 text, got 0")
    routed = [_checked(sample, n_experts) for sample in samples]
    n_layers = _common_layers(routed, layer_names)
    payload = _payload(routed, n_layers, n_experts, layer_names)
    fragment = _fragment(routed, payload, title=title, n_experts=n_experts)
    return RoutingView(title, _document(title, fragment), fragment, _height(routed, n_experts))


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A self-contained HTML report, light or dark as the reader's system is.

    Args:
        title: the heading of the page.
        sections: pairs of (heading as text, body as HTML); an empty heading is left out.

    Returns:
        A complete document without any address outside itself.
    """
    parts = [f"<section>{_heading(heading)}\n{body}\n</section>" for heading, body in sections]
    body = f"<main>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "\n</main>"
    return _document(title, body, _PAGE_CSS)


def figure_html(figure: Any, alt: str, caption: str) -> str:
    """A matplotlib figure as an HTML figure with its picture inside.

    Args:
        figure: a `matplotlib.figure.Figure`.
        alt: the figure in words, for those who cannot see it.
        caption: one or two sentences below the figure.

    Returns:
        One `<figure>` element; the same figure gives the same bytes.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    data = base64.b64encode(picture.getvalue()).decode("ascii")
    width = round(figure.get_size_inches()[0] * 100)
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{width}" '
        f'alt="{html.escape(alt)}">\n<figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def glyphs(text: bytes) -> list[str | None]:
    """What each byte of a text shows: a character on its first byte, None on the further ones.

    Args:
        text: UTF-8, which may be cut anywhere; bytes that are no UTF-8 show as two hex digits.

    Returns:
        One entry per byte; `glyphs("é!".encode()) == ["é", None, "!"]` and
        `glyphs(b"\\xff") == ["FF"]`.
    """
    shown: list[str | None] = []
    while len(shown) < len(text):
        start = len(shown)
        for size in range(1, 5):
            try:
                char = text[start : start + size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            shown += [char, *[None] * (len(char.encode("utf-8")) - 1)]
            break
        else:
            shown.append(f"{text[start]:02X}")
    return shown


@dataclass(frozen=True)
class _Routed:
    """A sample after checking, the K choices of each token sorted by falling weight."""

    title: str
    text: bytes
    expert_ids: Int[np.ndarray, "n_layers T K"]
    weights: Float[np.ndarray, "n_layers T K"]
    kept: Bool[np.ndarray, "n_layers T K"]


def _numpy(values: Any) -> np.ndarray:
    """An array from anything numpy takes, tensors that carry a gradient included."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _checked(sample: Sample, n_experts: int) -> _Routed:
    ids, weights = _numpy(sample.expert_ids), _numpy(sample.weights).astype(np.float64)
    kept = np.ones(ids.shape, bool) if sample.kept is None else _numpy(sample.kept).astype(bool)
    name = f"sample {sample.title!r}"
    if ids.ndim != 3 or 0 in ids.shape:
        raise InputError(f"{name}: expert_ids must be [n_layers, T, K], got shape {ids.shape}")
    for what, array in (("weights", weights), ("kept", kept)):
        if array.shape != ids.shape:
            raise InputError(
                f"{name}: {what} must have the shape of expert_ids {ids.shape}, got {array.shape}"
            )
    if ids.shape[1] != len(sample.text):
        raise InputError(
            f"{name}: expert_ids must hold one row per byte of text ({len(sample.text)}), "
            f"got {ids.shape[1]}"
        )
    wrong = ids[(ids < 0) | (ids >= n_experts)]
    if wrong.size:
        raise InputError(
            f"{name}: expert_ids must lie in [0, n_experts={n_experts}), got {wrong.flat[0]}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        bad = weights[~(weights >= 0) | ~np.isfinite(weights)].flat[0]
        raise InputError(f"{name}: weights must be finite and at least 0, got {bad}")
    order = np.argsort(-weights, axis=-1, kind="stable")
    ids, weights, kept = (np.take_along_axis(a, order, -1) for a in (ids, weights, kept))
    return _Routed(sample.title, sample.text, ids.astype(np.int64), weights, kept)


def _common_layers(routed: Sequence[_Routed], layer_names: Sequence[str] | None) -> int:
    n_layers = len(routed[0].expert_ids)
    for one in routed:
        if len(one.expert_ids) != n_layers:
            raise InputError(
                f"samples must have the same number of layers: {routed[0].title!r} has {n_layers}, "
                f"{one.title!r} has {len(one.expert_ids)}"
            )
    if layer_names is not None and len(layer_names) != n_layers:
        raise InputError(
            f"layer_names must hold one name per layer ({n_layers}), got {len(layer_names)}"
        )
    return n_layers


def _payload(
    routed: Sequence[_Routed], n_layers: int, n_experts: int, layer_names: Sequence[str] | None
) -> dict[str, Any]:
    """Everything the script needs; weights in thousandths, K choices by falling weight."""
    names = layer_names or [""] * n_layers
    counted = [f"layer {layer} of {n_layers}" for layer in range(1, n_layers + 1)]
    return {
        "layers": [
            f"{count} · {name}" if name else count
            for count, name in zip(counted, names, strict=True)
        ],
        "experts": n_experts,
        "top_k": [one.expert_ids.shape[2] for one in routed],
        "full": max(1.0, *(round(float(one.weights.max()), 3) for one in routed)),
        "samples": [_sample_payload(one, counted, n_experts) for one in routed],
    }


def _sample_payload(one: _Routed, layers: Sequence[str], n_experts: int) -> dict[str, Any]:
    counts = [np.bincount(ids.ravel(), minlength=n_experts) for ids in one.expert_ids]
    return {
        "bytes": one.text.hex(),
        "ids": [ids.ravel().tolist() for ids in one.expert_ids],
        "thousandths": [
            np.rint(weights.ravel() * 1000).astype(int).tolist() for weights in one.weights
        ],
        "dropped": [np.flatnonzero(~kept).tolist() for kept in one.kept],
        "counts": [count.tolist() for count in counts],
        "say": [
            _sentence(name, count, int((~kept).sum()))
            for name, count, kept in zip(layers, counts, one.kept, strict=True)
        ],
    }


def _sentence(layer: str, counts: Int[np.ndarray, " E"], dropped: int) -> str:
    """One layer in words: the busiest, the idlest, the even share, the drops."""
    load = counts / counts.sum()
    words = (
        f"{layer.capitalize()}: expert {load.argmax()} gets the most ({load.max():.1%} of the "
        f"assignments), expert {load.argmin()} the fewest ({load.min():.1%}); "
        f"an even share would be {1 / len(load):.1%}."
    )
    unused = int((counts == 0).sum())
    words += f" {unused} of {len(counts)} experts get none." if unused > 1 else ""
    if dropped:
        words += f" {dropped} of {counts.sum()} assignments were dropped"
        words += " (dashed frame: the one with the largest weight)."
    return words


def _fragment(
    routed: Sequence[_Routed], payload: dict[str, Any], *, title: str, n_experts: int
) -> str:
    """One section: style, controls, the first layer drawn, the data, the script."""
    data = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # so that no text can close the script element
    seed = json.dumps([title, [one.title for one in routed]]) + data
    name = "moe-" + hashlib.sha256(seed.encode()).hexdigest()[:10]
    drawn = (
        _sample_html(one, sample, payload["layers"][0], n_experts)
        for one, sample in zip(routed, payload["samples"], strict=True)
    )
    numbers = " numbers" if n_experts > _HUES else ""
    return f"""<section class="moe-view{numbers}" id="{name}" aria-label="{html.escape(title)}">
<style>{_VIEW_CSS}{_expert_css(n_experts)}</style>
<h2>{html.escape(title)}</h2>
<div class="controls" hidden>
<div class="tabs" role="group" aria-label="text">{_tabs(routed)}</div>
<label class="layer"><input type="range" min="1" max="{len(payload["layers"])}" value="1" \
aria-label="layer"><output>{html.escape(payload["layers"][0])}</output></label>
<label class="toggle"><input type="checkbox"{" checked" if numbers else ""}> numbers</label>
</div>
{"".join(drawn)}
<script type="application/json">{data}</script>
<script>{_SCRIPT.replace("VIEW_ID", name)}</script>
</section>"""


def _tabs(routed: Sequence[_Routed]) -> str:
    return "".join(
        f'<button type="button" aria-pressed="{"false" if i else "true"}">'
        f"{html.escape(one.title)}</button>"
        for i, one in enumerate(routed)
    )


def _sample_html(one: _Routed, sample: dict[str, Any], layer: str, n_experts: int) -> str:
    """One text with its first layer's colours, its legend, and an empty panel."""
    wide = " many" if n_experts > _WIDE_LEGEND else ""
    rows = one.expert_ids.shape[2]
    return f"""<div class="sample">
<h3>{html.escape(one.title)}</h3>
<p class="say" aria-live="polite">{sample["say"][0]}</p>
<div class="columns">
<div class="text" role="listbox" aria-label="bytes of {html.escape(one.title)}, one token each">
{"".join(_lines(one))}</div>
<aside>
<div class="panel" style="min-height:{max(8.9, 5.9 + 1.55 * rows):.1f}em" hidden></div>
<div class="legend{wide}" role="group" aria-label="experts and their load">
<p>load<span class="tick-note">dashed: even share, 1/{n_experts}</span></p>
{_legend(sample["counts"][0])}</div>
</aside>
</div>
</div>
"""


def _legend(counts: Sequence[int]) -> str:
    total, most = sum(counts), max(max(counts), 2 * sum(counts) / len(counts))
    even = 100 * total / len(counts) / most
    return "\n".join(
        f'<button type="button" aria-pressed="false"><b class="e{expert}">{expert}</b>'
        f'<span class="bar"><span style="width:{100 * count / most:.1f}%"></span>'
        f'<span class="even" style="left:{even:.1f}%"></span></span>'
        f'<span class="share">{count / total:.1%}</span><span class="count">{count}</span></button>'
        for expert, count in enumerate(counts)
    )


def _lines(one: _Routed) -> Iterator[str]:
    """The cells of all bytes, line by line; a newline ends its line."""
    first, kept = one.expert_ids[0, :, 0], one.kept[0, :, 0]
    line: list[str] = []
    shown = glyphs(one.text)
    for start, end in _unbroken(shown):
        cells = [_cell(shown[t], int(first[t]), bool(kept[t])) for t in range(start, end)]
        line.append(cells[0] if len(cells) == 1 else f"<span>{''.join(cells)}</span>")
        if shown[start] == "\n":
            yield f'<div class="line">{"".join(line)}</div>\n'
            line = []
    if line:
        yield f'<div class="line">{"".join(line)}</div>\n'


def _unbroken(shown: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Ranges of bytes that stay on one line: a word in ASCII, or the bytes of one character."""
    start = 0
    for t in range(1, len(shown) + 1):
        together = t < len(shown) and (
            shown[t] is None
            or (_inks(shown[t - 1]) and _inks(shown[t]) and t - start < _LONGEST_WORD)
        )
        if not together:
            yield start, t
            start = t


def _inks(glyph: str | None) -> bool:
    """True for the printable ASCII characters but the space."""
    return glyph is not None and len(glyph) == 1 and "!" <= glyph <= "~"


_QUIET = {" ": "sp", "\n": "nl", "\t": "tab"}


def _cell(glyph: str | None, expert: int, kept: bool) -> str:
    """One byte: its class says the expert, and what kind of cell it is."""
    kind, shown = "", glyph or ""
    if glyph is None:
        kind = " more"
    elif glyph in _QUIET:
        kind, shown = f" {_QUIET[glyph]}", "" if glyph == "\n" else glyph
    elif len(glyph) > 1 or not glyph.isprintable():
        kind, shown = " hex", glyph if len(glyph) > 1 else f"{ord(glyph):02X}"
    drop = "" if kept else " drop"
    return f'<i class="e{expert}{kind}{drop}">{html.escape(shown, quote=False)}</i>'


def _height(routed: Sequence[_Routed], n_experts: int) -> int:
    """Pixels for a frame: the longest text at about 70 bytes a line, within sensible bounds."""
    lines = max(sum(len(line) // 70 + 1 for line in one.text.split(b"\n")) for one in routed)
    rows = max(one.expert_ids.shape[2] for one in routed)
    aside = 130 + 24 * rows + 27 * min(n_experts, _WIDE_LEGEND)
    line_height = 27 if n_experts <= _HUES else 37  # with numbers below the cells
    return int(min(820, max(190 + line_height * lines, 190 + aside)))


def _document(title: str, body: str, css: str = "") -> str:
    """A complete document that may load nothing from anywhere."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-src 'self'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_BASE_CSS}{css}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _heading(heading: str) -> str:
    return f"\n<h2>{html.escape(heading)}</h2>" if heading else ""


def expert_style(expert: int) -> tuple[str, str, str]:
    """The colours one expert's cells are drawn with.

    Args:
        expert: the expert's number, from 0.

    Returns:
        Ground, colour of the pattern on it (the ground again below 8), and ink; ink reads with a
        contrast of at least 4.5 on both. `expert_style(0) == ("#E69F00", "#E69F00", "#000000")`.
    """
    ground = expert_color(expert)
    ink = ink_on(ground)
    if expert < _HUES:
        return ground, ground, ink
    away = "#FFFFFF" if ink == "#000000" else "#000000"  # away from the ink: contrast only grows
    tint = mix(ground, away, 0.55) if ground != away else "#595959"
    return ground, tint, ink


# Patterns of the experts 8..15, 16..23 and so on; TINT stands for the pattern's colour.
_PATTERNS = (
    "repeating-linear-gradient(135deg,TINT 0 3px,transparent 3px 7px)",
    "repeating-linear-gradient(0deg,TINT 0 2px,transparent 2px 5px)",
    "repeating-linear-gradient(90deg,TINT 0 2px,transparent 2px 5px)",
    "radial-gradient(circle,TINT 1.4px,transparent 1.6px) 0 0/5px 5px",
    "repeating-linear-gradient(45deg,TINT 0 2px,transparent 2px 4px)",
    "linear-gradient(TINT,TINT) bottom/100% 40% no-repeat",
    "linear-gradient(TINT,TINT) top/100% 40% no-repeat",
)


def _expert_css(n_experts: int) -> str:
    """One rule per expert: ground, pattern, ink, and the number that can be shown below."""
    rules = []
    for expert in range(n_experts):
        ground, tint, ink = expert_style(expert)
        turn = expert // _HUES
        pattern = _PATTERNS[(turn - 1) % len(_PATTERNS)].replace("TINT", tint) + " " if turn else ""
        rules.append(
            f".moe-view .e{expert}{{--c:{ground};background:{pattern}{ground};color:{ink}}}"
            f'.moe-view.numbers i.e{expert}::after{{content:"{expert}"}}'
        )
    return "\n".join(rules)


_COLORS_CSS = """
--ground:#fff;--raised:#f6f7f9;--ink:#1b1f24;--muted:#59636e;--line:#d5dbe1;--strong:#3d4752;
"""
_DARK_CSS = """
--ground:#14171b;--raised:#1d2127;--ink:#e8eaed;--muted:#a3adb8;--line:#353c45;--strong:#c3cad2;
"""

_BASE_CSS = f"""
:root{{color-scheme:light dark;{_COLORS_CSS}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK_CSS}}}}}
*{{box-sizing:border-box}}
body{{margin:0;padding:14px;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}}
"""

_PAGE_CSS = """
body{padding:0 20px}
main{max-width:1040px;margin:0 auto;padding:40px 0 72px}
h1{font-size:2rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .4em;max-width:26em}
main>section{margin-top:44px}
main>section>h2{font-size:1.3rem;line-height:1.3;margin:0 0 .5em;padding-top:18px;
border-top:1px solid var(--line)}
main>section>p,main>section>ul,main>section>ol{max-width:44em;margin:.6em 0}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.88em}
pre{background:var(--raised);border:1px solid var(--line);border-radius:8px;padding:12px 16px;
overflow-x:auto;line-height:1.45}
table{border-collapse:collapse;font-size:.94rem;margin:1em 0;display:block;max-width:100%;
overflow-x:auto}
th,td{padding:.42em .95em .42em 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--muted);border-bottom-color:var(--strong)}
figure{margin:1.3em 0}
figure img{display:block;max-width:100%;height:auto;background:#fff;border-radius:8px;
border:1px solid var(--line)}
figcaption{color:var(--muted);font-size:.92rem;margin-top:.5em;max-width:46em}
a{color:inherit}
@media print{main{padding:0}main>section{break-inside:avoid}}
"""

_VIEW_CSS = (
    f"""
.moe-view{{{_COLORS_CSS}
color:var(--ink);background:var(--ground);line-height:1.5;font-size:15px;text-align:left}}
@media (prefers-color-scheme:dark){{.moe-view{{{_DARK_CSS}}}}}
"""
    + """
.moe-view,.moe-view *{box-sizing:border-box}
.moe-view [hidden]{display:none!important}
.moe-view h2{font-size:1.15rem;line-height:1.3;margin:0 0 .6em;padding:0;border:0}
.moe-view h3{font-size:.95rem;margin:1.4em 0 .2em}
.moe-view.live h3{display:none}
.moe-view p{margin:0}
.moe-view .controls{display:flex;flex-wrap:wrap;gap:10px 22px;align-items:center;
padding:9px 12px;background:var(--raised);border:1px solid var(--line);border-radius:10px}
.moe-view button{font:inherit;color:inherit;background:none;border:0;cursor:pointer;margin:0}
.moe-view .tabs{display:inline-flex;border:1px solid var(--line);border-radius:7px;
background:var(--ground);overflow:hidden}
.moe-view .tabs button{padding:4px 13px}
.moe-view .tabs button+button{border-left:1px solid var(--line)}
.moe-view .tabs button[aria-pressed=true]{background:var(--strong);color:var(--ground)}
.moe-view label{display:inline-flex;align-items:center;gap:9px;cursor:pointer}
.moe-view .layer input{width:150px;margin:0;accent-color:var(--strong)}
.moe-view .layer output{min-width:7em;font-variant-numeric:tabular-nums}
.moe-view .toggle input{margin:0;accent-color:var(--strong)}
.moe-view :focus-visible{outline:3px solid #2f81f7;outline-offset:1px}
.moe-view .say{color:var(--muted);font-size:.92em;margin:9px 2px 11px;min-height:1.5em}
.moe-view .columns{display:grid;grid-template-columns:minmax(0,1fr) 264px;gap:22px;
align-items:start}
.moe-view aside{position:sticky;top:12px;font-size:.88em}
.moe-view .text{font:15px/1.3 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",
"Noto Sans Mono CJK SC","PingFang SC","Microsoft YaHei",monospace}
.moe-view .line{margin-bottom:2px}
.moe-view .line>span{white-space:nowrap}
.moe-view .text i{display:inline-block;font-style:normal;white-space:pre;min-width:10px;
height:22px;line-height:22px;margin:0 1px 3px 0;padding:0 .5px;border-radius:3px;
text-align:center;vertical-align:top;cursor:default;outline-offset:0;tab-size:1}
.moe-view .text .more{min-width:5px;width:5px;margin-left:-1px;border-radius:0 3px 3px 0;
height:16px;margin-top:3px}
.moe-view .text .hex{font-size:9.5px;padding:0 2px}
.moe-view .text .sp,.moe-view .text .nl,.moe-view .text .tab{
background-clip:padding-box;border-top:14px solid transparent;border-radius:0;
line-height:8px;position:relative}
.moe-view .text .nl{min-width:15px}
.moe-view .text .tab{min-width:21px}
.moe-view .text .nl::before,.moe-view .text .tab::before{position:absolute;left:0;right:0;
top:-15px;line-height:14px;font-size:.85em;color:var(--muted)}
.moe-view .text .nl::before{content:"↵"}
.moe-view .text .tab::before{content:"→"}
.moe-view.numbers .text i{height:33px;padding:0 1.5px}
.moe-view.numbers .text .more{height:33px;margin-top:0;width:auto;min-width:9px}
.moe-view.numbers .text i::after{display:block;font:600 10px/10px ui-sans-serif,system-ui,
sans-serif;text-decoration:none}
.moe-view.numbers .text .more::after{margin-top:22px}
.moe-view.numbers .text .sp,.moe-view.numbers .text .nl,.moe-view.numbers .text .tab{
border-top-width:19px;line-height:0}
.moe-view.numbers .text .sp::after,.moe-view.numbers .text .tab::after{margin-top:2px}
.moe-view.numbers .text .nl::after{margin-top:2px}
.moe-view.numbers .text .nl::before,.moe-view.numbers .text .tab::before{top:-20px;
line-height:19px}
.moe-view .text .drop{background:none;color:var(--ink);outline:1.5px dashed var(--c);
outline-offset:-1.5px}
.moe-view .text .dim{opacity:.16}
.moe-view .text .also{background:none;color:var(--ink);
box-shadow:inset 0 0 0 2px var(--held,#888);background-clip:border-box}
.moe-view .text .here{outline:2.5px solid var(--ink);outline-offset:1px;position:relative;
z-index:1}
.moe-view .panel{padding:11px 13px;background:var(--raised);border:1px solid var(--line);
border-radius:10px;margin-bottom:13px}
.moe-view .panel .hint{color:var(--muted)}
.moe-view .panel .head{display:flex;gap:12px;align-items:center;margin-bottom:8px;
line-height:1.35}
.moe-view .panel .glyph{font-size:1.75em;line-height:1;min-width:1.5em;padding:.2em .15em;
text-align:center;background:var(--ground);border:1px solid var(--line);border-radius:7px}
.moe-view .panel .head small{display:block;color:var(--muted);font-size:.93em}
.moe-view .chip{min-width:2.2em;padding:.4em;text-align:center;font-weight:600;border-radius:7px}
.moe-view .row,.moe-view .legend button{display:grid;align-items:center;gap:9px;width:100%;
grid-template-columns:30px 1fr auto;font-variant-numeric:tabular-nums}
.moe-view .row{margin-top:4px}
.moe-view aside b{font-weight:600;text-align:center;border-radius:4px;line-height:1.45;
font-size:.95em}
.moe-view .bar{position:relative;height:8px;background:var(--line);border-radius:4px}
.moe-view .bar span:first-child{display:block;height:100%;background:var(--strong);
border-radius:4px}
.moe-view .bar .even{position:absolute;top:-4px;bottom:-4px;
border-left:2px dashed var(--muted)}
.moe-view .legend>p{color:var(--muted);margin:0 0 4px;padding:0 5px}
.moe-view .tick-note{float:right;font-size:.93em}
.moe-view .legend button{grid-template-columns:30px 1fr 3.6em 2.9em;padding:2.5px 5px;
border-radius:6px;text-align:right}
.moe-view .legend .count{color:var(--muted)}
.moe-view .legend button:hover,.moe-view .legend button[aria-pressed=true]{
background:var(--raised);box-shadow:0 0 0 1px var(--line)}
.moe-view .legend button[aria-pressed=true]{box-shadow:0 0 0 2px var(--strong)}
.moe-view .many{max-height:460px;overflow:auto;padding:2px}
.moe-view .many button{padding:1px 5px}
@media (prefers-color-scheme:dark){.moe-view .e7,.moe-view .e15,.moe-view .e23,
.moe-view .e31{box-shadow:inset 0 0 0 1px #8b949e;outline-color:#8b949e}}
@media (max-width:700px){.moe-view .columns{grid-template-columns:minmax(0,1fr)}
.moe-view aside{position:static}}
@media print{.moe-view .controls,.moe-view .panel{display:none}
.moe-view i,.moe-view b{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
)

_SCRIPT = r"""
(function () {
  "use strict";
  const own = document.currentScript;
  const root = own ? own.closest(".moe-view") : document.getElementById("VIEW_ID");
  const all = (selector, within) => Array.from((within || root).querySelectorAll(selector));
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const boxes = all(".sample"), tabs = all(".tabs button");
  const slider = root.querySelector("input[type=range]");
  const toggle = root.querySelector("input[type=checkbox]");
  const cells = boxes.map(box => all(".text i", box));
  const kinds = cells.map(list => list.map(cell => cell.className.replace(/^e\d+| drop$/g, "")));
  const drops = data.samples.map(one => one.dropped.map(list => new Set(list)));
  const legends = boxes.map(box => all(".legend button", box));
  const panels = boxes.map(box => box.querySelector(".panel"));
  const here = boxes.map(() => null);  // the token that keyboard or click chose, per text
  const names = {sp: "space", nl: "newline", tab: "tab", hex: "not a printed character"};
  let sample = 0, layer = 0, held = null, pinned = null;

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function put(node, text) { if (node.textContent !== text) node.textContent = text; }
  function clamp(value, low, high) { return Math.min(high, Math.max(low, value)); }
  const percent = part => (100 * part).toFixed(1) + "%";

  function choices(token) {
    const one = data.samples[sample], k = data.top_k[sample], found = [];
    for (let at = token * k; at < (token + 1) * k; at++)
      found.push({expert: one.ids[layer][at], weight: one.thousandths[layer][at] / 1000,
                  dropped: drops[sample][layer].has(at)});
    return found;
  }

  function paint() {
    const one = data.samples[sample], k = data.top_k[sample], ids = one.ids[layer];
    boxes.forEach((box, i) => { box.hidden = i !== sample; });
    tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === sample)));
    slider.value = layer + 1;
    slider.setAttribute("aria-valuetext", data.layers[layer]);
    put(root.querySelector("output"), data.layers[layer]);
    put(boxes[sample].querySelector(".say"), one.say[layer]);
    cells[sample].forEach((cell, t) => {
      let name = "e" + ids[t * k] + kinds[sample][t];
      if (drops[sample][layer].has(t * k)) name += " drop";
      if (held !== null) {
        const rank = ids.slice(t * k, t * k + k).indexOf(held);
        if (rank) name += rank > 0 ? " also" : " dim";
      }
      if (t === here[sample]) name += " here";
      if (cell.className !== name) cell.className = name;
    });
    paintLegend(one.counts[layer]);
    if (here[sample] !== null) label(here[sample]);
    show(here[sample]);
  }

  function paintLegend(counts) {
    const total = counts.reduce((a, b) => a + b, 0);
    const most = Math.max(2 * total / counts.length, ...counts);
    legends[sample].forEach((button, e) => {
      button.querySelector(".bar span").style.width = (100 * counts[e] / most).toFixed(1) + "%";
      button.querySelector(".even").style.left =
        (100 * total / counts.length / most).toFixed(1) + "%";
      put(button.querySelector(".share"), percent(counts[e] / total));
      put(button.querySelector(".count"), String(counts[e]));
      button.setAttribute("aria-pressed", String(e === pinned));
      button.setAttribute("aria-label", "expert " + e + ": " + percent(counts[e] / total) +
        " of the assignments, " + counts[e] + " of " + total);
    });
  }

  function character(token) {  // where the character of a byte starts, how long it is, its glyph
    const more = t => t < kinds[sample].length && kinds[sample][t].includes("more");
    let start = token, end = token + 1;
    while (more(start)) start--;
    while (more(end)) end++;
    const kind = kinds[sample][start].trim(), text = cells[sample][start].textContent;
    return {start, kind, size: end - start, glyph: {sp: "␣", nl: "↵", tab: "→"}[kind] || text};
  }

  function describe(token) {
    const value = parseInt(data.samples[sample].bytes.slice(2 * token, 2 * token + 2), 16);
    const char = character(token), hex = value.toString(16).toUpperCase().padStart(2, "0");
    const place = char.size > 1
      ? "byte " + (token - char.start + 1) + " of the " + char.size + " of “" + char.glyph + "”"
      : names[char.kind] || "“" + char.glyph + "”";
    return {char, place, value: "byte value " + value + " (0x" + hex + ")",
            order: "token " + (token + 1) + " of " + cells[sample].length};
  }

  function show(token) {
    const panel = panels[sample];
    if (token === null && held !== null) return panel.replaceChildren(...expertNotes());
    if (token === null)
      return panel.replaceChildren(make("p", "hint",
        "Point at a byte to see its experts and combine weights, or press Tab and use the arrow " +
        "keys. Point at an expert to see its bytes."));
    const about = describe(token), head = make("div", "head"), words = make("div");
    words.append(about.place, make("small", "", about.value), make("small", "", about.order));
    head.append(make("div", "glyph", about.char.glyph), words);
    panel.replaceChildren(head, ...choices(token).map(row));
  }

  function row(choice) {
    const line = make("div", "row"), bar = make("span", "bar"), fill = make("span");
    fill.style.width = (100 * choice.weight / data.full).toFixed(1) + "%";
    bar.append(fill);
    const text = choice.weight.toFixed(3) + (choice.dropped ? " dropped" : "");
    line.append(make("b", "e" + choice.expert, choice.expert), bar, make("span", "value", text));
    return line;
  }

  function expertNotes() {
    const n = cells[sample].length, k = data.top_k[sample], ids = data.samples[sample].ids[layer];
    let first = 0, any = 0;
    for (let at = 0; at < ids.length; at++)
      if (ids[at] === held) { any++; if (at % k === 0) first++; }
    const head = make("div", "head"), words = make("div");
    words.append("chosen for " + any + " of " + n + " tokens",
      make("small", "", "filled: largest weight (" + first + ")"),
      make("small", "", "outlined: smaller weight (" + (any - first) + ")"));
    head.append(make("div", "chip e" + held, held), words);
    return [head];
  }

  function hold(expert) {
    if (expert === held) return;
    held = expert;
    const chip = held === null ? null : legends[sample][held].querySelector("b");
    const color = chip ? getComputedStyle(chip).getPropertyValue("--c") : "";
    root.style.setProperty("--held", color);
    paint();
    if (held !== null) show(null);
  }

  function label(token) {  // what a screen reader says of the token that has the focus
    const about = describe(token);
    cells[sample][token].setAttribute("aria-label", about.place + ", " + about.value + ", " +
      data.layers[layer] + ": " + choices(token).map(choice => "expert " + choice.expert +
        " weight " + choice.weight.toFixed(3) + (choice.dropped ? " dropped" : "")).join(", "));
  }

  function choose(token, focus) {
    const list = cells[sample], before = here[sample];
    token = clamp(token, 0, list.length - 1);
    const old = before === null ? list[0] : list[before];
    old.tabIndex = -1;
    old.setAttribute("aria-selected", "false");
    old.classList.remove("here");
    here[sample] = token;
    const cell = list[token];
    cell.tabIndex = 0;
    cell.setAttribute("aria-selected", "true");
    cell.classList.add("here");
    label(token);
    if (focus) cell.focus();
    show(token);
  }

  function beside(token, down) {  // the token above or below: nearest middle in the next row
    const list = cells[sample], at = list[token].getBoundingClientRect();
    const middle = at.left + at.width / 2;
    let best = token, row = null, distance = Infinity;
    for (let t = token + down; t >= 0 && t < list.length; t += down) {
      const box = list[t].getBoundingClientRect();
      if (Math.abs(box.bottom - at.bottom) < 8) continue;
      if (row === null) row = box.bottom;
      if (Math.abs(box.bottom - row) > 8) break;
      const away = Math.abs(box.left + box.width / 2 - middle);
      if (away < distance) { distance = away; best = t; }
    }
    return best;
  }

  function arrows(event) {
    const token = here[sample] === null ? 0 : here[sample];
    const moves = {ArrowRight: () => token + 1, ArrowLeft: () => token - 1, Home: () => 0,
                   ArrowDown: () => beside(token, 1), ArrowUp: () => beside(token, -1),
                   End: () => cells[sample].length - 1};
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(moves[event.key](), true);
  }

  function openLink() {  // #sample=1&layer=2&token=5&expert=3&numbers=1
    const link = new URLSearchParams(location.hash.slice(1));
    const asked = (name, most) => clamp(Math.trunc(Number(link.get(name))) || 1, 1, most) - 1;
    if (link.has("sample")) sample = asked("sample", boxes.length);
    if (link.has("layer")) layer = asked("layer", data.layers.length);
    if (link.has("numbers")) toggle.checked = link.get("numbers") !== "0";
    root.classList.toggle("numbers", toggle.checked);
    paint();
    if (link.has("token")) choose(asked("token", cells[sample].length), false);
    if (link.has("expert")) {
      pinned = clamp(Math.trunc(Number(link.get("expert"))) || 0, 0, data.experts - 1);
      hold(pinned);
    }
  }

  boxes.forEach((box, s) => {
    const text = box.querySelector(".text"), list = cells[s], place = new Map();
    list.forEach((cell, t) => {
      place.set(cell, t);
      cell.setAttribute("role", "option");
      cell.tabIndex = t ? -1 : 0;
    });
    const hit = event => place.get(event.target.closest("i"));
    text.addEventListener("pointerover", event => {
      if (hit(event) !== undefined) show(hit(event));
    });
    text.addEventListener("pointerleave", () => show(here[s]));
    text.addEventListener("click", event => {
      if (hit(event) !== undefined) choose(hit(event), true);
    });
    text.addEventListener("focusin", event => {
      if (hit(event) !== undefined && hit(event) !== here[s]) choose(hit(event), false);
    });
    text.addEventListener("keydown", arrows);
    legends[s].forEach((button, e) => {
      const back = () => hold(pinned);
      button.addEventListener("pointerenter", () => hold(e));
      button.addEventListener("focus", () => hold(e));
      button.addEventListener("pointerleave", back);
      button.addEventListener("blur", back);
      button.addEventListener("click", () => {
        pinned = pinned === e ? null : e;
        hold(pinned);
        paintLegend(data.samples[sample].counts[layer]);
      });
    });
    panels[s].hidden = false;
  });
  root.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    pinned = null;
    hold(null);
  });
  slider.addEventListener("input", () => { layer = slider.value - 1; paint(); });
  toggle.addEventListener("change", () => root.classList.toggle("numbers", toggle.checked));
  tabs.forEach((tab, s) => tab.addEventListener("click", () => {
    pinned = null;
    held = null;
    sample = s;
    paint();
  }));
  window.addEventListener("hashchange", openLink);
  slider.hidden = data.layers.length < 2;
  root.querySelector(".tabs").hidden = boxes.length < 2;
  root.querySelector(".controls").hidden = false;
  root.classList.add("live");
  openLink();
})();
"""
