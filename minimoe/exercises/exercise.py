"""One exercise: its task, right answer, wrong answers with hints, and cases."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One call of the reader's function.

    Args:
        name: what is special about it, to follow "for": "two equal logits".
        args: the arguments; each call gets its own copy.
        problem: None: the result must equal the reference's. Otherwise a function of the result
            that returns what is wrong with it, or None: for tasks with several right answers.
    """

    name: str
    args: tuple[Any, ...]
    problem: Callable[[Any], str | None] | None = None


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that people give, and the hint for it."""

    function: Function
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An exercise of a notebook.

    Args:
        id: notebook and number, "02.3". Predictions and exercises of a notebook share the numbers.
        title: a few words.
        level: 1 (complete one line) to 3 (think first).
        minutes: for a student who has read the notebook so far.
        task: what to write, in Markdown.
        reference: the right answer. Its name, signature and docstring are the starter. Its body may
            use only `imports` and builtins.
        wrong: at least three wrong answers that people give.
        cases: makes the calls that decide.
        hints: shown one at a time, the most general first.
        imports: what the reference needs, one statement a line.
        parts: names of the parts of a result that is a tuple.
    """

    id: str
    title: str
    level: int
    minutes: int
    task: str
    reference: Function
    wrong: tuple[Wrong, ...]
    cases: Callable[[], Iterable[Case]]
    hints: tuple[str, ...]
    imports: str = "import torch"
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the function that the reader writes."""
        return str(self.reference.__name__)

    @property
    def solution(self) -> str:
        """The source of the reference."""
        return textwrap.dedent(inspect.getsource(self.reference)).strip()

    @property
    def starter(self) -> str:
        """The reference without its body: signature, docstring, and `...` to be replaced."""
        source = self.solution
        function = ast.parse(source).body[0]
        assert isinstance(function, ast.FunctionDef)
        end = function.body[0].end_lineno  # of the docstring
        return "\n".join([*source.splitlines()[:end], "    ...  # your code"])

    def task_cell(self) -> str:
        """The text cell above the exercise."""
        head = (
            f"**Your turn {self.id} · {self.title}** (level {self.level}, {self.minutes} minutes)"
        )
        return f"{head}\n\n{textwrap.dedent(self.task).strip()}"

    def code_cell(self, *, solved: bool) -> str:
        """The code cell: solved for the checked edition, a starter for the reader."""
        body = self.solution if solved else self.starter
        head = f"{self.imports}\n\n\n" if self.imports else ""
        return f'{head}{body}\n\n\n{self.name} = check("{self.id}", {self.name})'
