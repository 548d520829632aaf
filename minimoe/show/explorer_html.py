"""The HTML of a routing view: the first layer is drawn without a script."""

import hashlib
import html
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minimoe.show.colors import EXPERT_COLORS, expert_style
from minimoe.show.sample import Sample, glyphs

_CSS, _SCRIPT = (
    Path(__file__).with_name(f"explorer.{kind}").read_text(encoding="utf-8")
    for kind in ("css", "js")
)
_HUES = len(EXPERT_COLORS)
_WORD = re.compile(r"[!-~]{1,32}|.", re.DOTALL)  # bytes kept on one line, or one character
_WIDE_LEGEND = 16  # experts listed one a line up to here, in a grid beyond
_KEYS = {
    "Tab": "to the next control, text or expert",
    "← → ↑ ↓ Home End": "another byte of the text",
    "[ ]": "the layer before, the layer after",
    "t": "the next text",
    "n": "numbers on and off",
    "/": "find an expert: 3.5, or layer 3 expert 5, or 5 for this layer",
    "Enter": "the next byte found; with Shift the one before",
    "Esc": "let go of the expert",
    "?": "these keys",
}


def view_section(routed: Sequence[Sample], payload: dict[str, Any], title: str) -> str:
    """One section: style, controls, the first layer drawn, the data, the script.

    `routed` has the models of the first text, then those of the second, and so on. `payload` is
    what the script reads.
    """
    data = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # so that no text can close the script element
    seed = json.dumps([title, [one.title for one in routed]]) + data
    name = "moe-" + hashlib.sha256(seed.encode()).hexdigest()[:10]
    models, layers, n_experts = payload["models"], payload["layers"], payload["experts"]
    tabs = "".join(
        f'<button type="button" aria-pressed="{"false" if i else "true"}">'
        f"{html.escape(routed[i].title)}</button>"
        for i in range(0, len(routed), len(models))
    )
    numbers = " numbers" if n_experts > _HUES else ""
    keys = "\n".join(f"<dt>{key}</dt><dd>{does}</dd>" for key, does in _KEYS.items())
    return f"""<section class="moe-view{numbers}" id="{name}" aria-label="{html.escape(title)}">
<style>{_CSS}{_expert_css(n_experts)}</style>
<h2>{html.escape(title)}</h2>
<div class="controls" hidden>
<div class="tabs" role="group" aria-label="text">{tabs}</div>
<label class="layer"><input type="range" min="1" max="{len(layers)}" value="1" \
aria-label="layer"><output>{layers[0]}</output></label>
<label class="toggle"><input type="checkbox"{" checked" if numbers else ""}> numbers</label>
<label class="find">find expert <input type="search" spellcheck="false" autocomplete="off" \
aria-label="find an expert: layer.expert" placeholder="layer.expert"></label>
<details class="help"><summary>keys</summary><dl>
{keys}
</dl></details>
<p class="note" role="status"></p>
</div>
{"".join(_texts(routed, payload))}
<script type="application/json">{data}</script>
<script>{_SCRIPT.replace("VIEW_ID", name)}</script>
</section>"""


def _texts(routed: Sequence[Sample], payload: dict[str, Any]) -> Iterator[str]:
    """Each text, read by one model or by several side by side."""
    models = payload["models"]
    beside = " beside" if len(models) > 1 else ""
    for start in range(0, len(routed), len(models)):
        panes = "".join(
            _pane(routed[i], payload["samples"][i], model, payload["experts"])
            for i, model in enumerate(models, start)
        )
        yield f"""<div class="sample">
<h3>{html.escape(routed[start].title)}</h3>
<div class="panes{beside}">{panes}</div>
</div>
"""


def _pane(one: Sample, sample: dict[str, Any], model: str, n_experts: int) -> str:
    """A text with its first layer's colours, its legend, and an empty panel."""
    wide = " many" if n_experts > _WIDE_LEGEND else ""
    rows = one.expert_ids.shape[2] + 1  # one for the margin
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


def _lines(one: Sample) -> Iterator[str]:
    """The cells of all bytes, line by line; a newline ends its line."""
    first, kept, shown = one.expert_ids[0, :, 0], one.kept[0, :, 0], glyphs(one.text)
    line, start = "", 0
    for word in _WORD.findall(one.text.decode("utf-8", "surrogateescape")):
        end = start + len(word.encode("utf-8", "surrogateescape"))
        cells = [_cell(shown[t], int(first[t]), bool(kept[t])) for t in range(start, end)]
        line += cells[0] if len(cells) == 1 else f"<span>{''.join(cells)}</span>"
        if word == "\n" or end == len(shown):
            yield f'<div class="line">{line}</div>\n'
            line = ""
        start = end


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


# Patterns of the experts 8..15, 16..23 and so on; TINT is replaced by the pattern's colour.
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
