"""Run the lessons with other settings, guesses and answers: `make play`.

A reader changes numbers. Then nothing may raise, each finding must say whether it holds, and each
prediction must have exactly one measured answer. This file runs the student edition of each lesson
once for each row of `ROWS`, in one process for each notebook.

python tests/play_notebooks.py          every lesson
python tests/play_notebooks.py 02 03    some of them
"""

import ast
import contextlib
import io
import linecache
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

STUDENT = Path(__file__).parent.parent / "notebooks" / "student"
FEWEST_ROWS = 10
BAD_GUESSES = ("z", 7, ["a"], "", "The answer is b.")  # none of them is offered


@dataclass(frozen=True)
class Row:
    """One way to run a lesson: its changed settings, how it guesses, and whether it writes code."""

    settings: dict[str, Any]
    guesses: tuple[Any, ...] = (...,)
    solved: bool = True

    def __str__(self) -> str:
        changed = [f"{name} = {value!r:.40}" for name, value in self.settings.items()]
        also = [] if self.guesses == (...,) else ["other guesses"]
        return ", ".join(changed + also + ([] if self.solved else ["stubs"])) or "as stored"


def row(**settings: Any) -> Row:
    """A row with changed settings: `row(E=16, K=4)`. A string is a text, not code."""
    return Row(settings)


EVERYWHERE = [
    Row({}),  # as stored: here every finding must hold
    Row({}, guesses=("a",)),
    Row({}, guesses=BAD_GUESSES),
    Row({}, solved=False),
]
CHINESE = "稀疏模型把每个词送到几个专家。"
EMOJI = "🙂👩🏽‍🚀"
LONG = "A long sentence, said again. " * 30

# One line adds a row.
ROWS: dict[str, list[Row]] = {
    "00": [
        row(my_sentence="a", other_sentence="b"),
        row(my_sentence=CHINESE, other_sentence=EMOJI),
        row(my_sentence=EMOJI, other_sentence=CHINESE),
        row(my_sentence=LONG, other_sentence=LONG),
        row(my_sentence=" \n\t", word="moon"),
        row(word="a"),
        row(word=EMOJI),
        row(k=1),
        row(k=4),
        row(token=[0.0, 0.0, 0.0]),
        row(token=[-3, 500, 0.5], k=3),
        row(router=[[0.0, 1.0, 0.0]] * 6),
    ],
    "01": [
        row(D=32, n_layers=2),
        row(n_layers=1),
        row(H=4, G=4),
        row(H=4, G=1, d=8),
        row(d=2),
        row(H=2, G=2),
        row(F=16),
        row(F=512),
        row(L=1),
        row(L=1024),
        row(seed=7),
        row(sentence="a", my_sentence="a"),
        row(sentence=CHINESE, my_sentence=CHINESE),
        row(sentence=EMOJI, my_sentence=EMOJI),
        row(sentence=LONG, my_sentence=LONG),
    ],
    "02": [
        row(E=16, K=4),
        row(E=4, K=4),
        row(E=2, K=1),
        row(E=64, K=6, D=32, F=16),
        row(D=8, F=4),
        row(seed=1),
        row(seed=12345, factor=0.5),
        row(factor=4.0),
        row(factor=0.01),
        row(sentence="a", my_sentence="a"),
        row(sentence=CHINESE, my_sentence=CHINESE),
        row(sentence=EMOJI, my_sentence=EMOJI),
        row(sentence=LONG, my_sentence=LONG),
        row(sentence="aaaa\n\taaaa", my_sentence=" "),
        row(sentence="你", E=3, K=2, seed=7),
        row(sentence="", my_sentence=""),
        row(ending="?"),
        row(ending=""),
        row(ending=CHINESE),
    ],
    "03": [
        row(E=8, K=2),
        row(E=16, K=16),
        row(E=4, K=1),
        row(S=0),
        row(S=3, K=5),
        row(D=32, F=8),
        row(n_layers=2),
        row(n_layers=1),
        row(seed=5),
        row(text="a"),
        row(text=CHINESE),
        row(text=EMOJI),
        row(text=LONG),
    ],
    "09": [
        row(live=False, E=8),
        row(live=False, E=2),
        row(live=False, E=64, steps=2048),
        row(live=False, E=3, steps=700),
        row(live=False, E=0, steps=0),
        row(live=False, steps=512),
        row(live=False, domain="chinese"),
        row(live=False, domain="python", n_seeds=2),
        row(live=False, domain="klingon"),
        row(live=False, n_seeds=3, my_model="moe-2", my_steps=512),
        row(live=False, n_seeds=99, my_model="gpt", my_steps=-1),
        row(live=False, E=32, domain="formulas", my_model="dense as large as moe-8"),
    ],
    "10": [
        row(E=4, resamples=10),
        row(E=64, resamples=10),
        row(E=5, resamples=0, form="no such form"),
        row(E=8, form="experts as parameters", resamples=10),
        row(E=32, form="without experts", resamples=10),
        row(n_seeds=4, seed=3, resamples=10),
        row(n_seeds=3, resamples=10),
        row(without_models=("dense",), resamples=10),
        row(n_seeds=2, resamples=10),
        row(n_seeds=1, resamples=1, seed=7),
        row(without_steps=(), without_models=("dense", "moe-4", "moe-8"), resamples=10),
        row(without_widths=(32,), resamples=10),
        row(without_steps=(1024, 2048), without_models=("dense",), resamples=10),
    ],
}


