"""What a reader has done so far, kept in the working folder that `minimoe lab` made."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER, FILE = ".minimoe", "progress.jsonl"


def keep(kind: str, step: str, result: str, folder: Path | None = None) -> None:
    """Append one line, if the current folder is a reader's working folder.

    Each line is written in one call, so two notebooks may write at once and a kill loses no older
    line. A lesson goes on without notes where the folder cannot be written.

    Args:
        kind: "check", "guess", "measured", "hint" or "solution".
        step: such as "02.3".
        result: "right", "wrong" or "not yet" for a check; otherwise what was chosen or shown.
        folder: the working folder; the current one by default.
    """
    home = (folder or Path.cwd()) / FOLDER
    if not home.is_dir():
        return
    line = json.dumps({"kind": kind, "step": step, "result": result}) + "\n"
    try:
        with open(home / FILE, "a+b", buffering=0) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            cut = file.read(1) not in (b"", b"\n")  # the line before was not finished
            file.write((b"\n" if cut else b"") + line.encode())
    except OSError:
        return


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines kept in a working folder, oldest first; a damaged line is left out."""
    path = folder / FOLDER / FILE
    rows = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            rows.append({key: str(row[key]) for key in ("kind", "step", "result")})
        except (ValueError, KeyError, TypeError):
            continue
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Count, for each notebook, what was done.

    Returns:
        Notebook number -> counts of "right" exercises, "tried" ones, "guesses", guesses that were
        "met" by the measurement, "hints" and "solutions". Each step counts once.
    """
    steps: dict[str, set[tuple[str, str]]] = {}
    guesses: dict[str, str] = {}
    for row in rows:
        done = steps.setdefault(row["step"][:2], set())
        kind, step, result = row["kind"], row["step"], row["result"]
        if kind == "check" and result != "not yet":
            done.add(("tried", step))
            if result == "right":
                done.add(("right", step))
        elif kind == "guess":
            guesses[step] = result
            done.add(("guesses", step))
        elif kind == "measured" and guesses.get(step) == result:
            done.add(("met", step))
        elif kind in ("hint", "solution"):
            done.add((f"{kind}s", step))
    return {book: Counter(what for what, _ in done) for book, done in sorted(steps.items())}
