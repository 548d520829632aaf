"""The routing view: one self-contained HTML page that colours each byte by its expert.

Its style and its script are in explorer.css and explorer.js, its HTML in explorer_html.py.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from minimoe.errors import InputError
from minimoe.show.explorer_html import frame_height, view_section
from minimoe.show.page import document
from minimoe.show.sample import Routed, Sample, checked


@dataclass(frozen=True)
class RoutingView:
    """A finished routing view; Jupyter shows it in a cell's output.

    Args:
        title: the heading.
        html: a complete document.
        fragment: one `<section>` to place in a `page`.
        height: the pixels that the view needs in a frame.
    """

    title: str
    html: str = field(repr=False)
    fragment: str = field(repr=False)
    height: int

    def _repr_html_(self) -> str:
        """The document in a frame of its own, so that its script meets no other."""
        source = self.html.replace("&", "&amp;").replace('"', "&quot;")
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:0;display:block" srcdoc="{source}"></iframe>'
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document to a file."""
        Path(path).write_text(self.html, encoding="utf-8")


def routing_view(
    samples: Sequence[Sample] | Mapping[str, Sequence[Sample]], *, n_experts: int, title: str
) -> RoutingView:
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
        A view; the same input gives the same bytes.

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
    fragment = view_section(routed, _payload(routed, list(by_model), n_experts), title)
    return RoutingView(title, document(title, fragment), fragment, frame_height(routed, n_experts))


def _same_texts(by_model: Mapping[str, Sequence[Sample]]) -> None:
    """Refuse models that did not read the same texts in the same order."""
    texts = {name: [(one.title, one.text) for one in given] for name, given in by_model.items()}
    sizes = {name: sum(len(text) for _, text in found) for name, found in texts.items()}
    (first, expected), *others = texts.items()
    for name, found in others:
        if found != expected:
            raise InputError(
                f"models side by side must have read the same texts: {first!r} read "
                f"{len(expected)} with {sizes[first]} bytes, {name!r} {len(found)} with "
                f"{sizes[name]}"
            )


def _payload(routed: Sequence[Routed], models: Sequence[str], n_experts: int) -> dict[str, Any]:
    """All the data of the script; weights in thousandths, K choices by falling weight."""
    n_layers = len(routed[0].expert_ids)
    for one in routed:
        if len(one.expert_ids) != n_layers:
            raise InputError(
                f"samples must have the same number of layers: {routed[0].title!r} has {n_layers}, "
                f"{one.title!r} has {len(one.expert_ids)}"
            )
    layers = [f"layer {layer} of {n_layers}" for layer in range(1, n_layers + 1)]
    return {
        "layers": layers,
        "experts": n_experts,
        "models": list(models),
        "top_k": [one.expert_ids.shape[2] for one in routed],
        "full": max(1.0, *(round(float(one.weights.max()), 3) for one in routed)),
        "samples": [_sample_payload(one, layers, n_experts) for one in routed],
    }


def _sample_payload(one: Routed, layers: Sequence[str], n_experts: int) -> dict[str, Any]:
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
    """One layer in words: largest and smallest load, the even share, dropped assignments."""
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
