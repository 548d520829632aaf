"""Options, text and output that several commands share."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from minimoe.data.text import Text

MODEL = "text_moe_loss"  # a trained model that comes with the package
MODEL_HELP = "a trained model's name (minimoe trained lists them) or a checkpoint's folder"


def text_option(parser: argparse.ArgumentParser) -> None:
    """Add `--text`, which `text_of` reads."""
    what = "folder of your own UTF-8 files to use instead of the real text"
    parser.add_argument("--text", metavar="DIR", help=what)


def text_of(folder: str | None, default: Literal["small", "real"] = "real") -> "Text":
    """The text of a folder; without one, the text of the package with the name `default`."""
    from minimoe.data.folder import folder_text
    from minimoe.data.packaged import packaged_text

    return packaged_text(default) if folder is None else folder_text(folder)


def bytes_of(argument: str) -> bytes:
    """The bytes of an argument as the user typed them, UTF-8 or not."""
    return argument.encode("utf-8", errors="surrogateescape")


def say(line: str) -> None:
    """Print a line for the user on stderr. A closed pipe there must not end the work."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def progress(first: int, last: int) -> Iterable[int]:
    """Count from `first` to `last`, with a bar on a terminal."""
    from tqdm import tqdm

    return tqdm(range(first, last), initial=first, total=last, unit="step", disable=None)


def print_result(
    as_json: bool, result: Any, headers: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Print a result as JSON or as a table."""
    from minimoe.show.tables import text_table

    print(json.dumps(result) if as_json else text_table(headers, rows))
