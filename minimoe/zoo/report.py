"""Counts of models as text: a few models side by side, or many in a list."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

from minimoe.show.tables import MISSING, si, text_table
from minimoe.zoo.counting import ACTIVE, CACHE_BITS, WEIGHT_BITS, ModelCount
from minimoe.zoo.published import Comparison, NamedCount

WIDTH = 100  # columns of a terminal
whole = "{:,}".format
BESIDE = 4  # models that fit beside each other in it
BRIEFLY = {
    "with_embeddings": "all",
    "without_input_embedding": "no input",
    "without_embeddings": "no emb.",
    "without_embeddings_with_mtp": "no emb.+MTP",
}
BESIDE_IT = ("  what it counts", "  our count of these", "  differs", "  within its rounding")
LEGEND = (
    "What a published figure counts: all parameters; no input = without the input embedding; "
    "no emb. = also without the output head; +MTP = with the layer that predicts the token after "
    "the next."
)


def short(n: int) -> str:
    """Write a number of parameters like published figures: two decimals and M or B, three and T.

    `short(671_026_404_352) == "671.03B"`, `short(1_572_997_179_491) == "1.573T"`,
    `short(4_096) == "4,096"`.
    """
    if n < 10**6:
        return whole(n)
    if n >= 10**12:
        return f"{n / 10**12:.3f}T"
    return f"{n / 10**9:.2f}B" if n >= 10**9 else f"{n / 10**6:.2f}M"


def percent(share: float) -> str:
    """Write a difference as a signed percentage; `percent(0.0187) == "+1.87 %"`."""
    return f"{100 * share:+.2f} %"


def count_table(counts: Sequence[NamedCount]) -> str:
    """Show every number that was counted, one column a model; 1 to 4 fit into 100 columns.

    Under the table stand the explanations and notes of the published models.
    """
    models = [named.count for named in counts]
    rows: list[list[str]] = []

    def row(name: str, values: Iterable[str] | None = None) -> None:
        rows.append([name, *(values or [""] * len(models))])

    row("total parameters", [whole(model.total) for model in models])
    row("active parameters")
    for kind in ACTIVE:
        name = kind.replace("_", " ").replace("input embedding", "input emb.")
        row(f"  {name}", [whole(model.active_parameters[kind]) for model in models])
    row("where they are")
    for place in models[0].parameters_by_place:
        values = [model.parameters_by_place[place] for model in models]
        if any(values):
            row(f"  {place.replace('_', ' ')}", map(whole, values))
    row("KV cache of one token")
    cached = [(m.cache_elements_per_token, m.cache_bytes_per_token) for m in models]
    row("  elements", [MISSING if n is None else whole(n) for n, _ in cached])
    row(f"  at {CACHE_BITS} bits", [MISSING if n is None else si(n, "B") for _, n in cached])
    row("FLOPs of one token")
    row("  positions of the text", [whole(model.length) for model in models])
    row("  forward", [_flops(model, model.flops_per_token) for model in models])
    row("  forward and backward", [_flops(m, m.training_flops_per_token) for m in models])
    row("memory of the weights")
    for bits in WEIGHT_BITS:
        row(f"  at {bits} bits", [si(model.weight_bytes[bits], "B") for model in models])
    legend = []
    if any(named.published for named in counts):
        legend = [_fill(LEGEND)]
        for name, comparisons in (
            ("total", [named.total for named in counts]),
            ("active", [named.active for named in counts]),
        ):
            titles = (f"published: {name}", *BESIDE_IT)
            rows += map(list, zip(titles, *map(_beside, comparisons), strict=True))
    names = [_cut(named.name, 24) for named in counts]
    table = text_table(["", *names], rows, align="l" + "r" * len(counts))
    return "\n\n".join([table, *legend, *filter(None, map(_remarks, counts))])


def count_list(counts: Sequence[NamedCount]) -> str:
    """Show many models, one line each, with their authors' figures, in at most 100 columns.

    Under the table stands an explanation for every figure that the count disagrees with.
    """
    headers = ["model", "total", "published", "differs", "active", "published", "counts",
               "differs", "agrees"]  # fmt: skip
    rows = []
    for named in counts:
        total, active, count = named.total, named.active, named.count
        star = "*" if total and total.counted != count.total else " "
        counted = short(total.counted if total else count.total)
        used = short(active.counted if active else count.active_parameters["with_embeddings"])
        printed, _, _, differs, _ = _beside(total)
        row = [_cut(named.name, 18), counted + star, printed, differs, used]
        printed, convention, _, differs, _ = _beside(active)
        rows.append([*row, printed, convention if active else "all", differs, _verdict(named)])
    parts = [text_table(headers, rows, align="lrrrrrlrl"), _fill(LEGEND)]
    published = [named for named in counts if named.published]
    if any(row[1].endswith("*") for row in rows):
        parts.append("* as its authors count: no emb.+MTP")
    if published:
        parts.append(_agreement(published))
    explained = [
        _fill(f"{named.name}: {named.published.explanation}", hanging=True)
        for named in published
        if named.published and named.published.explanation
    ]
    return "\n\n".join([*parts, *(["\n".join(explained)] if explained else [])])


def _agreement(published: Sequence[NamedCount]) -> str:
    totals = [named.total for named in published if named.total]
    actives = [named.active for named in published if named.active]
    wholly = sum(named.agrees for named in published)
    equal = sum(named.equals_stored_count for named in published)
    return (
        f"Within the rounding of the published figure: {sum(c.agrees for c in totals)} of "
        f"{len(totals)} totals, {sum(c.agrees for c in actives)} of {len(actives)} active\n"
        f"figures; all figures of {wholly} of {len(published)} models.\n{equal} of "
        f"{len(published)} counts equal the stored ones, which were made in another way, to the "
        "parameter."
    )


def _verdict(named: NamedCount) -> str:
    if named.published is None:
        return MISSING
    pairs = (("total", named.total), ("active", named.active))
    wrong = [name for name, comparison in pairs if comparison and not comparison.agrees]
    return f"no: {'both' if len(wrong) > 1 else wrong[0]}" if wrong else "yes"


def _beside(comparison: Comparison | None) -> tuple[str, str, str, str, str]:
    """A published figure, what it counts, our count of these, the difference, and whether."""
    if comparison is None:
        return (MISSING,) * 5
    figure = comparison.figure
    return (
        figure.printed,
        BRIEFLY[figure.convention],
        short(comparison.counted),
        percent(comparison.relative_difference),
        "yes" if comparison.agrees else "no",
    )


def _remarks(named: NamedCount) -> str:
    """What a reader should know of one model, wrapped; empty if nothing."""
    model = named.published
    lines = [] if model is None or model.explanation is None else [model.explanation]
    if named.assumptions and model is None:
        assumed = (f"{name}={json.dumps(value)}" for name, value in named.assumptions.items())
        lines.append(f"Assumed for fields that the file lacks: {', '.join(assumed)}.")
    if named.count.flops_not_counted:
        lines.append(f"FLOPs without {named.count.flops_not_counted}.")
    if model is not None:
        lines += [*model.notes, f"Attention: {model.attention}. Context: {model.context}."]
        if model.also:
            lines.append(f"Also printed: {'; '.join(model.also)}.")
        if model.from_memory:
            lines.append(f"From memory, not seen in a source: {'; '.join(model.from_memory)}.")
        lines.append(f"Figures: {model.published_source}.")
        lines.append(f"Configuration: {model.source}.")
    if not lines:
        return ""
    title = model.name if model else named.name
    return "\n".join([title, *(_fill(f"- {line}", hanging=True) for line in lines)])


def _cut(name: str, most: int) -> str:
    """The end of a long name."""
    return name if len(name) <= most else "…" + name[1 - most :]


def _fill(text: str, *, hanging: bool = False) -> str:
    """Wrap to the terminal's width; keep paths whole, and numbers with their percent sign."""
    filled = textwrap.fill(
        text.replace(" %", "\0%"),
        WIDTH,
        subsequent_indent="  " if hanging else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\0%", " %")


def _flops(count: ModelCount, n: int) -> str:
    """With ≥ where the FLOPs of a kind of attention are missing."""
    return ("≥ " if count.flops_not_counted else "") + si(n, "FLOP")
