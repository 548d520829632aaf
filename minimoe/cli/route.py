"""`minimoe route`."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimoe.cli.shared import MODEL, MODEL_HELP, bytes_of, say
from minimoe.config import InputError
from minimoe.errors import printable
from minimoe.files import usable_file, write_file

if TYPE_CHECKING:
    from minimoe.show.explorer import Sample

HELP = "show which experts a text goes to"
EXAMPLE = '"MoE 路由 x += 1"'
FILE_BYTES = 2**16  # at most, for a text to route: a larger view is slow in a browser
SHOWN_BYTES = 2000  # at most, of a text in colour on a terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", help="the text")
    parser.add_argument("--file", metavar="PATH", help="a UTF-8 file instead of the text")
    many = f"{MODEL_HELP}; several stand side by side ({MODEL})"
    parser.add_argument("--model", action="append", metavar="NAME", help=many)
    parser.add_argument("--layer", type=int, help="print this MoE layer only, counted from 1 (all)")
    parser.add_argument("--out", default="route.html", help="the view to write (route.html)")


def run(options: argparse.Namespace) -> None:
    """Write the view, then print the experts of every byte."""
    title, text = _title_and_text(options)
    usable_file(options.out)

    from minimoe.show.explorer import routing_view

    names = list(dict.fromkeys(options.model or [MODEL]))
    samples, (n_layers, n_experts), notes = _samples(names, text, title)
    several = len(names) > 1
    if options.layer is not None and not 1 <= options.layer <= n_layers:
        raise InputError(f"layer must lie in [1, n_layers={n_layers}], got {options.layer}")
    layers = range(n_layers) if options.layer is None else [options.layer - 1]
    shown = {name: [sample] for name, sample in samples.items()}
    view = routing_view(
        shown if several else shown[names[0]], n_experts=n_experts, title="Where the tokens went"
    )
    write_file(options.out, view.html)
    for note in notes:
        say(note)
    if options.json:
        print(_as_json(samples, options.out))
    else:
        for name, sample in samples.items():
            _print(name if several else "", sample, layers, (n_layers, n_experts))
    say(f"wrote {options.out}: open it in a browser")


def _title_and_text(options: argparse.Namespace) -> tuple[str, bytes]:
    """The text from the command line, or from a file, whose name is then the title."""
    if (options.text is None) == (options.file is None):
        raise InputError('give either a text in quotes or --file PATH: minimoe route "A text."')
    if options.file is None:
        return "text", bytes_of(options.text)
    path = Path(options.file)
    if not path.is_file():
        raise InputError(f"--file must be a file of UTF-8 text, got {path}")
    text = path.read_bytes()
    if not 1 <= len(text) <= FILE_BYTES:
        raise InputError(f"--file must hold 1 to {FILE_BYTES:,} bytes, got {len(text):,} in {path}")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start + 1:,} is 0x{text[error.start]:02X}"
        raise InputError(f"--file must be UTF-8 text, but in {path} {bad}") from error
    return printable(path.name), text


def _samples(
    names: Sequence[str], text: bytes, title: str
) -> tuple[dict[str, "Sample"], tuple[int, int], list[str]]:
    """The routed text of each model, its numbers of layers and experts, notes for the user."""
    from minimoe.experiments.routed import routed_sample, windows
    from minimoe.trained.models import named_model

    samples, sizes, notes = {}, {}, []
    for name in names:
        model, length = named_model(name)
        samples[name] = routed_sample(model, text, title, length)
        assert model.config.moe is not None  # routed_sample refuses a dense model
        sizes[name] = (len(model.moe_layers()), model.config.moe.n_routed_experts)
        n_windows = len(windows(text, length))
        if n_windows > 1:
            notes.append(
                f"{name} reads {len(text):,} bytes in {n_windows} windows of at most {length}, "
                "the length it was trained on; windows are independent"
            )
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} has {n} of {e}" for name, (n, e) in sizes.items())
        raise InputError(f"side by side, models need as many MoE layers and experts: {found}")
    return samples, sizes[names[0]], notes


def _as_json(samples: Mapping[str, "Sample"], view: str) -> str:
    import numpy as np

    parts = ("expert_ids", "weights")
    models: dict[str, Any] = {
        name: {part: np.asarray(getattr(sample, part)).tolist() for part in parts}
        for name, sample in samples.items()
    }
    routes = {"models": models} if len(models) > 1 else next(iter(models.values()))
    return json.dumps({**routes, "view": view})


def _print(model: str, sample: "Sample", layers: Sequence[int], size: tuple[int, int]) -> None:
    """Print the bytes and their experts: in colour on a terminal, as a table elsewhere."""
    from minimoe.show.terminal import color_depth, routed_text

    depth, width = color_depth(sys.stdout.isatty(), os.environ), shutil.get_terminal_size().columns
    if not depth:
        print(f"{model}\n" * bool(model) + _table(sample, layers))
        return
    how = {"n_experts": size[1], "width": width, "depth": depth, "most": SHOWN_BYTES}
    for layer in layers:
        of = f"{model}, layer" if model else "layer"
        print(f"{of} {layer + 1} of {size[0]}: the expert with the largest weight")
        print(routed_text(sample, layer=layer, **how))
        if len(sample.text) > SHOWN_BYTES:
            print(f"... {len(sample.text):,} bytes in all; the view has the rest")


def _table(sample: "Sample", layers: Sequence[int]) -> str:
    """A row for each byte: its experts and their weights in each layer."""
    import numpy as np

    from minimoe.show.tables import text_table

    ids, weights = np.asarray(sample.expert_ids), np.asarray(sample.weights)

    def experts(layer: int, t: int) -> str:
        pairs = zip(ids[layer][t], weights[layer][t], strict=True)
        return " ".join(f"{expert}:{weight:.2f}" for expert, weight in pairs)

    rows = [
        [repr(bytes([byte]))[2:-1], *(experts(layer, t) for layer in layers)]
        for t, byte in enumerate(sample.text)
    ]
    return text_table(["byte", *(f"layer {layer + 1}" for layer in layers)], rows)
