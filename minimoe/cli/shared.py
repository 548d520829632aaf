"""Options, text and output that several commands share."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from minimoe.data.text import Text

MODEL = "text_moe_loss"  # a trained model that comes with the package
ENCYCLOPEDIA = "encyclopedia"  # what `--text` calls the text of the extra
MODEL_HELP = "a trained model's name (minimoe trained lists them) or a checkpoint's folder"


def text_option(parser: argparse.ArgumentParser) -> None:
    """Add `--text`, which `text_of` reads."""
    what = f"folder of your own UTF-8 files, or {ENCYCLOPEDIA}, instead of the real text"
    parser.add_argument("--text", metavar="DIR", help=what)


def text_of(option: str | None, default: Literal["small", "real"] = "real") -> "Text":
    """The text of `--text`: a folder's, or the encyclopedia.

    Without the option, the text of the package with the name `default`. A folder whose name is
    "encyclopedia" is read if it is written with a slash.
    """
    from minimoe.data.encyclopedia import encyclopedia_text
    from minimoe.data.folder import folder_text
    from minimoe.data.packaged import packaged_text

    if option is None:
        return packaged_text(default)
    if option != ENCYCLOPEDIA:
        return folder_text(option)
    if Path(option).is_dir():
        say(f"read the encyclopedia of the extra; --text ./{option} reads the folder of that name")
    return encyclopedia_text()


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
