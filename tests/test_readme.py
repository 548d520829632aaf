"""What the README shows is what happens."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 12
    exec(code, {})
    (said,) = re.findall(r"# (\d+ of \d+)$", code, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_the_tree_names_every_room_and_every_file_of_the_core() -> None:
    tree = README.split("minimoe/\n")[-1].split("```")[0]
    named, room = set(), ""
    for indent, name in re.findall(r"^( +)([\w/]+(?:\.py)?)", tree, flags=re.MULTILINE):
        if len(indent) == 2:
            room = name if name.endswith("/") else ""
        named.add(name if len(indent) == 2 else f"{room}{name}")
    package = ROOT / "minimoe"
    core = ("model", "fast", "training")
    files = [
        *package.glob("*.py"),
        *(path for room in core for path in (package / room).glob("*.py")),
    ]
    there = {path.relative_to(package).as_posix() for path in files if path.name != "__init__.py"}
    assert named == there | {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert len(tree.splitlines()) < 50  # one screen


def test_every_command_it_shows_is_a_command() -> None:
    from minimoe.cli import parser

    usage = parser().format_help()
    for name in set(re.findall(r"^minimoe (\w+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^ +{name}\s", usage, flags=re.MULTILINE), name


def test_every_file_it_points_to_is_there() -> None:
    for path in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
