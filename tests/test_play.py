"""`play_notebooks.py` refuses what a reader must not meet, and changes only what it is told."""

import ast
from itertools import repeat
from pathlib import Path

import nbformat
import play_notebooks as playing
import pytest
from play_notebooks import PlayError, Row, changed, play, row

from minimoe.exercises.shelf import exercise_named

CELLS = (
    "from minimoe.exercises import check, finding, predict\nE, K = 8, 2\ntext = 'a'",
    'guess_1 = ...\npredict("02.1", guess_1, a="few", b="all")',
    'predict("02.1", measured={"a": E < 20, "b": E >= K + 18})',
    'finding("E is 8.", E == 8, E=E)\nlen(text)',
    exercise_named("02.7").code_cell(solved=False),
)


def stored(folder: Path, *cells: str) -> Path:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[-1].metadata["tags"] = ["exercise"]
    path = folder / "02_small.ipynb"
    nbformat.write(book, path)
    return path


def test_a_lesson_survives_and_its_findings_are_counted(tmp_path: Path) -> None:
    path = stored(tmp_path, *CELLS)
    rows = [Row({}), Row({}, guesses=playing.BAD_GUESSES), Row({}, solved=False), row(K=1)]
    assert [play(path, r).findings for r in [*rows, row(E=4, text="中")]] == [[True]] * 4 + [
        [False]
    ]


@pytest.mark.parametrize(
    ("place", "cell", "played", "said"),
    [
        (3, "1 / 0", Row({}), "cell 3: ZeroDivisionError: division by zero (<cell 3"),
        (3, "import sys\nsys.exit(2)", Row({}), "cell 3: SystemExit: 2"),
        (3, "import warnings\nwarnings.warn('oh')", Row({}), "cell 3: UserWarning: oh"),
        (3, "class A:\n    def __repr__(self): 1 / 0\nA()", Row({}), "division by zero"),
        (3, "None", Row({}), "no finding was printed"),
        (3, 'finding("E is 9.", E == 9)', Row({}), "stored settings DOES NOT HOLD · E is 9."),
        (2, CELLS[2], row(E=19, K=1), "measured: (a) few and (b) all"),
        (2, CELLS[2], row(E=20, K=9), "none of the offered answers"),
        (2, "None", Row({}), "predicted ['02.1'], measured []"),
        (1, "None", Row({}), "predicted [], measured ['02.1']"),
        (4, exercise_named("02.7").code_cell(solved=True), Row({}, solved=False), "1 exercises"),
        (0, CELLS[0], row(sentence="a"), "no setting sentence in the notebook"),
    ],
)  # fmt: skip
def test_a_lesson_that_fails_a_reader_is_named(
    place: int, cell: str, played: Row, said: str, tmp_path: Path
) -> None:
    cells = [*CELLS]
    cells[place] = cell
    with pytest.raises(PlayError) as error:
        play(stored(tmp_path, *cells), played)
    assert said in str(error.value)


def test_only_the_first_assignment_of_a_setting_is_changed() -> None:
    tree = ast.parse("E, K = 8, 2  # experts\nguess_2 = ...\nx.E = 3\nseed = 0")
    found = changed(tree, {"E": 4, "seed": 7, "F": 1}, skip={"seed"}, guesses=repeat("b"))
    assert found == ["E"]
    assert ast.unparse(tree) == "E, K = (4, 2)\nguess_2 = 'b'\nx.E = 3\nseed = 0"


def test_every_lesson_with_rows_has_at_least_ten() -> None:
    assert {book: len(rows) for book, rows in playing.ROWS.items() if len(rows) < 10} == {}
    assert str(row(E=4)) == "E = 4" and str(Row({}, solved=False)) == "stubs"
