"""The rules of the notebook series; each rule returns its complaints about a notebook.

A notebook with exercises keeps the rules in `lesson_rules.py`; the others keep `RULES` until they
are rewritten. `COMMON` holds for both. `test_notebooks.py` checks every notebook against every
rule, and every rule against a notebook that breaks it.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median

from nbformat import NotebookNode

from minimoe.series import PLANNED, VERDICTS, claims, notebooks

MAP = "00_start"
TAGS = {"timing", "nbval-ignore-output", "raises-exception", "exercise"}
PATHS_OF_THIS_MACHINE = (str(Path(__file__).parent.parent), f"{Path.home()}/", "/tmp/")


@dataclass(frozen=True)
class Book:
    """A stored notebook: its name without suffix, its cells, its size in bytes."""

    name: str
    cells: list[NotebookNode]
    size: int


Rule = Callable[[Book], list[str]]


def code_cells(book: Book) -> list[tuple[int, NotebookNode]]:
    return [(n, cell) for n, cell in enumerate(book.cells) if cell.cell_type == "code"]


def text_cells(book: Book) -> list[tuple[int, NotebookNode]]:
    return [(n, cell) for n, cell in enumerate(book.cells) if cell.cell_type == "markdown"]


def text(book: Book) -> str:
    return "\n\n".join(cell.source for _, cell in text_cells(book))


def lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip()]


def ending(book: Book) -> str:
    """The text from the takeaway on."""
    return text(book).partition("## Takeaway")[2]


def verdict(book: Book) -> str:
    """The paragraph with the verdict on the claims, without its bold beginning."""
    until = r"\*\*Try|\*\*Source|\Z"
    found = re.search(rf"\*\*Verdict on the claims?\b(.*?)(?={until})", ending(book), re.S)
    return found[1] if found else ""


# --- stored outputs ---------------------------------------------------------------------------


def cells_were_run_in_order(book: Book) -> list[str]:
    """The execution counts are 1, 2, ... n: nbval compares nothing where no output is stored."""
    counts = [cell.execution_count for _, cell in code_cells(book)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


def outputs_are_stored(book: Book) -> list[str]:
    """A cell that prints, or is meant to fail, has a stored output."""
    missing = []
    for n, cell in code_cells(book):
        prints = re.search(r"^print\(", cell.source, re.M)
        fails = "raises-exception" in cell.metadata.get("tags", [])
        if (prints or fails) and not cell.outputs:
            missing.append(f"cell {n} has no stored output")
    return missing


def no_cell_failed_unmeant(book: Book) -> list[str]:
    return [
        f"cell {n} failed"
        for n, cell in code_cells(book)
        for output in cell.outputs
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])
    ]


def no_warning_is_stored(book: Book) -> list[str]:
    return [
        f"cell {n} wrote to stderr"
        for n, cell in code_cells(book)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]


def nothing_of_this_machine_is_stored(book: Book) -> list[str]:
    stored = [(n, shown(cell) + cell.source) for n, cell in enumerate(book.cells)]
    paths = [
        f"cell {n}: {p}" for n, all_text in stored for p in PATHS_OF_THIS_MACHINE if p in all_text
    ]
    addresses = [(n, re.search(r" at 0x[0-9a-f]+", all_text)) for n, all_text in stored]
    return paths + [f"cell {n}: an object{found[0]}" for n, found in addresses if found]


def at_most_500_kilobytes(book: Book) -> list[str]:
    return [] if book.size <= 500_000 else [f"{book.size} bytes"]


# --- form -------------------------------------------------------------------------------------


def between_25_and_40_cells(book: Book) -> list[str]:
    if book.name == MAP or 25 <= len(book.cells) <= 40:
        return []
    return [f"{len(book.cells)} cells"]


def code_cells_are_short(book: Book) -> list[str]:
    """A code cell has at most 15 lines that are not blank; the median is at most 6."""
    lengths = [(n, len(lines(cell.source))) for n, cell in code_cells(book)]
    found = [f"cell {n} has {length} lines" for n, length in lengths if length > 15]
    middle = median(length for _, length in lengths)
    return found if middle <= 6 else [*found, f"the median code cell has {middle} lines"]


def functions_have_at_most_12_lines(book: Book) -> list[str]:
    return [
        f"cell {n}: {node.name} is long"
        for n, node in syntax(book)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and _span(node) > 12
    ]


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def syntax(book: Book) -> Iterator[tuple[int, ast.AST]]:
    for n, cell in code_cells(book):
        if not re.search(r"^\s*[%!]", cell.source, re.M):
            yield from ((n, node) for node in ast.walk(ast.parse(cell.source)))


def no_training_loop(book: Book) -> list[str]:
    return [
        f"cell {n}: a training loop belongs to the package"
        for n, loop in syntax(book)
        if isinstance(loop, ast.For | ast.While)
        for node in ast.walk(loop)
        if isinstance(node, ast.Attribute) and node.attr in ("backward", "step")
    ]


def no_setting_up_or_download(book: Book) -> list[str]:
    forbidden = r"sys\.path|[%!]\s*pip|pip install|\b(urllib|requests|wget|curl|huggingface_hub)\b"
    found = [(n, re.search(forbidden, cell.source)) for n, cell in code_cells(book)]
    return [f"cell {n}: {match[0]}" for n, match in found if match]


def no_drawing_recipe(book: Book) -> list[str]:
    """minimoe.show draws the figures; a cell has at most three drawing calls, to make the Axes."""
    drawing = r"\b(plt|axe?s?(\[[^]]*\])?|fig|figure)\.\w+\("
    counts = [(n, len(re.findall(drawing, cell.source))) for n, cell in code_cells(book)]
    return [f"cell {n}: {count} drawing calls" for n, count in counts if count > 3]


def known_tags(book: Book) -> list[str]:
    """Tags are known, and a cell with times has the tag that tells nbval to ignore its output."""
    found = []
    for n, cell in enumerate(book.cells):
        tags = set(cell.metadata.get("tags", []))
        found += [f"cell {n}: unknown tag {tag}" for tag in sorted(tags - TAGS)]
        if ("timing" in tags) != ("nbval-ignore-output" in tags):
            found.append(f"cell {n}: timing and nbval-ignore-output go together")
    return found


# --- rhythm -----------------------------------------------------------------------------------


def opens_with_its_question(book: Book) -> list[str]:
    """The first cell has the notebook's number and its question from the ledger as title."""
    first = book.cells[0].source
    asked = {entry.name: entry.question for entry in notebooks()}.get(book.name)
    found = [
        f"no {part!r}" for part in ("**Question.**", "ou will be able to") if part not in first
    ]
    if not first.startswith(f"# {book.name[:2]} · {asked}\n"):
        found.append(f"the title must be '# {book.name[:2]} · {asked}'")
    if book.cells[1].cell_type != "code" or book.cells[1].outputs:
        found.append("the second cell must be code without output")
    return found


