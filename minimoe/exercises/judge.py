"""The verdict on a reader's function: right, not yet, or the first case that fails, with a hint."""

from __future__ import annotations

import dis
import inspect
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from minimoe.errors import one_line
from minimoe.exercises.compare import difference, kind
from minimoe.exercises.exercise import Case, Exercise, Function, Wrong

# What a function does that only returns None or `...`, in the words of Python 3.10 to 3.14.
_IDLE = {"RESUME", "NOP", "LOAD_CONST", "POP_TOP", "RETURN_CONST", "RETURN_VALUE"}


@dataclass(frozen=True)
class Judgement:
    """`state` is "right", "wrong" or "not yet"; `text` says why, for the reader."""

    state: str
    text: str


@dataclass(frozen=True)
class Raised:
    """The result of a call that failed."""

    kind: str
    text: str


def judge(exercise: Exercise, function: Any) -> Judgement:
    """Run the cases of an exercise on a function.

    Args:
        exercise: the exercise.
        function: the reader's, or what was given in its place; it gets copies of the arguments.

    Returns:
        "not yet" for a stub, whose body is still `...`. "right" if no case fails. Otherwise
        "wrong" with the first case that fails, and the hint for the known wrong answer that gives
        the same results, if there is one. Nothing that the function does raises here, and an
        interrupt ends the check.
    """
    if _is_stub(function):
        return Judgement("not yet", f"Replace the ... in {exercise.name} by your code.")
    if misfit := _misfit(exercise, function):
        return Judgement("wrong", misfit)
    cases = list(exercise.cases())
    try:
        problem = first_problem(exercise, function, cases)
        if not problem:
            return Judgement("right", f"{len(cases)} cases")
        with redirect_stdout(StringIO()):  # it has printed once
            hint = _known_hint(exercise, function, cases)
    except KeyboardInterrupt:
        return Judgement("wrong", "You stopped the check. Does every loop in the function end?")
    return Judgement("wrong", problem + (f"\nHint: {hint}" if hint else ""))


def first_problem(exercise: Exercise, function: Function, cases: list[Case]) -> str:
    """What is wrong in the first case that fails; "" if none does."""
    for case in cases:
        arguments = deepcopy(case.args)
        try:
            got = function(*arguments)
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
            return f"For {case.name} it raised {said}{_line_of(error, function)}"
        changed = _changed(exercise, arguments, case.args)
        wrong = changed or _wrong_result(exercise, case, got)
        if wrong:
            return f"For {case.name}: {wrong.rstrip('.')}."
    return ""


def _wrong_result(exercise: Exercise, case: Case, got: Any) -> str:
    wanted = None if case.problem else exercise.reference(*deepcopy(case.args))
    if got is None and (case.problem or wanted is not None):
        return "the function returned None; end it with return"
    try:
        if case.problem is not None:
            return case.problem(got) or ""
        return difference(got, wanted, parts=exercise.parts)
    except Exception as error:  # a kind of result that nobody thought of
        return f"the result, {kind(got)}, could not be read ({type(error).__name__})"


def _changed(exercise: Exercise, arguments: tuple[Any, ...], before: tuple[Any, ...]) -> str:
    names = list(inspect.signature(exercise.reference).parameters)
    for name, now, then in zip(names, arguments, before, strict=False):
        if not _same(now, then):
            return f"the function changed its argument {name}; work on a copy"
    return ""


def _misfit(exercise: Exercise, function: Any) -> str:
    """What is wrong with something that cannot be called with the arguments of a case."""
    if not callable(function):
        return f"{exercise.name} must be a function, got {kind(function)}."
    wanted = inspect.signature(exercise.reference)
    try:
        found = inspect.signature(function)
        found.bind(*wanted.parameters)
    except ValueError:  # a function written in C may have no signature
        return ""
    except TypeError:
        return f"{exercise.name} must take the arguments {wanted}, got {found}."
    return ""


def _line_of(error: BaseException, function: Function) -> str:
    """The reader's own line in which an error came up."""
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename and f.line]
    return f"\nin the line: {one_line(own[-1].line)}" if own else ""


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
    known = [*exercise.wrong, *generic_wrong(exercise)]
    for case in cases:
        mine = _result(function, case)
        known = [wrong for wrong in known if _same(mine, _result(wrong.function, case))]
        if not known:  # the further cases are not run: they may take long
            return ""
    return known[0].hint


def _result(function: Callable[..., Any], case: Case) -> Any:
    try:
        return function(*deepcopy(case.args))
    except (Exception, SystemExit) as error:
        return Raised(type(error).__name__, one_line(error))


def _same(one: Any, other: Any) -> bool:
    try:
        return not difference(one, other)
    except Exception:
        return False


def _is_stub(function: Any) -> bool:
    """Whether the body is empty: `...`, `pass`, or nothing but a docstring."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    steps = list(dis.get_instructions(code))
    constants = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {step.opname for step in steps} <= _IDLE and all(
        constant is None or constant is ... for constant in constants
    )


def seeded(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal random numbers that depend on the seed alone, for the cases of an exercise."""
    make = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    return make(*shape, dtype=torch.float64).to(dtype)
