"""Exercises refuse each wrong answer with its own hint, and a lesson never raises."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import numpy as np
import pytest
import torch

from minimoe.errors import InputError
from minimoe.exercises import check, expect_error, finding, hint, lesson, predict, solution
from minimoe.exercises.compare import difference, kind, short
from minimoe.exercises.exercise import Case, Exercise, Wrong
from minimoe.exercises.judge import generic_wrong, judge
from minimoe.exercises.shelf import all_exercises, exercise_named, exercises_of
from minimoe.working_folder import notes

SOURCES = Path(__file__).parent.parent / "notebooks" / "source"
EXERCISES = all_exercises()
NUMBERED = [
    source for source in sorted(SOURCES.glob("*.py")) if 'tags=["exercise"]' in source.read_text()
]
every = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)


# --- every exercise -------------------------------------------------------------------------------


@every
def test_the_reference_is_right_and_each_wrong_answer_gets_its_own_hint(exercise: Exercise) -> None:
    assert judge(exercise, exercise.reference).state == "right"
    wrong = (*exercise.wrong, *generic_wrong(exercise))
    found = {w.hint: judge(exercise, w.function) for w in wrong}
    assert len(found) == len(wrong) >= 3 + 3
    for words, judgement in found.items():
        assert (judgement.state, judgement.text.partition("\nHint: ")[2]) == ("wrong", words)


@every
def test_the_starter_parses_and_its_stub_is_not_yet(exercise: Exercise) -> None:
    space: dict[str, Any] = {}
    exec(exercise.code_cell(solved=False).partition(f"\n{exercise.name} = check(")[0], space)
    assert judge(exercise, space[exercise.name]).state == "not yet"
    assert space[exercise.name].__doc__ and "    ..." in exercise.starter


@every
def test_the_reference_runs_alone_with_only_its_imports(exercise: Exercise) -> None:
    space: dict[str, Any] = {}
    exec(f"{exercise.imports}\n{exercise.solution}", space)
    assert judge(exercise, space[exercise.name]).state == "right"
    function = ast.parse(exercise.solution).body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = [*function.args.args, *function.args.kwonlyargs]
    assert [a.arg for a in arguments if a.annotation] == [] and function.returns is None


@every
def test_the_task_and_the_hints_are_plain_text(exercise: Exercise) -> None:
    hints = [*exercise.hints, *(wrong.hint for wrong in exercise.wrong)]
    assert len(exercise.hints) >= 2 and exercise.level in (1, 2, 3) and 2 <= exercise.minutes <= 20
    for words in hints:  # printed as they are
        assert words == " ".join(words.split()) and words.isprintable() and len(words) <= 200
        assert words[-1] in ".?)]" and not re.search(r"`|\*\*\w|</?[a-z]+>|\$.*\$|^#", words)
    task = exercise.task_cell()
    assert not re.search(r"</?[a-z]+>|^#|```|!\[", task, re.M) and len(task.split()) <= 120


@every
def test_the_cases_differ_in_size_and_repeat_exactly(exercise: Exercise) -> None:
    cases, again = list(exercise.cases()), list(exercise.cases())
    assert len(cases) >= 5 and len({case.name for case in cases}) == len(cases)
    for case, twin in zip(cases, again, strict=True):
        assert difference(case.args, twin.args) == ""


@pytest.mark.parametrize("source", NUMBERED, ids=lambda source: source.stem)
def test_predictions_and_exercises_share_one_running_number(source: Path) -> None:
    book, steps = source.name[:2], []
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if "exercise" in cell.metadata.get("tags", []):
            steps.append(exercise_named(cell.source.strip("# \n")).id)
        elif cell.cell_type == "code":
            steps += re.findall(r'^predict\("([\d.]+)", guess', cell.source, re.M)
    assert steps == [f"{book}.{n}" for n in range(1, len(steps) + 1)]
    placed = [step for step in steps if step in exercises_of(book)]
    assert placed == list(exercises_of(book))


# --- the judge: a small exercise ------------------------------------------------------------------


def shares(scores, k):
    """Return the k best scores divided by their sum."""
    best = scores.topk(k).values
    return best / best.sum()


def cases_of_shares() -> Iterator[Case]:
    for n in (2, 3, 5, 9):
        yield Case(f"{n} scores", (torch.arange(1.0, n + 1, dtype=torch.float64), 2))


SHARES = Exercise(
    id="09.1",
    title="Shares",
    level=1,
    minutes=3,
    task="Divide.",
    reference=shares,
    wrong=(
        Wrong(lambda scores, k: scores.topk(k).values, "Divide by the sum."),
        Wrong(lambda scores, k: scores[:k] / scores[:k].sum(), "Take the best, not the first."),
        Wrong(lambda scores, k: scores.softmax(0)[k + 7], "Do not look past the end."),
    ),
    cases=cases_of_shares,
    hints=("Divide.", "By the sum."),
)


def changes(scores, k):
    result = shares(scores, k)
    scores.zero_()
    return result


def forgets_return(scores, k):
    shares(scores, k)


def prints(scores, k):
    print("x" * 9)
    return scores


def raises(scores, k):
    return scores[k + 99]


def leaves(scores, k):
    sys.exit(3)


class Strange:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (changes, "For 2 scores: the function changed its argument scores; work on a copy."),
        (forgets_return, "For 2 scores: the function returned None; end it with return."),
        (raises, "dimension 0 with size 2\nin the line: return scores[k + 99]"),
        (leaves, "it raised SystemExit: 3"),
        (lambda scores: scores, "shares must take the arguments (scores, k), got (scores)."),
        (lambda: 0, "shares must take the arguments (scores, k), got ()."),
        (7, "shares must be a function, got an int."),
        (None, "shares must be a function, got None."),
        (lambda scores, k: [0.5, 0.5], "must be a tensor, got a list."),
        (lambda scores, k: shares(scores, k).numpy(), "must be a tensor, got an ndarray."),
        (lambda scores, k: shares(scores, k).float(), "dtype torch.float64, got torch.float32."),
        (lambda scores, k: shares(scores, k)[None], "must have the shape [2], got [1, 2]."),
        (lambda scores, k: shares(scores, k) + 1e-8, "must be 0.6666666667, got 0.6666666767."),
        (lambda scores, k: shares(scores, k) * float("nan"), "must be 0.666667, got nan."),
        (lambda scores, k: count(), "must be a tensor, got a count."),
        (lambda scores, k: shares(scores, k).to_sparse(), "could not be read"),
        (lambda scores, k: Strange(), "must be a tensor, got a Strange."),
        (type("Answer", (), {}), "shares must take the arguments (scores, k), got ()."),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_named_and_nothing_raises(answer: Any, said: str) -> None:
    judgement = judge(SHARES, answer)
    assert judgement.state == "wrong" and said in judgement.text


@pytest.mark.parametrize(
    "answer",
    [
        lambda scores, k: shares(scores.requires_grad_(), k),
        lambda *args: shares(*args),
        lambda scores, k, extra=3: shares(scores, k),
        partial(lambda extra, scores, k: shares(scores, k), 3),
    ],
)
def test_a_right_answer_in_another_form_is_right(answer: Any) -> None:
    assert judge(SHARES, answer).state == "right"


def test_an_interrupted_check_says_so_and_gives_back_the_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def endless(logits, k):
        raise KeyboardInterrupt  # as a click on the square does

    assert check("02.2", endless) is exercise_named("02.2").reference
    assert "You stopped the check. Does every loop" in capsys.readouterr().out


def test_a_stub_is_not_yet_whatever_its_empty_body_is() -> None:
    def dots(scores, k): ...

    def passes(scores, k):
        pass

    def told(scores, k):
        """Return the shares."""
        ...  # your code

    def nothing(scores, k):
        return None

    assert {judge(SHARES, stub).state for stub in (dots, passes, told, nothing)} == {"not yet"}


def test_a_hint_needs_the_same_results_in_every_case() -> None:
    def divides_but_large(scores, k):
        return scores.topk(k).values * (1.0 if len(scores) < 9 else 2.0)

    assert "Hint" not in judge(SHARES, divides_but_large).text
    assert (
        "Hint: Divide by the sum." in judge(SHARES, lambda s, k: s.sort().values[-k:].flip(0)).text
    )


def test_an_error_is_not_taken_for_another_error_of_its_kind() -> None:
    assert "Hint: Do not look past the end." in judge(SHARES, lambda s, k: s.exp()[k + 7]).text
    assert "\nHint" not in judge(SHARES, lambda s, k: s[k + 70]).text


def test_a_function_prints_once_for_the_case_that_fails(capsys: pytest.CaptureFixture) -> None:
    judge(SHARES, prints)
    assert capsys.readouterr().out == "xxxxxxxxx\n"


def test_cases_after_the_failing_one_are_not_run_where_no_known_answer_fits() -> None:
    def stops(scores, k):
        assert len(scores) == 2, "a long loop"
        seen.append(len(scores))
        return torch.zeros(2, dtype=torch.float64)

    seen: list[int] = []
    assert "must be 0.666667, got 0" in judge(SHARES, stops).text
    assert set(seen) == {2}


def test_a_check_of_its_own_that_raises_or_complains_is_a_wrong_answer() -> None:
    def positive(got: Any) -> str | None:
        return None if got.min() > 0 else "all shares must be positive"

    free = replace(SHARES, cases=lambda: [Case("3 scores", (torch.ones(3), 2), positive)])
    assert judge(free, shares).state == "right"
    assert "For 3 scores: all shares must be positive." in judge(free, lambda s, k: -s).text
    assert "the result, a str, could not be read" in judge(free, lambda s, k: "yes").text
    assert "returned None" in judge(free, forgets_return).text


def test_an_argument_of_any_type_may_stay_as_it_is() -> None:
    @dataclass
    class Size:
        n: int
        made: torch.Tensor

    wide = Size(3, torch.ones(2))
    things = (wide, np.ones(2), {1, 2}, range(3), b"ab", torch.nn.Linear(1, 1), [len], None)
    first, *others = things
    task = replace(
        SHARES,
        reference=lambda size, *others: size.n,
        cases=lambda: [Case("things", (first, *others))],
    )
    assert judge(task, lambda size, *others: size.n).state == "right"
    changed = judge(task, lambda size, *others: setattr(size, "n", 4) or 3)
    assert "the function changed its argument size; work on a copy" in changed.text


# --- comparison -----------------------------------------------------------------------------------

BIG = 671_026_404_352


@pytest.mark.parametrize(
    ("got", "wanted", "said"),
    [
        (4, 3, "must be 3, got 4"),
        (3.0, 3, ""),
        (torch.tensor([3]), 3, ""),
        (np.float32(0.5), 0.5, ""),
        (np.int64(3), 3, ""),
        (True, 1, "must be a number, got a bool"),
        ("3", 3, "must be a number, got a str"),
        (BIG + 256, BIG, "must be 671,026,404,352, got 671,026,404,608"),
        (float(BIG) + 0.5, BIG, "must be 671,026,404,352, got 671,026,404,352.500"),
        (1 + 1e-12, 1.0, ""),
        (0.1 + 1e-8, 0.1, "must be 0.1, got 0.10000001"),
        (5.0, float("inf"), "must be inf, got 5"),
        (-float("inf"), float("inf"), "must be inf, got -inf"),
        (float("nan"), float("nan"), ""),
        (0.5, float("nan"), "must be nan, got 0.5"),
        (np.True_, True, ""),
        (torch.tensor(True), True, ""),
        (1, True, "must be True, got 1"),
        (torch.tensor([True, True]), True, "must be True, got tensor([True, True])"),
        ("b", "a", "must be 'a', got 'b'"),
        ([1, 2], (1, 2), ""),
        (torch.tensor([1, 2]), [1, 2], ""),
        (np.array([1, 2]), [1, 2], ""),
        (torch.tensor(1), (1, 2), "must be a tuple of 2 values, got a Tensor"),
        ({1, 2}, [1, 2], "must be a list of 2 values, got a set"),
        (count(), [1, 2], "must be a list of 2 values, got a count"),
        ((1, 2, 3), (1, 2), "must hold 2 values, got a tuple of 3"),
        ((1, 5), (1, 2), "the result[1] must be 2, got 5"),
        ({"a": 1}, {"a": 1.0}, ""),
        ({"b": 1}, {"a": 1}, "must be a dict with the keys ['a'], got ['b']"),
        ([("a", 1)], {"a": 1}, "must be a dict with the keys ['a'], got a list"),
        ({"a": 2}, {"a": 1}, "the result['a'] must be 1, got 2"),
        (torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1, 2]), ""),
        (torch.tensor([1, 0]), torch.tensor([True, False]), "dtype torch.bool, got torch.int64"),
        (torch.tensor([1, 3]), torch.tensor([1, 2]), "the result[1] must be 2, got 3"),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")]), ""),
        (torch.tensor([1e30]), torch.tensor([float("inf")]), "must be inf, got 1e+30"),
        (torch.ones(0, 2), torch.ones(2, 0), "must have the shape [2, 0], got [0, 2]"),
        (len, max, ""),
        (3, max, "must be a function, got an int"),
        ({1}, {1}, ""),
        (None, None, ""),
        (SimpleNamespace(a=1), None, "must be None, got namespace(a=1)"),
        ("x" * 99, "y", f"must be 'y', got '{'x' * 56}..."),
    ],
)  # fmt: skip
def test_a_difference_is_said_in_one_sentence(got: Any, wanted: Any, said: str) -> None:
    found = difference(got, wanted)
    assert found.endswith(said) if said else found == ""


def test_the_parts_of_a_tuple_are_named() -> None:
    found = difference((torch.tensor([1]), 0.4), (torch.tensor([1]), 0.5), parts=("ids", "weight"))
    assert found == "weight must be 0.5, got 0.4"
    assert kind([]) == "a list" and kind(3) == "an int" and kind(None) == "None"
    assert short(1234) == "1,234" and short(Strange()) == "a Strange"


# --- the calls of a lesson ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "_guesses", {})
    monkeypatch.setattr(lesson, "_hints_shown", {})


OFFERED = "\n  (a) few\n  (b) all\n"


@pytest.mark.parametrize(
    ("guess", "said", "after"),
    [
        (..., f"09.1 · no guess yet{OFFERED}", ""),
        (None, f"09.1 · no guess yet{OFFERED}", ""),
        ("b", "09.1 · you guess (b) all\n", "; you guessed (b), as measured"),
        (" (A) ", "09.1 · you guess (a) few\n", "; you guessed (a)"),
        ("c", f"09.1 · 'c' was not offered; write one letter in quotes{OFFERED}", ""),
        ("", f"09.1 · '' was not offered; write one letter in quotes{OFFERED}", ""),
        (2, f"09.1 · 2 was not offered; write one letter in quotes{OFFERED}", ""),
        (["a"], f"09.1 · ['a'] was not offered; write one letter in quotes{OFFERED}", ""),
        (Strange(), f"09.1 · a Strange was not offered; write one letter in quotes{OFFERED}", ""),
        (np.zeros(3), None, ""),
        (torch.zeros(99, 9), None, ""),
    ],
)  # fmt: skip
def test_a_guess_is_kept_or_the_answers_are_offered_again(
    guess: Any, said: str | None, after: str, capsys: pytest.CaptureFixture
) -> None:
    predict("09.1", guess, a="few", b="all")
    first = capsys.readouterr().out
    assert first == said if said else len(first) < 150
    predict("09.1", measured={"a": torch.tensor(False), "b": np.True_})
    assert capsys.readouterr().out == f"09.1 · measured: (b) all{after}\n"


def test_a_measurement_without_its_prediction_or_without_a_true_answer_is_said(
    capsys: pytest.CaptureFixture,
) -> None:
    predict("09.1", measured={"a": True})
    predict("09.1", "a", a="few", b="all")
    predict("09.1", measured={"a": False, "b": False})
    predict("09.1", measured={"a": True, "b": True})
    assert capsys.readouterr().out.splitlines() == [
        "09.1 · measured: (a)",
        "09.1 · you guess (a) few",
        "09.1 · measured: none of the offered answers; you guessed (a)",
        "09.1 · measured: (a) few and (b) all; you guessed (a), as measured",
    ]


def test_a_finding_says_what_holds_with_its_numbers(capsys: pytest.CaptureFixture) -> None:
    finding("All are used.", 8 == 8, used=8)
    finding("All are used.", torch.tensor(False), used_twice=torch.tensor(0.25), more=None)
    finding("All.", np.False_, each=torch.ones(2), times=np.ones(2), mean=float("nan"))
    finding("All.", [])
    assert capsys.readouterr().out.splitlines() == [
        "HOLDS · All are used. [used = 8]",
        "DOES NOT HOLD · All are used. [used twice = 0.25, more = –]",
        "DOES NOT HOLD · All. [each = tensor([1., 1.]), times = array([1., 1.]), mean = –]",
        "DOES NOT HOLD · All.",
    ]


def test_a_check_gives_back_the_readers_function_or_the_packages(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "exercise_named", lambda step: SHARES)

    def mine(scores, k):
        return shares(scores, k)

    def stub(scores, k): ...

    go_on = 'hint("09.1") helps. The cells below use the package\'s answer until yours is right.'
    assert check("09.1", mine) is mine
    assert check("09.1", stub) is shares
    assert check("09.1", 7) is shares
    assert check("09.1", shares) is shares
    assert capsys.readouterr().out.splitlines() == [
        "09.1 · right (4 cases)",
        "09.1 · not yet. Replace the ... in shares by your code.",
        go_on,
        "09.1 · wrong. shares must be a function, got an int.",
        go_on,
        "09.1 · this is the package's answer; run the cell with your function again",
    ]


def test_hints_go_one_step_at_a_time_and_the_solution_follows(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "exercise_named", lambda step: SHARES)
    for _ in range(3):
        hint("09.1")
    solution("09.1")
    last = ["09.1 · hint 2 of 2: By the sum.", 'solution("09.1") shows an answer.']
    wanted = ["09.1 · hint 1 of 2: Divide.", *last, *last, "import torch", "", ""]
    assert capsys.readouterr().out.splitlines() == [*wanted, *SHARES.solution.splitlines()]


def test_a_planned_error_is_one_line(capsys: pytest.CaptureFixture) -> None:
    expect_error(int, "x")
    expect_error(int, "3")
    expect_error(lambda: {}[3])
    assert capsys.readouterr().out.splitlines() == [
        "ValueError: invalid literal for int() with base 10: 'x'",
        "no error: with these settings the call works",
        "KeyError: 3",
    ]


@pytest.mark.parametrize("call", [hint, solution, lambda step: check(step, shares)])
@pytest.mark.parametrize("step", ["02.99", "99.1", "", "2.2"])
def test_an_unknown_exercise_is_refused(call: Callable[[Any], Any], step: Any) -> None:
    with pytest.raises(InputError, match="there is no exercise"):
        call(step)


# --- notes ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / notes.FOLDER).mkdir()
    return tmp_path


def row(kind: str, step: str, result: str) -> dict[str, str]:
    return {"kind": kind, "step": step, "result": result}


def test_notes_are_appended_and_a_folder_that_is_no_working_folder_stays_empty(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    notes.keep("guess", "02.1", "a", folder)
    first = (folder / notes.FOLDER / notes.FILE).read_bytes()
    notes.keep("check", "02.2", "right\n中\udcff", folder)
    assert (folder / notes.FOLDER / notes.FILE).read_bytes().startswith(first)
    assert notes.read(folder) == [
        row("guess", "02.1", "a"),
        row("check", "02.2", "right\n中\udcff"),
    ]
    other = tmp_path_factory.mktemp("other")
    notes.keep("guess", "02.1", "a", other)
    assert list(other.iterdir()) == [] and notes.read(other) == []


def test_two_writers_lose_no_line(folder: Path) -> None:
    code = (
        "import pathlib, runpy, sys\n"
        "_, notes, folder, writer = sys.argv\n"
        "keep = runpy.run_path(notes)['keep']\n"
        "for n in range(200): keep('guess', f'0{writer}.{n}', 'a', pathlib.Path(folder))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, notes.__file__, str(folder), writer])
        for writer in "12"
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    steps = [row["step"] for row in notes.read(folder)]
    assert [s for s in steps if s[1] == "1"] == [f"01.{n}" for n in range(200)]
    assert len(steps) == 400


@pytest.mark.parametrize(
    "damage", [b'{"kind": "gue', b"\xff\xfe\x00", b"3\n", b"[]\n\n", b'{"kind": 1}\n']
)
def test_a_damaged_line_is_left_out_and_costs_no_other(folder: Path, damage: bytes) -> None:
    notes.keep("guess", "02.1", "a", folder)
    with (folder / notes.FOLDER / notes.FILE).open("ab") as file:
        file.write(damage)
    notes.keep("guess", "02.3", "b", folder)
    assert [row["step"] for row in notes.read(folder)] == ["02.1", "02.3"]


def test_a_lesson_goes_on_where_notes_cannot_be_written(folder: Path) -> None:
    (folder / notes.FOLDER / notes.FILE).mkdir()
    notes.keep("guess", "02.1", "a", folder)
    assert notes.read(folder) == []


def test_each_step_counts_once_in_the_summary() -> None:
    rows = [
        row("guess", "02.1", "a"), row("measured", "02.1", "a"), row("measured", "02.1", "a"),
        row("guess", "02.3", "a"), row("measured", "02.3", "b"),
        row("check", "02.2", "not yet"),
        row("check", "02.5", "wrong"), row("check", "02.5", "right"),
        row("hint", "02.5", "1"), row("hint", "02.5", "2"), row("solution", "02.5", "shown"),
        row("check", "01.2", "wrong"),
    ]  # fmt: skip
    assert notes.summary(rows) == {
        "01": {"tried": 1},
        "02": {"guesses": 2, "met": 1, "tried": 1, "right": 1, "hints": 1, "solutions": 1},
    }
    assert json.loads(json.dumps(notes.summary(rows)))["01"] == {"tried": 1}