class PlayError(Exception):
    """A lesson did not survive; the message names the cell and what happened."""


# --- one lesson ---------------------------------------------------------------------------------


@dataclass
class Seen:
    """What a lesson said while it ran."""

    offered: list[str] = field(default_factory=list)
    measured: dict[str, list[bool]] = field(default_factory=dict)
    findings: list[bool] = field(default_factory=list)


def play(path: Path, row: Row) -> Seen:
    """Run one notebook as a reader with these settings would.

    Raises:
        PlayError: a cell raised or warned, a setting is not in the source, or a finding or a
            prediction did not say what it must.
    """
    from matplotlib import pyplot as plt

    seen, used, printed = Seen(), set[str](), io.StringIO()
    guesses = cycle(row.guesses)
    space: dict[str, Any] = {"__name__": "__main__"}
    with listened(seen):
        for n, source in sources(path, solved=row.solved):
            tree = ast.parse(source)
            for name in changed(tree, row.settings, skip=used, guesses=guesses):
                used.add(name)
            try:
                with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    run_cell(tree, source, f"<cell {n} of {path.stem}>", space)
            except (Exception, SystemExit) as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                first_line = (str(error).splitlines() or [""])[0]
                raise PlayError(
                    f"cell {n}: {type(error).__name__}: {first_line} ({where}: {last.line})"
                ) from None
            finally:
                plt.close("all")
    if missing := sorted(set(row.settings) - used):
        raise PlayError(f"no setting {', '.join(missing)} in the notebook")
    judged(seen, row, printed.getvalue())
    return seen


def sources(path: Path, *, solved: bool) -> Iterator[tuple[int, str]]:
    """The code cells of a student edition; an exercise is solved, or stays a stub."""
    import nbformat

    from minimoe.exercises.shelf import exercise_named

    for n, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type != "code":
            continue
        source = cell.source
        if solved and "exercise" in cell.metadata.get("tags", []):
            step = re.findall(r'^\w+ = check\("([\d.]+)"', source, re.M)[-1]
            source = exercise_named(step).code_cell(solved=True)
        yield n, source


def changed(
    tree: ast.Module, settings: dict[str, Any], *, skip: set[str], guesses: Iterator[Any]
) -> list[str]:
    """Put other values into the top-level assignments of a cell; return the names changed.

    A name that was changed before stays as the notebook then sets it. `E, K = 8, 2` is known too.
    """
    found = []

    def other(name: str, value: ast.expr) -> ast.expr:
        if re.fullmatch(r"guess_\d+", name):
            guess = next(guesses)
            return value if guess is ... else literal(guess)
        if name not in settings or name in skip:
            return value
        found.append(name)
        return literal(settings[name])

    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name):
            node.value = other(target.id, node.value)
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=True)
            node.value.elts = [other(ast.unparse(name), value) for name, value in pairs]
    ast.fix_missing_locations(tree)
    return found


def literal(value: Any) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body


def run_cell(tree: ast.Module, source: str, name: str, space: dict[str, Any]) -> None:
    """Run one cell and show the value of its last line, as JupyterLab would."""
    from matplotlib import pyplot as plt

    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    ends_with_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    before = copy(tree)
    before.body = tree.body[:-1] if ends_with_value else tree.body
    exec(compile(before, name, "exec"), space)
    if ends_with_value:
        last = tree.body[-1]
        assert isinstance(last, ast.Expr)
        value = eval(compile(ast.Expression(last.value), name, "eval"), space)
        if value is not None:
            repr(value)
            getattr(value, "_repr_html_", lambda: None)()
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()


