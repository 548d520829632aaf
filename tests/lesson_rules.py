"""The rules of the notebooks that ask for guesses and code, for both of their editions.

`test_notebooks.py` checks every such notebook against every rule, and every rule against a
notebook that breaks it.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
from notebook_rules import (
    COMMON,
    Book,
    Rule,
    code_cells,
    ending,
    lines,
    shown,
    starts,
    syntax,
    text_cells,
)

from minimoe.series import notebooks

GLOSSARY = "98_glossary"
LEDGER = "99"  # looks things up, so it needs few predictions and no exercises
NEUTRAL_HEADINGS = {"The settings of this notebook", "Play", "Takeaway"}
PREDICTIONS, EXERCISES = range(3, 7), 3
CODE_LINES, CODE_CHARACTERS, TEXT_WORDS = 15, 300, 90


def is_lesson(book: Book) -> bool:
    """Whether a notebook has exercises, or is the ledger."""
    return book.name.startswith(LEDGER) or any(_is_exercise(cell) for cell in book.cells)


def _is_exercise(cell: nbformat.NotebookNode) -> bool:
    return "exercise" in cell.metadata.get("tags", [])


def calls(book: Book, name: str) -> Iterator[tuple[int, ast.Call]]:
    """The calls of a function by its bare name, each with the number of its cell."""
    for n, node in syntax(book):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield n, node


def predictions(book: Book) -> tuple[dict[str, tuple[int, ast.Call]], ...]:
    """Step -> cell and call: of the guesses, and of the measurements."""
    guessed: dict[str, tuple[int, ast.Call]] = {}
    measured: dict[str, tuple[int, ast.Call]] = {}
    for n, call in calls(book, "predict"):
        step = call.args[0].value if isinstance(call.args[0], ast.Constant) else "?"
        kind = measured if any(k.arg == "measured" for k in call.keywords) else guessed
        kind[f"{step} twice" if step in kind else str(step)] = (n, call)
    return guessed, measured


# --- the checked edition ----------------------------------------------------------------------


def the_first_cell_says_what_it_takes(book: Book) -> list[str]:
    """Title, aim, claims, needs, minutes, seconds, and the number of its exercises."""
    first = " ".join(book.cells[0].source.split())
    question = {entry.name: entry.question for entry in notebooks()}.get(book.name)
    found = []
    if not book.cells[0].source.startswith(f"# {book.name[:2]} · {question}\n"):
        found.append(f"the title must be '# {book.name[:2]} · {question}'")
    parts = ("**You will be able to**", "*Claims:*", "*Needs:*", "*Takes* about", "*Runs in* about")
    found += [f"no {part!r}" for part in parts if part not in first]
    takes = re.search(r"\*Takes\* about (\d+) minutes, (\d+) exercises?\b", first)
    runs = re.search(r"\*Runs in\* about (\d+) s\b", first)
    if takes and runs:
        due = sum(map(_is_exercise, book.cells))
        if int(takes[2]) != due:
            found.append(f"it says {takes[2]} exercises and has {due}")
    else:
        found.append("minutes, exercises and seconds must be numbers")
    if book.cells[1].cell_type != "code" or book.cells[1].outputs:
        found.append("the second cell must be code without output")
    return found


def each_guess_comes_before_its_measurement(book: Book) -> list[str]:
    """For each number one cell with `guess_n = ...`, later one that measures the same answers."""
    guessed, measured = predictions(book)
    found = [f"{step}: no measurement" for step in guessed if step not in measured]
    found += [f"{step}: no prediction" for step in measured if step not in guessed]
    for step, (n, call) in guessed.items():
        number = step.partition(".")[2]
        if not re.search(rf"^guess_{number} = \.\.\.", book.cells[n].source, re.M):
            found.append(f"{step}: cell {n} must hold guess_{number} = ...")
        if step in measured:
            m, other = measured[step]
            if m <= n:
                found.append(f"{step}: measured in cell {m}, guessed in cell {n}")
            if {k.arg for k in call.keywords} != _measured_letters(other):
                found.append(f"{step}: the answers measured are not those offered")
    return found


def _measured_letters(call: ast.Call) -> set[Any]:
    value = next(k.value for k in call.keywords if k.arg == "measured")
    keys = value.keys if isinstance(value, ast.Dict) else []
    return {key.value for key in keys if isinstance(key, ast.Constant)}


def three_to_six_predictions_and_three_exercises(book: Book) -> list[str]:
    if book.name.startswith(LEDGER):
        return []
    asked, written = len(predictions(book)[0]), sum(map(_is_exercise, book.cells))
    found = [] if asked in PREDICTIONS else [f"{asked} predictions"]
    return found if written >= EXERCISES else [*found, f"{written} exercises"]


def a_look_and_a_finding_follow_each_measurement(book: Book) -> list[str]:
    """They stand between the measurement and the next guess."""
    guessed, measured = predictions(book)
    stated = [n for n, _ in calls(book, "finding")]
    looks = [n for n, cell in enumerate(book.cells) if starts(cell, "Look")]
    begins = sorted(n for n, _ in guessed.values())
    found = []
    for step, (here, _) in measured.items():
        end = next((n for n in begins if n > here), len(book.cells))
        found += [
            f"{step}: no {what} after cell {here}"
            for what, places in (("finding", stated), ("Look", looks))
            if not any(here < n < end for n in places)
        ]
    return found


def findings_stand_alone_and_hold(book: Book) -> list[str]:
    """A cell with a finding prints only findings: its source is hidden in the student edition."""
    found = []
    for n in sorted({n for n, _ in calls(book, "finding")}):
        cell = book.cells[n]
        if not re.search(r"^finding\(", cell.source, re.M):
            found.append(f"cell {n}: finding( must begin a line, or its source is not hidden")
        printed = shown(cell).strip().splitlines()
        if not printed or any(not line.startswith("HOLDS · ") for line in printed):
            found.append(f"cell {n} must print only findings that hold")
    return [
        *found,
        *(f"cell {n}: DOES NOT HOLD" for n, c in code_cells(book) if "DOES NOT HOLD" in shown(c)),
    ]


def no_bare_assert(book: Book) -> list[str]:
    nodes = [n for n, node in syntax(book) if isinstance(node, ast.Assert)]
    return [f"cell {n}: use finding, which survives other settings" for n in nodes]


def planned_errors_are_one_line(book: Book) -> list[str]:
    return [
        f"cell {n}: use expect_error"
        for n, cell in code_cells(book)
        if "raises-exception" in cell.metadata.get("tags", [])
    ]


def headings_are_questions(book: Book) -> list[str]:
    """A heading that states a result gives the prediction below it away."""
    found, before = [], 0
    for n, level, title in headings(book):
        if level > before + 1 or (level == 1) != (n == 0):
            found.append(f"cell {n}: a heading of level {level} after level {before}")
        if not title.endswith("?") and title not in NEUTRAL_HEADINGS:
            found.append(f"cell {n}: {title!r} is no question")
        before = level
    return found


def headings(book: Book) -> Iterator[tuple[int, int, str]]:
    """Each heading with its cell, its level and its text."""
    for n, cell in text_cells(book):
        without_code = re.sub(r"^```.*?^```", "", cell.source, flags=re.M | re.S)
        for marks, title in re.findall(r"^(#+) +(.*?) *$", without_code, re.M):
            yield n, len(marks), title


def cells_are_short(book: Book) -> list[str]:
    """Code: at most 15 lines, 300 characters in the median. Text: 90 words but first and last."""
    code = [(n, cell.source) for n, cell in code_cells(book) if not _is_exercise(cell)]
    found = [
        f"cell {n} has {len(lines(source))} lines"
        for n, source in code
        if len(lines(source)) > CODE_LINES
    ]
    middle = median(len(source) for _, source in code)
    if middle > CODE_CHARACTERS:
        found.append(f"the median code cell has {middle:.0f} characters")
    words = {n: len(cell.source.split()) for n, cell in text_cells(book)}
    ends = (0, len(book.cells) - 1)
    return found + [
        f"cell {n} has {count} words"
        for n, count in words.items()
        if count > TEXT_WORDS and n not in ends
    ]


def pictures_have_words(book: Book) -> list[str]:
    """A picture is followed by **Look.** and carries its first paragraph as alternative text."""
    found = []
    for n, cell in code_cells(book):
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        after = book.cells[n + 1] if n + 1 < len(book.cells) else None
        if pictures and not (after is not None and after.source.startswith("**Look.** ")):
            found.append(f"cell {n}: no Look describes its picture")
        if not all(o.metadata.get("image/png", {}).get("alt") for o in pictures):
            found.append(f"cell {n}: its picture has no alternative text")
    return found


def closes_with_takeaway_verdict_source_and_next(book: Book) -> list[str]:
    if book.name.startswith(LEDGER):
        return []
    parts = [ending(book).find(part) for part in ("**Verdict on the claim", "**Source", "**Next")]
    bullets = re.findall(r"^[-*] ", ending(book).partition("**Verdict")[0], re.M)
    found = [] if len(bullets) == 3 else [f"{len(bullets)} bullets in the takeaway"]
    if -1 in parts or parts != sorted(parts):
        found.append("after '## Takeaway': verdict, source, next")
    return found


def glossary_words_are_marked_where_they_first_stand(book: Book) -> list[str]:
    """A glossary word is bold (it is explained there) or a link to the glossary.

    The first cell names what will be explained, and is exempt. So are headings, code and formulas.
    """
    if book.name.startswith(LEDGER):
        return []
    seen, found = set(), []
    pattern = _any_word()
    for n, cell in text_cells(book):
        if n == 0:
            continue
        source = _unmarkable(cell.source)
        marked = [m.span() for m in re.finditer(r"\*\*.+?\*\*|\[[^]]*\]\([^)]*\)", source, re.S)]
        for match in pattern.finditer(source):
            word = _heading_of(match[0])
            if word in seen:
                continue
            seen.add(word)
            if not any(start <= match.start() < end for start, end in marked):
                found.append(f"cell {n}: {match[0]!r} is neither bold nor a link to {GLOSSARY}")
    return found


def _unmarkable(source: str) -> str:
    """A text cell with blanks in place of what the reader does not read as prose."""
    skipped = (
        r"^```.*?^```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|^#+ .*?$|(?<=\]\()[^)]*"
        r"|^\*\*(?:Your turn|Look|Verdict|Source|Next)\b[^*]*\*\*"
    )
    return re.sub(skipped, lambda match: " " * len(match[0]), source, flags=re.M | re.S)


@cache
def glossary() -> tuple[str, ...]:
    """The words of the glossary, which are its headings."""
    path = Path(__file__).parent.parent / "notebooks" / f"{GLOSSARY}.ipynb"
    book = Book(GLOSSARY, nbformat.read(path, as_version=4).cells, 0)
    return tuple(title for _, level, title in headings(book) if level == 2)


@cache
def _any_word() -> re.Pattern[str]:
    longest_first = sorted(glossary(), key=len, reverse=True)
    words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in longest_first)
    return re.compile(rf"(?<![\w-])(?:{words})s?(?![\w-])", re.I)


def _heading_of(found: str) -> str:
    plain = " ".join(found.lower().split())
    lower = {word.lower() for word in glossary()}
    return plain if plain in lower else plain.removesuffix("s")


def links_to_the_glossary_arrive(book: Book) -> list[str]:
    anchors = {word.replace(" ", "-") for word in glossary()}
    return [
        f"cell {n}: no word {anchor!r} in the glossary"
        for n, cell in text_cells(book)
        for anchor in re.findall(rf"\({GLOSSARY}\.ipynb#([^)]*)\)", cell.source)
        if anchor not in anchors
    ]


LESSON_RULES: tuple[Rule, ...] = (
    *COMMON,
    the_first_cell_says_what_it_takes,
    each_guess_comes_before_its_measurement,
    three_to_six_predictions_and_three_exercises,
    a_look_and_a_finding_follow_each_measurement,
    findings_stand_alone_and_hold,
    no_bare_assert,
    planned_errors_are_one_line,
    headings_are_questions,
    cells_are_short,
    pictures_have_words,
    closes_with_takeaway_verdict_source_and_next,
    glossary_words_are_marked_where_they_first_stand,
    links_to_the_glossary_arrive,
)


# --- the student edition ----------------------------------------------------------------------


def nothing_was_run(book: Book) -> list[str]:
    return [
        f"cell {n} has an output or a count"
        for n, cell in code_cells(book)
        if cell.outputs or cell.execution_count is not None
    ]


def looks_are_folded(book: Book) -> list[str]:
    """What a measurement showed stands behind a click."""
    folded = re.compile(r"<details>.*?</details>", re.S)
    return [
        f"cell {n}: an open Look"
        for n, cell in text_cells(book)
        if re.search(r"^\*\*Look\.\*\*", folded.sub("", cell.source), re.M)
    ]


def sources_of_findings_are_hidden(book: Book) -> list[str]:
    return [
        f"cell {n}: the source of a finding can be read"
        for n in sorted({n for n, _ in calls(book, "finding")})
        if not book.cells[n].metadata.get("jupyter", {}).get("source_hidden")
    ]


def exercises_are_starters(book: Book) -> list[str]:
    """A starter's function ends with `...` after its docstring."""
    found = []
    for n, cell in code_cells(book):
        if not _is_exercise(cell):
            continue
        functions = [f for f in ast.parse(cell.source).body if isinstance(f, ast.FunctionDef)]
        bodies = [[ast.unparse(line) for line in f.body[1:]] for f in functions]
        if bodies != [["..."]]:
            found.append(f"cell {n}: the exercise is solved")
    return found


STUDENT_RULES: tuple[Rule, ...] = (
    nothing_was_run,
    looks_are_folded,
    sources_of_findings_are_hidden,
    exercises_are_starters,
)


# --- the glossary -----------------------------------------------------------------------------


def one_short_paragraph_for_each_word(book: Book) -> list[str]:
    """Words in alphabetical order, each explained in one paragraph of at most 60 words."""
    found = []
    words = [title for _, level, title in headings(book) if level == 2]
    if words != sorted(words, key=str.casefold) or len(set(words)) != len(words):
        found.append("the words must be in alphabetical order, each once")
    for n, cell in text_cells(book):
        for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", cell.source, re.M | re.S):
            paragraphs = [part for part in body.split("\n\n") if part.strip()]
            if len(paragraphs) != 1 or len(body.split()) > 60:
                found.append(f"cell {n}: {title} needs one paragraph of at most 60 words")
    return found


GLOSSARY_RULES: tuple[Rule, ...] = (
    *(rule for rule in COMMON if rule.__name__ != "names_its_claims"),
    one_short_paragraph_for_each_word,
    links_to_the_glossary_arrive,
)
