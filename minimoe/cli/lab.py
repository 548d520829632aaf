"""`minimoe lab`."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from minimoe.cli.shared import say
from minimoe.config import InputError
from minimoe.files import write_file

HELP = "copy the notebooks into a folder of your own and open them in JupyterLab"
EXAMPLE = "--folder my-notebooks"
BESIDE = Path(__file__).parents[2] / "notebooks"  # next to the package, in a clone
FOLDER = "lab"  # in the current folder
ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"  # a box that covers a corner


def add_options(parser: argparse.ArgumentParser) -> None:
    where = "where the notebooks come from (the folder beside the package, or ./notebooks)"
    parser.add_argument("--notebooks", metavar="DIR", help=where)
    own = f"your working folder (./{FOLDER}); your work in it is never overwritten"
    parser.add_argument("--folder", metavar="DIR", default=FOLDER, help=own)
    parser.add_argument("--copy", metavar="DIR", help="only copy into this folder, open nothing")


def run(options: argparse.Namespace) -> None:
    """Copy the student edition and open it; the exit status is JupyterLab's."""
    from minimoe.working_folder.editions import copy_student_edition

    folders = [Path(options.notebooks)] if options.notebooks else [BESIDE, Path("notebooks")]
    sources = [folder / "student" for folder in folders if (folder / "student").is_dir()]
    if not sources:
        raise InputError(
            f"no folder student in {' or '.join(map(str, folders))}; name the folder: "
            "minimoe lab --notebooks path/to/notebooks"
        )
    target = Path(options.copy or options.folder)
    for line in copy_student_edition(sources[0], target):
        say(line)
    first = min(target.glob("*.ipynb"))
    if options.copy:
        print(f"the notebooks are in {target}; start with {first.name}")
        return
    command = [sys.executable, "-m", "jupyter", "lab", str(first)]
    raise SystemExit(subprocess.call(command, env=quiet_environment(target)))


def quiet_environment(folder: Path) -> dict[str, str]:
    """An environment in which JupyterLab asks for no news; its file lies in a working folder."""
    from minimoe.working_folder.notes import FOLDER as OWN

    settings = folder.resolve() / OWN / "labconfig"
    settings.mkdir(parents=True, exist_ok=True)
    off = json.dumps({"disabledExtensions": {ANNOUNCEMENTS: True}})
    write_file(settings / "page_config.json", off)
    paths = [str(settings.parent), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}