@contextlib.contextmanager
def listened(seen: Seen) -> Iterator[None]:
    """Note each guess, measurement and finding that passes through `minimoe.exercises`."""
    exercises: ModuleType = __import__("minimoe.exercises", fromlist=["predict"])
    predict, finding = exercises.predict, exercises.finding

    def noted_predict(step: str, *guess: Any, **rest: Any) -> None:
        predict(step, *guess, **rest)
        if "measured" in rest:
            answers = [bool(holds) for holds in rest["measured"].values()]
            seen.measured.setdefault(step, []).append(sum(answers) == 1)
        else:
            seen.offered.append(step)

    def noted_finding(sentence: str, holds: Any, **numbers: Any) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            finding(sentence, holds, **numbers)
        print(said.getvalue(), end="")
        verdict = said.getvalue().partition(" · ")[0]
        if verdict not in ("HOLDS", "DOES NOT HOLD") or said.getvalue().count("\n") != 1:
            raise PlayError(f"a finding printed {said.getvalue()!r}")
        seen.findings.append(verdict == "HOLDS")

    exercises.predict, exercises.finding = noted_predict, noted_finding
    try:
        yield
    finally:
        exercises.predict, exercises.finding = predict, finding


def judged(seen: Seen, row: Row, printed: str) -> None:
    """Refuse a prediction without exactly one measured answer, and a check with another result."""
    if sorted(seen.offered) != sorted(seen.measured) or len(set(seen.offered)) != len(seen.offered):
        raise PlayError(f"predicted {sorted(seen.offered)}, measured {sorted(seen.measured)}")
    unclear = [step for step, once in seen.measured.items() if once != [True]]
    if unclear:
        lines = [line for line in printed.splitlines() if line.startswith(tuple(unclear))]
        raise PlayError(f"not exactly one measured answer: {'; '.join(lines)}")
    if not seen.findings:
        raise PlayError("no finding was printed")
    if not row.settings and not all(seen.findings):
        false = [line for line in printed.splitlines() if line.startswith("DOES NOT HOLD")]
        raise PlayError(f"with the stored settings {'; '.join(false)}")
    right, not_yet = (len(re.findall(rf"· {word}\b", printed)) for word in ("right", "not yet"))
    if (right == 0) == row.solved or (not_yet == 0) != row.solved:
        raise PlayError(f"{right} exercises were right and {not_yet} not yet")


# --- all lessons ----------------------------------------------------------------------------------


def lessons() -> list[Path]:
    """The student editions with exercises."""
    return [p for p in sorted(STUDENT.glob("*.ipynb")) if '"exercise"' in p.read_text("utf-8")]


def play_all(path: Path) -> list[str]:
    """Play every row of one notebook; return one line for each row that did not survive."""
    rows = [*EVERYWHERE, *ROWS.get(path.name[:2], [])]
    failures = []
    if len(rows) - len(EVERYWHERE) < FEWEST_ROWS:
        failures.append(f"{path.stem}: {len(rows) - len(EVERYWHERE)} rows with other settings")
    held = total = 0
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}  # before torch and matplotlib
    os.chdir(tempfile.gettempdir())  # no working folder, so no progress is kept
    for row in rows:
        try:
            seen = play(path, row)
            held, total = held + sum(seen.findings), total + len(seen.findings)
        except PlayError as error:
            failures.append(f"{path.stem}, {row}: {error}")
    print(f"{path.stem}: {len(rows)} rows, {held} of {total} findings hold", flush=True)
    return failures


def main(numbers: list[str]) -> int:
    paths = [path for path in lessons() if not numbers or path.name.startswith(tuple(numbers))]
    unknown = [number for number in numbers if not any(p.name.startswith(number) for p in paths)]
    if unknown:
        print(f"no lesson {' '.join(unknown)}", file=sys.stderr)
        return 2
    workers = int(os.environ.get("WORKERS", "2"))
    with get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        failures = [line for lines in pool.imap(play_all, paths) for line in lines]
        pool.close()
        pool.join()
    for line in failures:
        print(line, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
