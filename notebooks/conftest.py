"""Which notebooks nbval runs, and their worked answers, which it runs after the last cell."""

import re
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell


def repeats(path: Path) -> bool:
    """Whether a student edition has the code of its checked edition.

    Without exercises it has: its cells would run once more, and no output would be compared.
    """
    checked = path.parent.parent / path.name
    return path.parent.name == "student" and checked.is_file() and code(path) == code(checked)


def code(path: Path) -> list[str]:
    """The code of each cell, without a comment in its first line, as a folded cell has."""
    cells = nbformat.read(path, as_version=4).cells
    return [re.sub(r"\A#.*\n", "", cell.source) for cell in cells if cell.cell_type == "code"]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what only repeats; a notebook named on the command line is run all the same."""
    return True if collection_path.suffix == ".ipynb" and repeats(collection_path) else None


def worked_answers(source: str) -> list[str]:
    """The Python code blocks of a text cell."""
    return re.findall(r"^```python\n(.*?)^```", source, re.M | re.S)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Append the worked answers to each notebook's cells: the same kernel runs them.

    They must raise nothing; what they print is not compared.
    """
    last = {item.parent: n for n, item in enumerate(items, start=1) if isinstance(item, IPyNbCell)}
    for notebook, end in reversed(last.items()):
        text = "\n\n".join(c.source for c in notebook.nb.cells if c.cell_type == "markdown")
        items[end:end] = [
            IPyNbCell.from_parent(
                notebook,
                name=f"Answer {number}",
                cell_num=len(notebook.nb.cells) + number,
                cell=nbformat.v4.new_code_cell(code),
                options=defaultdict(bool),
            )
            for number, code in enumerate(worked_answers(text), start=1)
        ]
