"""The routing view: an HTML section that colours each byte of a text by its expert.

Its style and its script are in explorer.css and explorer.js, its HTML in explorer_html.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minimoe.errors import InputError
from minimoe.show.explorer_html import view_section
from minimoe.show.sample import Sample, checked


def routing_view(
    samples: Sequence[Sample] | Mapping[str, Sequence[Sample]], *, n_experts: int, title: str
) -> str:
    """Colour texts by the expert with the largest combine weight, layer by layer.

    The search field takes `3.5` or `layer 3 expert 5` and lists the tokens that expert 5 of layer 3
    reads, in context. Layers, texts and tokens are counted from 1, experts from 0. Adding
    `#layer=2` to the address opens layer 2; `sample`, `token`, `expert`, `find` and `numbers` work
    too (`#sample=1&token=5&find=3.5&numbers=1`).

    Args:
        samples: one or more texts with the same number of layers; or such texts by model, the same
            texts for each model: then the models are shown side by side.
        n_experts: routed experts per layer, at least 1.
        title: the heading of the view.

    Returns:
        One `<section>` for `page.document`; the same input gives the same text.

    Raises:
        InputError: the arrays of a sample do not fit each other or n_experts, the samples differ in
            their number of layers, or two models did not read the same texts.
    """
    by_model = samples if isinstance(samples, Mapping) else {"": samples}
    if not by_model or not all(by_model.values()):
        raise InputError("samples must hold at least 1 text, got 0")
    _same_texts(by_model)
    # The models of the first text, then those of the second.
    texts = zip(*by_model.values(), strict=True)
    routed = [checked(sample, n_experts) for beside in texts for sample in beside]
    return view_section(routed, _payload(routed, list(by_model), n_experts), title)


def _same_texts(by_model: Mapping[str, Sequence[Sample]]) -> None:
    """Refuse models that did not read the same texts in the same order."""
    read = {name: [(one.title, one.text) for one in given] for name, given in by_model.items()}
    (first, expected), *others = read.items()
    for name, found in others:
        if found != expected:
            sizes = [sum(len(text) for _, text in texts) for texts in (expected, found)]
            raise InputError(
                f"models side by side must have read the same texts: {first!r} read {sizes[0]} "
                f"bytes, {name!r} read {sizes[1]}"
            )


def _payload(routed: Sequence[Sample], models: Sequence[str], n_experts: int) -> dict[str, Any]:
    """All the data of the script; weights in thousandths, K choices by falling weight."""
    n_layers = len(routed[0].expert_ids)
    for one in routed:
        if len(one.expert_ids) != n_layers:
            raise InputError(
                f"samples must have the same number of layers: {routed[0].title!r} has {n_layers}, "
                f"{one.title!r} has {len(one.expert_ids)}"
            )
    return {
        "layers": [f"layer {layer} of {n_layers}" for layer in range(1, n_layers + 1)],
        "experts": n_experts,
        "models": list(models),
        "top_k": [one.expert_ids.shape[2] for one in routed],
        "full": max(1.0, *(round(float(one.weights.max()), 3) for one in routed)),
        "samples": [_sample_payload(one, n_experts) for one in routed],
    }


def _sample_payload(one: Sample, n_experts: int) -> dict[str, Any]:
    counts = [np.bincount(ids.ravel(), minlength=n_experts) for ids in one.expert_ids]
    dropped = [np.flatnonzero(~kept).tolist() for kept in one.kept]
    numbered = enumerate(zip(counts, dropped, strict=True), start=1)
    return {
        "bytes": one.text.hex(),
        "ids": [ids.ravel().tolist() for ids in one.expert_ids],
        "thousandths": [
            np.rint(weights.ravel() * 1000).astype(int).tolist() for weights in one.weights
        ],
        "margins": [list(map(_thousandths, margins)) for margins in one.margin.tolist()],
        "dropped": dropped,
        "counts": [count.tolist() for count in counts],
        "say": [
            _sentence(f"Layer {layer} of {len(counts)}", count, len(gone))
            for layer, (count, gone) in numbered
        ],
    }


def _thousandths(value: float) -> int | None:
    return round(value * 1000) if np.isfinite(value) else None


def _sentence(layer: str, counts: np.ndarray, dropped: int) -> str:
    """One layer in words: largest and smallest load, the even share, dropped assignments."""
    load = counts / counts.sum()
    words = (
        f"{layer}: expert {load.argmax()} gets the most ({load.max():.1%} of the "
        f"assignments), expert {load.argmin()} the fewest ({load.min():.1%}); "
        f"an even share would be {1 / len(load):.1%}."
    )
    unused = int((counts == 0).sum())
    words += f" {unused} of {len(counts)} experts get none." if unused > 1 else ""
    if dropped:
        words += f" {dropped} of {counts.sum()} assignments were dropped"
        words += " (dashed frame: the one with the largest weight)."
    return words
