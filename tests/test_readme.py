"""What the README shows is what happens."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_prints_what_it_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 12
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    (said,) = re.findall(r"# (\d+ of \d+)$", code, flags=re.MULTILINE)
    assert printed.splitlines()[-1] == said


def test_the_tree_names_every_module() -> None:
    tree = README.split("## Where things are")[1].split("## Words")[0]
    named = set(re.findall(r"^ +(\w+\.py)", tree, flags=re.MULTILINE))
    there = {path.name for path in (ROOT / "minimoe").rglob("*.py")} - {"__init__.py"}
    assert named == there


def test_every_command_it_shows_is_a_command() -> None:
    from minimoe.cli import parser

    usage = parser().format_help()
    for name in set(re.findall(r"^minimoe (\w+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^ +{name} ", usage, flags=re.MULTILINE), name


def test_every_file_it_points_to_is_there() -> None:
    for path in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
