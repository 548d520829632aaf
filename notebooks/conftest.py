"""The worked answers of a notebook, run by nbval after its last cell."""

import re
from collections import defaultdict

import nbformat
import pytest
from nbval.plugin import IPyNbCell


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
