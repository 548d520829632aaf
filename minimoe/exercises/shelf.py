"""All exercises by their id; the file of a notebook is read when one of its exercises is needed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from minimoe.errors import InputError, listed
from minimoe.exercises.exercise import Exercise

_FOLDER = Path(__file__).parent / "books"
# The numbers of the notebooks with exercises.
BOOKS = tuple(sorted(path.stem[-2:] for path in _FOLDER.glob("book_*.py")))


@cache
def exercises_of(book: str) -> dict[str, Exercise]:
    """The exercises of a notebook by their id: `"02.3" in exercises_of("02")`."""
    module = import_module(f"minimoe.exercises.books.book_{book}")
    return {exercise.id: exercise for exercise in module.EXERCISES}


def all_exercises() -> list[Exercise]:
    """Every exercise of the series, in order."""
    return [exercise for book in BOOKS for exercise in exercises_of(book).values()]


def exercise_named(step: str) -> Exercise:
    """The exercise with an id such as "02.3".

    Raises:
        InputError: there is none.
    """
    name = str(step)
    known = exercises_of(name[:2]) if name[:2] in BOOKS else {}
    if name in known:
        return known[name]
    there = f"there are {listed(known, shown=12)}" if known else f"see notebooks {listed(BOOKS)}"
    raise InputError(f"there is no exercise {name}; {there}")
