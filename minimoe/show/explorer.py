"""Which expert did each byte of a text go to? One self-contained HTML view, and a report page.

The style and the script of the view stand in explorer.css and explorer.js beside this file.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from minimoe.config import InputError
from minimoe.files import write_file
from minimoe.show import EXPERT_COLORS, expert_color, ink_on, mix

_HERE = Path(__file__).parent
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
        margin: [n_layers, T], how far the last chosen expert stood above the first not chosen;
            infinite where every expert is chosen; None: not shown.
    """

    title: str
    text: bytes
    expert_ids: ArrayLike
    weights: ArrayLike
    kept: ArrayLike | None = None
    margin: ArrayLike | None = None


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
    samples: Sequence[Sample] | Mapping[str, Sequence[Sample]],
    *,
    n_experts: int,
    title: str,
    layer_names: Sequence[str] | None = None,
) -> RoutingView:
    """Colour texts by the expert with the largest combine weight, layer by layer.

    The search field takes `3.5` or `layer 3 expert 5` and lists the tokens that expert 5 of layer 3
    reads, in context. Layers, texts and tokens are counted from 1, experts from 0. Adding
    `#layer=2` to the address opens layer 2; `sample`, `token`, `expert`, `find` and `numbers` work
    too (`#sample=1&token=5&find=3.5&numbers=1`).

    Args:
        samples: one or more texts with the same number of layers; or for the name of each of
            several models what it made of the same texts: then the models stand side by side.
        n_experts: routed experts per layer, at least 1.
        title: the heading of the view.
        layer_names: one name per MoE layer; None: layers are only counted.

    Returns:
        A view; the same input gives the same bytes.

    Raises:
        InputError: when the shapes of a sample disagree, an expert is not in [0, n_experts), or
            two models did not read the same texts.
    """
    by_model = samples if isinstance(samples, Mapping) else {"": samples}
    if not by_model or not all(by_model.values()):
        raise InputError("samples must hold at least 1 text, got 0")
    _same_texts(by_model)
    # The models of the first text, then those of the second.
    texts = zip(*by_model.values(), strict=True)
    routed = [_checked(sample, n_experts) for beside in texts for sample in beside]
    n_layers = _common_layers(routed, layer_names)
    payload = _payload(routed, list(by_model), n_layers, n_experts, layer_names)
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
    margin: Float[np.ndarray, "n_layers T"] | None


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
    margin = None if sample.margin is None else _numpy(sample.margin).astype(np.float64)
    if margin is not None and (margin.shape != ids.shape[:2] or np.isnan(margin).any()):
        raise InputError(
            f"{name}: margin must hold one number per layer and token {ids.shape[:2]}, got "
            f"{int(np.isnan(margin).sum())} NaN in shape {margin.shape}"
        )
    order = np.argsort(-weights, axis=-1, kind="stable")
    ids, weights, kept = (np.take_along_axis(a, order, -1) for a in (ids, weights, kept))
    return _Routed(sample.title, sample.text, ids.astype(np.int64), weights, kept, margin)


def _same_texts(by_model: Mapping[str, Sequence[Sample]]) -> None:
    texts = {name: [(one.title, one.text) for one in given] for name, given in by_model.items()}
    (first, expected), *others = texts.items()
    for name, found in others:
        if found != expected:
            raise InputError(
                f"models side by side must have read the same texts: {first!r} has "
                f"{len(expected)} with {sum(len(text) for _, text in expected)} bytes, {name!r} "
                f"{len(found)} with {sum(len(text) for _, text in found)}"
            )


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
    routed: Sequence[_Routed],
    models: Sequence[str],
    n_layers: int,
    n_experts: int,
    layer_names: Sequence[str] | None,
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
        "models": list(models),
        "top_k": [one.expert_ids.shape[2] for one in routed],
        "full": max(1.0, *(round(float(one.weights.max()), 3) for one in routed)),
        "samples": [_sample_payload(one, counted, n_experts) for one in routed],
    }


def _sample_payload(one: _Routed, layers: Sequence[str], n_experts: int) -> dict[str, Any]:
    counts = [np.bincount(ids.ravel(), minlength=n_experts) for ids in one.expert_ids]
    margins = None if one.margin is None else [list(map(_thousandths, m)) for m in one.margin]
    return {
        "bytes": one.text.hex(),
        "ids": [ids.ravel().tolist() for ids in one.expert_ids],
        "thousandths": [
            np.rint(weights.ravel() * 1000).astype(int).tolist() for weights in one.weights
        ],
        "margins": margins,
        "dropped": [np.flatnonzero(~kept).tolist() for kept in one.kept],
        "counts": [count.tolist() for count in counts],
        "say": [
            _sentence(name, count, int((~kept).sum()))
            for name, count, kept in zip(layers, counts, one.kept, strict=True)
        ],
    }