def predicts_looks_and_asserts_three_to_five_times(book: Book) -> list[str]:
    """Between two **Predict.** cells stand a code cell, a **Look.** and an assert."""
    rounds = [n for n, cell in enumerate(book.cells) if starts(cell, "Predict")]
    found = [] if 3 <= len(rounds) <= 5 or book.name == MAP else [f"{len(rounds)} rounds"]
    for here, after in zip(rounds, [*rounds[1:], len(book.cells)], strict=True):
        cells = book.cells[here + 1 : after]
        if not cells or cells[0].cell_type != "code":
            found.append(f"cell {here}: code must follow the prediction")
        if not any(starts(cell, "Look") for cell in cells):
            found.append(f"cell {here}: no Look after it")
        if not any(
            c.cell_type == "code" and re.search(r"^\s*assert\b", c.source, re.M) for c in cells
        ):
            found.append(f"cell {here}: no assert after it")
    return found


def starts(cell: NotebookNode, word: str) -> bool:
    """Whether a paragraph of a text cell starts with the bold word."""
    head = rf"(?:\A|\n\n)\*\*{word}\.\*\*"
    return cell.cell_type == "markdown" and bool(re.search(head, cell.source))


def figures_are_followed_by_words(book: Book) -> list[str]:
    """A **Look.** cell follows each picture and describes it for readers who cannot see it."""
    return [
        f"cell {n}: no Look describes its picture"
        for n, cell in code_cells(book)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
        and not (n + 1 < len(book.cells) and starts(book.cells[n + 1], "Look"))
    ]


def closes_with_takeaway_and_answers(book: Book) -> list[str]:
    parts = ("**Verdict on the claim", "**Try", "<details>", "</details>", "**Source", "**Next")
    found = [f"no {part!r} after '## Takeaway'" for part in parts if part not in ending(book)]
    bullets = re.findall(r"^[-*] ", ending(book).partition("**Verdict")[0], re.M)
    return found if len(bullets) == 3 else [*found, f"{len(bullets)} bullets in the takeaway"]


# --- truth ------------------------------------------------------------------------------------


def numbers_in_prose_are_shown(book: Book) -> list[str]:
    """A number in a text cell also occurs in an output or in the code of its notebook.

    Checked are numbers of ten or more, and fractions. Thousands separators and final zeros do not
    matter. Not checked: code spans and blocks, headings, links, years, arXiv ids, notebook numbers,
    bit widths, **Predict.** paragraphs (guesses), tasks of exercises, the time a notebook takes and
    the **Source** paragraph.
    """
    known = set()
    for cell in book.cells:
        code = cell.source if cell.cell_type == "code" else "\n".join(answers(cell.source))
        known |= set(numbers(code.replace("_", ""))) | set(numbers(shown(cell)))
    said = [
        (n, prose(cell.source)) for n, cell in enumerate(book.cells) if cell.cell_type == "markdown"
    ]
    return [
        f"cell {n}: no output shows {number}"
        for n, passage in said
        for number in numbers(passage)
        if number not in known and (number % 1 or abs(number) >= 10)
    ]


