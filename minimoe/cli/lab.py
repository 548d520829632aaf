"""`minimoe lab`."""

import argparse
import subprocess
import sys
from pathlib import Path

from minimoe.config import InputError

HELP = "open the notebooks in JupyterLab"
EXAMPLE = "--notebooks path/to/notebooks"
BESIDE = Path(__file__).parents[2] / "notebooks"  # next to the package, in a clone


def add_options(parser: argparse.ArgumentParser) -> None:
    where = "their folder (the one beside the package, or ./notebooks)"
    parser.add_argument("--notebooks", help=where)


def run(options: argparse.Namespace) -> None:
    """Open the map of the notebooks; the exit status is JupyterLab's."""
    folders = [Path(options.notebooks)] if options.notebooks else [BESIDE, Path("notebooks")]
    maps = [folder / "00_map.ipynb" for folder in folders if (folder / "00_map.ipynb").is_file()]
    if not maps:
        raise InputError(
            f"no 00_map.ipynb in {' or '.join(map(str, folders))}; name the folder: "
            "minimoe lab --notebooks path/to/notebooks"
        )
    raise SystemExit(subprocess.call([sys.executable, "-m", "jupyter", "lab", str(maps[0])]))
