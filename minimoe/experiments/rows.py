"""Rows of an experiment in a file: one JSON line for each finished run, with its provenance."""

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minimoe.errors import InputError

STORED = Path(__file__).with_name("stored")  # the rows that come with the package
Key = tuple[str, int, int]


def key_of(row: dict[str, Any]) -> Key:
    """What a row is about: (name, seed, steps)."""
    return row["name"], row["seed"], row["steps"]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, without a last line that a kill cut off; none if there is no file.

    Raises:
        InputError: a complete line is not a row, or a row stands twice.
    """
    if not path.exists():
        return []
    rows: dict[Key, dict[str, Any]] = {}
    *lines, _cut_off = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            key = key_of(row)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} of {path} is not a row; delete it") from error
        if key in rows:
            raise InputError(f"{path} has a second row of {key} in line {number}; delete one")
        rows[key] = row
    return list(rows.values())


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a file in one write, after removing a line that a kill cut off."""
    line = (json.dumps(row, separators=(",", ":")) + "\n").encode()
    with open(path, "ab+") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def stored_rows(plan: str) -> list[dict[str, Any]]:
    """The rows of a plan that come with the package."""
    return read_rows(STORED / f"{plan}.jsonl")


def bits_of(
    rows: Iterable[dict[str, Any]], name: str, steps: int, domain: str = "all"
) -> dict[int, float]:
    """Bits per byte of one configuration at one budget, by seed.

    Raises:
        InputError: there is no such row.
    """
    found = {
        row["seed"]: row["bits"][domain]
        for row in rows
        if row["name"] == name and row["steps"] == steps
    }
    if not found:
        raise InputError(f"no row of {name!r} at {steps} steps")
    return dict(sorted(found.items()))


def machine() -> str:
    """The processor and the version of torch, as a row names them."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {capability}, torch {torch.__version__}"
