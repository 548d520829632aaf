"""A reader's working folder: the student edition copied into it, and nothing there overwritten."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from minimoe.errors import InputError
from minimoe.files import locked, usable_folder, write_file
from minimoe.working_folder.notes import FOLDER

EDITIONS = "editions.json"  # notebook -> digest of the edition that was copied


def copy_student_edition(source: Path, target: Path) -> list[str]:
    """Copy the student notebooks into a working folder.

    A notebook that is not there is copied. One that nobody changed since it was copied is replaced
    by a newer edition. Where the reader has worked in it, a newer edition is put beside it as
    `02_moe_layer.edition-1a2b3c4d.ipynb`.

    Args:
        source: the folder with the student edition.
        target: the working folder; it is made if needed.

    Returns:
        One line for each notebook that was put beside the reader's own.

    Raises:
        InputError: `source` holds no notebook, or `target` is the source or lies around it, such as
            the folder of the notebooks themselves.
    """
    books = sorted(source.glob("*.ipynb"))
    if not books:
        raise InputError(f"no notebook in {source}; name the folder that holds student/")
    if source.resolve().is_relative_to(target.resolve()):
        raise InputError(f"{target} holds the notebooks themselves; name another folder")
    usable_folder(target / FOLDER)
    with locked(target / FOLDER):
        return _copy(books, target)


def _copy(books: list[Path], target: Path) -> list[str]:
    record = target / FOLDER / EDITIONS
    copied = _read(record)
    said = []
    for book in books:
        content, mine = book.read_bytes(), target / book.name
        edition, last = digest(content), copied.get(book.name)
        if not mine.exists() or (edition != last and digest(mine.read_bytes()) == last):
            write_file(mine, content)
        elif edition not in (last, digest(mine.read_bytes())):
            beside = mine.with_suffix(f".edition-{edition[:8]}.ipynb")
            if not beside.exists():
                write_file(beside, content)
            said.append(f"{mine.name} holds your work; the newer edition is {beside.name}")
            continue
        copied[book.name] = edition
    write_file(record, json.dumps(copied, indent=1))
    return said


def digest(content: bytes) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(content).hexdigest()


def _read(record: Path) -> dict[str, str]:
    try:
        found = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
