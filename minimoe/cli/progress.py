"""`minimoe progress`."""

import argparse
from collections import Counter
from pathlib import Path

from minimoe.cli.lab import FOLDER as LAB
from minimoe.cli.shared import print_result
from minimoe.config import InputError

HELP = "show what you have done in your working folder"
EXAMPLE = "--folder my-notebooks"


def add_options(parser: argparse.ArgumentParser) -> None:
    own = "your working folder (./lab, or the current folder)"
    parser.add_argument("--folder", metavar="DIR", help=own)


def run(options: argparse.Namespace) -> None:
    """Print, for each notebook with exercises, what is right, tried and guessed."""
    from minimoe.series import notebooks
    from minimoe.working_folder.notes import FOLDER, read, summary

    folders = [Path(options.folder)] if options.folder else [Path(LAB), Path()]
    own = [folder for folder in folders if (folder / FOLDER).is_dir()]
    if not own:
        names = " or ".join(str(folder.resolve()) for folder in folders)
        raise InputError(f"no working folder in {names}; `minimoe lab` makes one")
    done = summary(read(own[0]))
    columns = ("right", "tried", "hints", "solutions", "guesses", "met")
    result = {}
    for book in notebooks():
        if book.exercises:
            counts = done.get(book.number, Counter())
            result[book.number] = {"exercises": book.exercises} | {c: counts[c] for c in columns}
    headers = ["notebook", "exercises", *columns[:-1], "as measured"]
    print_result(options.json, result, headers, [[b, *row.values()] for b, row in result.items()])