def shown(cell: NotebookNode) -> str:
    """All text in the outputs of a cell."""
    outputs = cell.get("outputs", [])
    datas = [data for output in outputs for data in output.get("data", {}).items()]
    streams = [output.get("text", "") + output.get("evalue", "") for output in outputs]
    return "\n".join([*streams, *(str(value) for kind, value in datas if kind != "image/png")])


def numbers(passage: str) -> list[Decimal]:
    """The numbers of a passage; digits inside a word, as in float64, do not count."""
    plain = re.sub(r"(?<=\d)(,|\{,\}|\u202f|\u2009|\\,)(?=\d{3}(?!\d))", "", passage)
    plain = re.sub(r"\b10\^\{?(-?\d+)\}?", r"1e\1", plain)
    return [
        Decimal(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\d_])", plain)
    ]


def prose(source: str) -> str:
    """A text cell without the parts that the rule on numbers does not check."""
    exempt = [
        r"```.*?```",
        r"`[^`\n]*`",
        r"^#+ .*$",
        r"\[[^]]*\]\([^)]*\)|https?://\S+",
        r"\*\*Predict\.\*\*.*",
        r"\*\*Source.*?(?=\*\*Next|\Z)",
        r"[Rr]uns in\W.{0,30}?\bs\b",
        r"\*Takes\* about \d+ minutes, \d+ exercises?",
        r"\A\*\*Your turn .*",
        r"arXiv[: ]*\d{4}\.\d{4,5}",
        r"\b(?:199\d|20[0-2]\d)\b(?![.,]?\d)",
        r"[Nn]otebooks? \d\d(?:(?:, | and |, and )\d\d)*|\b0\d\b(?!\.)",
        r"\b\d+-bit",
        r"^\d+\. ",
    ]
    for pattern in exempt:
        flags = re.M if pattern.startswith("^") else re.S
        source = re.sub(pattern, " ", source, flags=flags)
    return source


def answers(source: str) -> list[str]:
    """The Python code in a text cell: the worked answers of the exercises."""
    return re.findall(r"^```python\n(.*?)^```", source, re.M | re.S)


def answers_compile(book: Book) -> list[str]:
    found = []
    for n, cell in enumerate(book.cells):
        for code in answers(cell.source) if cell.cell_type == "markdown" else []:
            try:
                ast.parse(code)
            except SyntaxError as error:
                found.append(f"cell {n}: {error.msg} in an answer")
    return found


def names_its_claims(book: Book) -> list[str]:
    """The first cell names the claims that the ledger gives this notebook, and no unknown claim."""
    ids = {claim.id for claim in claims()}
    due = {claim.id for claim in claims() if book.name[:2] in claim.notebooks}
    first = book.cells[0].source
    found = [f"{i} is not named in the first cell" for i in sorted(due) if i not in first]
    named = re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", first + verdict(book))
    return found + [f"no claim {i} in the ledger" for i in named if i not in ids]


def verdicts_agree_with_the_ledger(book: Book) -> list[str]:
    """The verdict on a claim uses the ledger's words for this claim."""
    said = " ".join(verdict(book).lower().replace("*", "").split())
    own = [c for c in claims() if book.name[:2] in c.notebooks]
    found = [f"no verdict on {c.id}" for c in own if c.id not in said and c.verdict != PLANNED]
    judged = [c for c in own if re.search(rf"(?<![\w-]){c.id}(?![\w-])", said)]
    for claim in judged:
        if claim.verdict != PLANNED and claim.verdict not in said:
            found.append(f"the ledger says of {claim.id}: {claim.verdict}")
    if judged and not any(word in said for word in (*VERDICTS, PLANNED)):
        found.append("the verdict uses none of the ledger's words")
    return found


COMMON: tuple[Rule, ...] = (
    cells_were_run_in_order,
    outputs_are_stored,
    no_cell_failed_unmeant,
    no_warning_is_stored,
    nothing_of_this_machine_is_stored,
    at_most_500_kilobytes,
    no_training_loop,
    no_setting_up_or_download,
    no_drawing_recipe,
    known_tags,
    numbers_in_prose_are_shown,
    names_its_claims,
    verdicts_agree_with_the_ledger,
)

RULES: tuple[Rule, ...] = (
    *COMMON,
    between_25_and_40_cells,
    code_cells_are_short,
    functions_have_at_most_12_lines,
    opens_with_its_question,
    predicts_looks_and_asserts_three_to_five_times,
    figures_are_followed_by_words,
    closes_with_takeaway_and_answers,
    answers_compile,
)
