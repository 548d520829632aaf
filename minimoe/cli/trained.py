"""`minimoe trained`."""

import argparse
from pathlib import Path
from typing import Any

from minimoe.cli.shared import print_result, say
from minimoe.config import InputError
from minimoe.files import usable_folder

HELP = "the trained models that come with the package"
EXAMPLE = "text_moe_loss"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print everything about this one")
    parser.add_argument("--release", metavar="RUN", help="make NAME from the folder of a run")
    parser.add_argument("--to", metavar="DIR", help="where --release writes (the package)")


def run(options: argparse.Namespace) -> None:
    """Print the list of models or one model's card, or release a run."""
    from minimoe.trained import available, trained_card

    if options.release is not None:
        _release(options)
    elif options.name is not None:
        card = trained_card(options.name)
        told = {key: card[key] for key in card if key not in ("curve", "model_config")}
        rows = [[key, value] for key, value in _flat(told).items()]
        print_result(options.json, card, ["", options.name], rows)
    else:
        cards = {name: trained_card(name) for name in available()}
        rows = [
            [name, card["what"], card["parameters"], card["hours"],
             round(card["bits_per_byte"]["validation"]["all"], 3)]
            for name, card in cards.items()
        ]  # fmt: skip
        headers = ["name", "what", "parameters", "hours", "bits per byte"]
        print_result(options.json, cards, headers, rows)


def _release(options: argparse.Namespace) -> None:
    from minimoe.trained import HERE
    from minimoe.trained.release import release

    if options.name is None:
        raise InputError("say which recipe the run is of: minimoe trained NAME --release RUN")
    to = HERE if options.to is None else usable_folder(options.to)
    release(options.name, Path(options.release), to=to)
    say(f"wrote {to / options.name}.safetensors and .json")


def _flat(card: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"text": {"bytes": 3}} as {"text, bytes": 3}."""
    flat: dict[str, Any] = {}
    for key, value in card.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}, ") if inner else {f"{prefix}{key}": value}
    return flat
