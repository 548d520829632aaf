"""The calls that a lesson is made of: predict, finding, check, hint, solution, expect_error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minimoe.errors import one_line
from minimoe.exercises.compare import short
from minimoe.exercises.exercise import Exercise
from minimoe.exercises.judge import judge
from minimoe.exercises.shelf import exercise_named
from minimoe.show.tables import as_text
from minimoe.working_folder import notes

_guesses: dict[str, tuple[Any, dict[str, str]]] = {}  # step -> the guess, the offered answers
_hints_shown: dict[str, int] = {}


def predict(
    step: str, guess: Any = ..., *, measured: Mapping[str, Any] | None = None, **offered: str
) -> None:
    """Keep a guess before a measurement; after it, print guess and measurement.

    Before: `predict("02.1", guess_1, a="fewer than half", b="more than half")`. After:
    `predict("02.1", measured={"a": n < 4, "b": n >= 4})`. No guess, or one that was not offered, is
    no error: the notebook runs on.

    Args:
        step: notebook and number, such as "02.1".
        guess: one of the offered letters; `...` while there is none.
        measured: letter -> whether that answer turned out right.
        offered: letter -> the answer in words.
    """
    if measured is not None:
        return _compare(step, measured)
    choices = "\n".join(f"  ({letter}) {words}" for letter, words in offered.items())
    letter = guess.strip().strip("()").lower() if isinstance(guess, str) else guess
    known = isinstance(letter, str) and letter in offered
    _guesses[step] = (letter if known else ..., offered)
    if known:
        notes.keep("guess", step, letter)
        print(f"{step} · you guess ({letter}) {offered[letter]}")
    elif guess is ... or guess is None:
        print(f"{step} · no guess yet\n{choices}")
    else:
        print(f"{step} · {short(guess)} was not offered; write one letter in quotes\n{choices}")


def _compare(step: str, measured: Mapping[str, Any]) -> None:
    guess, offered = _guesses.get(step, (..., {}))
    right = [letter for letter, holds in measured.items() if bool(holds)]
    for letter in right:
        notes.keep("measured", step, letter)
    said = " and ".join(f"({letter}) {offered.get(letter, '')}".strip() for letter in right)
    answer = f"{step} · measured: {said or 'none of the offered answers'}"
    if guess is ...:
        print(answer)
    else:
        print(f"{answer}; you guessed ({guess}){', as measured' if guess in right else ''}")


def finding(sentence: str, holds: Any, **numbers: Any) -> None:
    """Print whether a sentence holds, with the numbers that decide it.

    `finding("All are used.", 8 == 8, used=8)` prints `HOLDS · All are used. [used = 8]`.
    With other settings a sentence may not hold; that is printed, and the notebook runs on.

    Args:
        sentence: states a fact that the numbers can refute.
        holds: anything with a truth value.
        numbers: name -> number; an underscore is shown as a space.
    """
    pairs = [f"{name.replace('_', ' ')} = {_shown(n)}" for name, n in numbers.items()]
    verdict = "HOLDS" if bool(holds) else "DOES NOT HOLD"
    print(f"{verdict} · {sentence}" + (f" [{', '.join(pairs)}]" if pairs else ""))


def _shown(number: Any) -> str:
    try:
        return as_text(number)
    except (TypeError, ValueError, RuntimeError):  # several numbers in one tensor
        return short(number)


def check(step: str, function: Any) -> Any:
    """Check the reader's function, and print "right", "not yet", or the first problem with a hint.

    Returns:
        The function if it is right, else the reference, so that the cells below run on.

    Raises:
        InputError: there is no such exercise.
    """
    exercise = exercise_named(step)
    if function is exercise.reference:
        print(f"{step} · this is the package's answer; run the cell with your function again")
        return function
    result = judge(exercise, function)
    notes.keep("check", step, result.state)
    if result.state == "right":
        print(f"{step} · right ({result.text})")
        return function
    print(f"{step} · {result.state}. {result.text}")
    print(f'hint("{step}") helps. The cells below use the package\'s answer until yours is right.')
    return exercise.reference


def hint(step: str) -> None:
    """Print the next hint of an exercise; each call goes one step further.

    Raises:
        InputError: there is no such exercise.
    """
    hints = exercise_named(step).hints
    shown = min(_hints_shown.get(step, 0), len(hints) - 1)
    _hints_shown[step] = shown + 1
    notes.keep("hint", step, str(shown + 1))
    print(f"{step} · hint {shown + 1} of {len(hints)}: {hints[shown]}")
    if shown + 1 == len(hints):
        print(f'solution("{step}") shows an answer.')


def solution(step: str) -> None:
    """Print an answer to an exercise.

    Raises:
        InputError: there is no such exercise.
    """
    exercise: Exercise = exercise_named(step)
    notes.keep("solution", step, "shown")
    print("\n\n\n".join(part for part in (exercise.imports, exercise.solution) if part))


def expect_error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a function that should fail, and print its error in one line.

    `expect_error(int, "x")` prints `ValueError: invalid literal for int() with base 10: 'x'`.
    """
    try:
        function(*args, **kwargs)
    except Exception as error:
        print(f"{type(error).__name__}: {one_line(error)}")
    else:
        print("no error: with these settings the call works")