def _thousandths(value: float) -> int | None:
    return round(float(value) * 1000) if np.isfinite(value) else None


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
    models, layers = payload["models"], payload["layers"]
    panes = [
        _pane(one, sample, model=models[i % len(models)], n_experts=n_experts)
        for i, (one, sample) in enumerate(zip(routed, payload["samples"], strict=True))
    ]
    texts = range(0, len(routed), len(models))
    drawn = (_sample_html(routed[i].title, panes[i : i + len(models)]) for i in texts)
    numbers = " numbers" if n_experts > _HUES else ""
    return f"""<section class="moe-view{numbers}" id="{name}" aria-label="{html.escape(title)}">
<style>{_VIEW_CSS}{_expert_css(n_experts)}</style>
<h2>{html.escape(title)}</h2>
<div class="controls" hidden>
<div class="tabs" role="group" aria-label="text">{_tabs([routed[i].title for i in texts])}</div>
<label class="layer"><input type="range" min="1" max="{len(layers)}" value="1" \
aria-label="layer"><output>{html.escape(layers[0])}</output></label>
<label class="toggle"><input type="checkbox"{" checked" if numbers else ""}> numbers</label>
<label class="find">find expert <input type="search" spellcheck="false" autocomplete="off" \
aria-label="find an expert: layer.expert" placeholder="layer.expert"></label>
<details class="help"><summary>keys</summary>{_KEYS}</details>
<p class="note" role="status"></p>
</div>
{"".join(drawn)}
<script type="application/json">{data}</script>
<script>{_SCRIPT.replace("VIEW_ID", name)}</script>
</section>"""


_KEYS = """<dl>
<dt>Tab</dt><dd>to the next control, text or expert</dd>
<dt>← → ↑ ↓ Home End</dt><dd>another byte of the text</dd>
<dt>[ ]</dt><dd>the layer before, the layer after</dd>
<dt>t</dt><dd>the next text</dd>
<dt>n</dt><dd>numbers on and off</dd>
<dt>/</dt><dd>find an expert: 3.5, or layer 3 expert 5, or 5 for this layer</dd>
<dt>Enter</dt><dd>the next byte found; with Shift the one before</dd>
<dt>Esc</dt><dd>let go of the expert</dd>
<dt>?</dt><dd>these keys</dd>
</dl>"""


def _tabs(titles: Sequence[str]) -> str:
    return "".join(
        f'<button type="button" aria-pressed="{"false" if i else "true"}">'
        f"{html.escape(title)}</button>"
        for i, title in enumerate(titles)
    )


def _sample_html(title: str, panes: Sequence[str]) -> str:
    """One text, read by one model or by several side by side."""
    beside = " beside" if len(panes) > 1 else ""
    return f"""<div class="sample">
<h3>{html.escape(title)}</h3>
<div class="panes{beside}">{"".join(panes)}</div>
</div>
"""


def _pane(one: _Routed, sample: dict[str, Any], *, model: str, n_experts: int) -> str:
    """A text with its first layer's colours, its legend, and an empty panel."""
    wide = " many" if n_experts > _WIDE_LEGEND else ""
    rows = one.expert_ids.shape[2] + (one.margin is not None)
    by = f" by {html.escape(model)}" if model else ""
    heading = f"<h4>{html.escape(model)}</h4>\n" if model else ""
    return f"""<div class="pane" role="group" aria-label="{html.escape(one.title)}{by}">
{heading}<p class="say" aria-live="polite">{sample["say"][0]}</p>
<div class="columns">
<div class="text" role="listbox" aria-label="bytes of {html.escape(one.title)}, one token each">
{"".join(_lines(one))}</div>
<aside>
<div class="panel" style="min-height:{max(11.1, 5.9 + 1.55 * rows):.1f}em" hidden></div>
<div class="legend{wide}" role="group" aria-label="experts and their load">
<p>load<span class="tick-note">dashed: even share, 1/{n_experts}</span></p>
{_legend(sample["counts"][0])}</div>
</aside>
</div>
<div class="found" role="group" aria-label="tokens of one expert" hidden></div>
<details class="tops" hidden><summary>Top tokens of each expert</summary></details>
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

_VIEW_CSS = f"""
.moe-view{{{_COLORS_CSS}
color:var(--ink);background:var(--ground);line-height:1.5;font-size:15px;text-align:left}}
@media (prefers-color-scheme:dark){{.moe-view{{{_DARK_CSS}}}}}
""" + _HERE.joinpath("explorer.css").read_text(encoding="utf-8")
_SCRIPT = _HERE.joinpath("explorer.js").read_text(encoding="utf-8")
