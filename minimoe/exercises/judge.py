"""The verdict on a reader's function: right, not yet, or the first case that fails, with a hint."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minimoe.errors import one_line
from minimoe.exercises.compare import difference
from minimoe.exercises.exercise import Case, Exercise, Function, Wrong


@dataclass(frozen=True)
class Judgement:
    """`state` is "right", "wrong" or "not yet"; `text` says why, for the reader."""

    state: str
    text: str


def judge(exercise: Exercise, function: Function) -> Judgement:
    """Run the cases of an exercise on a function.

    Args:
        exercise: the exercise.
        function: the reader's; it gets copies of the arguments.

    Returns:
        "not yet" for a stub, which returns None. "right" if no case fails. Otherwise "wrong" with
        the first case that fails, and the hint for the known wrong answer that gives the same
        results, if there is one.
    """
    cases = list(exercise.cases())
    if _is_stub(function, cases[0]):
        return Judgement("not yet", f"Replace the ... in {exercise.name} by your code.")
    problem = first_problem(exercise, function, cases)
    if not problem:
        return Judgement("right", f"{len(cases)} cases")
    hint = _known_hint(exercise, function, cases)
    return Judgement("wrong", problem + (f"\nHint: {hint}" if hint else ""))


def first_problem(exercise: Exercise, function: Function, cases: list[Case]) -> str:
    """What is wrong in the first case that fails; "" if none does."""
    for case in cases:
        arguments = deepcopy(case.args)
        try:
            got = function(*arguments)
        except Exception as error:
            return f"For {case.name} it raised {type(error).__name__}: {one_line(error)}"
        if difference(arguments, case.args):
            return f"For {case.name} it changed its argument; work on a copy."
        if case.problem is not None:
            wrong = case.problem(got)
        else:
            wanted = exercise.reference(*deepcopy(case.args))
            wrong = difference(got, wanted, parts=exercise.parts)
        if wrong:
            return f"For {case.name}: {wrong}."
    return ""


def generic_wrong(exercise: Exercise) -> tuple[Wrong, ...]:
    """Wrong answers to any task: its argument, one constant, "all is well"."""
    first = next(iter(exercise.cases()))
    constant = exercise.reference(*deepcopy(first.args))
    return (
        Wrong(lambda *args: args[0], "Your function returns its first argument unchanged."),
        Wrong(lambda *args: deepcopy(constant), "Your function ignores its arguments."),
        Wrong(lambda *args: True, "Your function returns True, whatever it is given."),
    )


def _known_hint(exercise: Exercise, function: Function, cases: list[Case]) -> str:
    """The hint for the known wrong answer that gives the same results in every case."""
    results = [_result(function, case) for case in cases]
    for wrong in (*exercise.wrong, *generic_wrong(exercise)):
        theirs = [_result(wrong.function, case) for case in cases]
        if not difference(results, theirs):
            return wrong.hint
    return ""


def _result(function: Function, case: Case) -> Any:
    """A result that can be compared; an error counts by its kind."""
    try:
        return _comparable(function(*deepcopy(case.args)))
    except Exception as error:
        return f"raised {type(error).__name__}"


def _comparable(result: Any) -> Any:
    simple = (Tensor, int, float, bool, str, tuple, list, dict)
    return result if isinstance(result, simple) else repr(type(result))


def _is_stub(function: Function, case: Case) -> bool:
    """Whether the function returns None, or `...`, in the first case."""
    try:
        result = function(*deepcopy(case.args))
    except NotImplementedError:
        return True
    except Exception:
        return False
    return result is None or result is ...


def seeded(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal random numbers that depend on the seed alone, for the cases of an exercise."""
    make = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    return make(*shape, dtype=torch.float64).to(dtype)
