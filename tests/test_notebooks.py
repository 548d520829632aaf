"""Every notebook keeps the rules of the series, and every rule refuses what breaks it."""

import base64
import html
import io
import os
import re
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import lesson_rules as lesson
import nbformat
import notebook_rules as rules
import pytest
from lesson_rules import GLOSSARY, GLOSSARY_RULES, LESSON_RULES, STUDENT_RULES, is_lesson
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebook_rules import RULES, Book, Rule
from PIL import Image

from minimoe.exercises.shelf import exercises_of
from minimoe.series import Notebook, claims, notebooks
from minimoe.show.colors import EXPERT_COLORS

FOLDER = Path(__file__).parent.parent / "notebooks"
STORED = sorted(FOLDER.glob("*.ipynb"))
STUDENT = sorted((FOLDER / "student").glob("*.ipynb"))


def load(path: Path) -> Book:
    cells = nbformat.read(path, as_version=4).cells
    return Book(name=path.stem, cells=cells, size=path.stat().st_size)


def script(name: str) -> ModuleType:
    loader = SourceFileLoader(f"notebook_{name}", str(FOLDER / f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def builder() -> ModuleType:
    return script("build")


# --- the notebooks keep the rules ---------------------------------------------------------------


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_notebook_agrees_with_its_source_and_keeps_every_rule(path: Path) -> None:
    book = load(path)
    own = GLOSSARY_RULES if book.name == GLOSSARY else LESSON_RULES if is_lesson(book) else RULES
    assert broken(book, own) == {}
    assert builder().disagreement(FOLDER / "source" / f"{path.stem}.py", path) is None


@pytest.mark.parametrize("path", STUDENT, ids=lambda path: path.stem)
def test_a_student_edition_agrees_with_its_source_and_gives_nothing_away(path: Path) -> None:
    assert broken(load(path), STUDENT_RULES) == {}
    assert builder().disagreement(FOLDER / "source" / f"{path.stem}.py", path) is None


def broken(book: Book, own: tuple[Rule, ...]) -> dict[str, list[str]]:
    found = {rule.__name__: rule(book) for rule in own}
    return {name: complaints for name, complaints in found.items() if complaints}


def test_a_student_edition_is_run_where_it_has_exercises() -> None:
    repeats = script("conftest").repeats
    run = {path.name[:2] for path in STUDENT if not repeats(path)}
    assert run == {book.number for book in notebooks() if book.exercises}
    assert not any(repeats(path) for path in STORED)


@pytest.mark.parametrize(
    ("source", "repeated"),
    [("n = 1", True), ("# Run this cell.\nn = 1", True), ("n = 2", False), ("n = 1\nm = 1", False)],
)
def test_one_line_more_or_changed_is_run_and_a_comment_is_not(
    tmp_path: Path, source: str, repeated: bool
) -> None:
    (tmp_path / "student").mkdir()
    for path, cell in ((tmp_path / "01.ipynb", "n = 1"), (tmp_path / "student/01.ipynb", source)):
        nbformat.write(nbformat.v4.new_notebook(cells=[markdown(str(path)), code(cell)]), path)
    assert script("conftest").repeats(tmp_path / "student/01.ipynb") is repeated
    (tmp_path / "01.ipynb").unlink()
    assert not script("conftest").repeats(tmp_path / "student/01.ipynb")


def test_every_built_notebook_is_stored_in_both_editions() -> None:
    built = {b.name for b in notebooks() if b.state == "built"} | {GLOSSARY}
    assert {path.stem for path in STORED} == {path.stem for path in STUDENT} == built


def test_the_ledger_shows_every_claim_and_folds_every_verdict() -> None:
    outputs = [rules.shown(cell) for cell in load(FOLDER / "99_ledger.ipynb").cells]
    shown = "\n".join(outputs)
    assert [claim.id for claim in claims() if claim.id not in shown] == []
    unfolded = re.sub(r"<details>.*?</details>", "", shown, flags=re.S)
    assert [
        c.id for c in claims() if c.learn and html.escape(c.learn, quote=False) in unfolded
    ] == []


def test_the_map_shows_every_notebook() -> None:
    shown = "\n".join(rules.shown(cell) for cell in load(FOLDER / "00_start.ipynb").cells)
    assert [book.number for book in notebooks() if book.question not in shown] == []
    for book in (b for b in notebooks() if b.state == "built"):
        wanted = [book.number, book.question, book.minutes, book.seconds, book.exercises]
        pattern = r"\s+".join(re.escape(str(part)) for part in wanted)
        assert re.search(rf"^ *{pattern}\b", shown, re.M), f"the map is stale: {book.number}"


@pytest.mark.parametrize(
    "book", [b for b in notebooks() if b.state == "built"], ids=lambda b: b.number
)
def test_the_map_agrees_with_the_notebooks(book: Notebook) -> None:
    """Exercises, and minutes and seconds where the first cell names them."""
    first = load(FOLDER / f"{book.name}.ipynb").cells[0].source.replace("\n", " ")
    source = (FOLDER / "source" / f"{book.name}.py").read_text(encoding="utf-8")
    asked = re.findall(r'^# %% tags=\["exercise"\]\n# (\d\d\.\d+)$', source, re.M)
    assert len(asked) == book.exercises
    assert asked == (list(exercises_of(book.number)) if asked else [])
    takes = re.search(r"\*Takes\* about (\d+) minutes, (\d+) exercises", first)
    if takes:
        assert [int(number) for number in takes.groups()] == [book.minutes, book.exercises]
    runs = re.search(r"\*Runs in\* about (\d+) s\b", first)
    assert runs and int(runs[1]) == book.seconds
    assert set(book.needs) <= {other.number for other in notebooks() if other.state == "built"}
    assert book.number not in book.needs


# --- the rules refuse what they should ----------------------------------------------------------


def markdown(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, printed: str = "", *tags: str) -> NotebookNode:
    outputs = [nbformat.v4.new_output("stream", text=printed)] if printed else []
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def numbered(cells: list[NotebookNode], name: str = "02_moe_layer", size: int = 1000) -> Book:
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
    return Book(name=name, cells=cells, size=size)


def good_cells() -> list[NotebookNode]:
    """A small notebook that keeps every rule, as 02; the tests below spoil it in one place."""
    first = markdown(
        f"# 02 · {notebooks()[2].question}\n\n**Question.** What?\n\n"
        "**You will be able to** say.\n\nClaims: `moe-sparse`, `moe-monolith`. Runs in about 20 s."
    )
    last = markdown(
        "## Takeaway\n\n- One.\n- Two.\n- Three.\n\n**Verdict on the claim.** `moe-sparse`: "
        "*misleading*. `moe-monolith`: *shown here,\nwith a condition*.\n\n**Try.** 1. Why?\n\n"
        "<details>\n\n```python\nassert 8 * 8 == 64\n```\n\n</details>\n\n"
        "**Source.** Table 12 of arXiv 2401.06066.\n\n**Next.** [03](03.ipynb)"
    )
    rounds = [
        [
            markdown("## The router chooses"),
            markdown("**Predict.** 1,000 or 2,000?"),
            code("print(4096)", "4,096\n"),
            markdown("**Look.** It is 4096, in 2024, as float64 and as 16-bit, or 64."),
            code("assert 1 + 1 == 2"),
            markdown("So it is."),
            code("1 / 0\n", "", "raises-exception"),
        ]
        for _ in range(4)
    ]
    for cells in rounds:
        cells[-1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="no", traceback=[])]
    return [first, code("import minimoe"), *(cell for cells in rounds for cell in cells), last]


def picture(alt: str = "") -> NotebookNode:
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return nbformat.v4.new_output("display_data", data={"image/png": "AAAA"}, metadata=metadata)


Spoil = Callable[[list[NotebookNode]], object]


def put(place: int, cell: NotebookNode) -> Spoil:
    return lambda cells: cells.__setitem__(place, cell)


def swap(place: int, old: str, new: str) -> Spoil:
    def spoil(cells: list[NotebookNode]) -> None:
        assert old in cells[place].source
        cells[place].source = cells[place].source.replace(old, new)

    return spoil


# Cells of the good notebook: 0 title, 1 imports, 2 heading, 3 Predict, 4 print, 5 Look, 6 assert,
# 7 text, 8 a failure that is meant; -1 the end.
SPOILED: list[tuple[Rule, Spoil, str]] = [
    (rules.outputs_are_stored, put(4, code("print(4096)")), "cell 4 has no stored output"),
    (rules.outputs_are_stored, lambda cells: cells[8].outputs.clear(), "cell 8 has no"),
    (rules.no_cell_failed_unmeant, lambda cells: cells[8].metadata.clear(), "cell 8 failed"),
    (
        rules.no_warning_is_stored,
        lambda cells: cells[4].outputs[0].update(name="stderr"),
        "cell 4 wrote to stderr",
    ),
    (rules.nothing_of_this_machine_is_stored, put(4, code("1", f"{FOLDER}/x.py")), "cell 4"),
    (rules.nothing_of_this_machine_is_stored, put(4, code("1", "<Line2D at 0x7f0d>")), "at 0x7f0d"),
    (rules.between_25_and_40_cells, lambda cells: cells.__delitem__(slice(2, 9)), "24 cells"),
    (rules.code_cells_are_short, put(6, code("x = 1\n" * 16)), "cell 6 has 16 lines"),
    (
        rules.code_cells_are_short,
        lambda cells: [c.update(source="x = 1\n" * 7) for c in cells if c.cell_type == "code"],
        "the median code cell has 7",
    ),
    (
        rules.functions_have_at_most_12_lines,
        put(6, code("def long():" + "\n    x = 1" * 12)),
        "cell 6: long is long",
    ),
    (
        rules.no_training_loop,
        put(6, code("for _ in range(9):\n    loss().backward()")),
        "training loop",
    ),
    (rules.no_setting_up_or_download, put(6, code("import sys; sys.path.append('.')")), "sys.path"),
    (rules.no_setting_up_or_download, put(6, code("%pip install torch")), "cell 6: %pip"),
    (rules.no_setting_up_or_download, put(6, code("import urllib.request")), "cell 6: urllib"),
    (rules.no_drawing_recipe, put(6, code("ax.plot(x)\n" * 4)), "cell 6: 4 drawing calls"),
    (rules.known_tags, put(6, code("assert 1", "", "slow")), "cell 6: unknown tag slow"),
    (rules.known_tags, put(6, code("assert 1", "", "timing")), "go together"),
    (rules.opens_with_its_question, swap(0, "# 02 · What does", "# 02 · What did"), "title must"),
    (rules.opens_with_its_question, swap(0, "**Question.**", "Question."), "no '**Question.**'"),
    (rules.opens_with_its_question, put(1, markdown("Hello.")), "second cell"),
    (
        rules.predicts_looks_and_asserts_three_to_five_times,
        lambda cells: cells.__delitem__(slice(2, 16)),
        "2 rounds",
    ),
    (rules.predicts_looks_and_asserts_three_to_five_times, put(4, markdown("Hm.")), "code must"),
    (rules.predicts_looks_and_asserts_three_to_five_times, put(5, markdown("Hm.")), "no Look"),
    (rules.predicts_looks_and_asserts_three_to_five_times, put(6, code("1 == 2")), "no assert"),
    (
        rules.figures_are_followed_by_words,
        lambda cells: cells[6].outputs.append(picture()),
        "cell 6: no Look",
    ),
    (rules.closes_with_takeaway_and_answers, swap(-1, "- Two.\n", ""), "2 bullets"),
    (rules.closes_with_takeaway_and_answers, swap(-1, "<details>", ""), "no '<details>'"),
    (rules.closes_with_takeaway_and_answers, swap(-1, "**Verdict on", "**On"), "no '**Verdict"),
    (rules.numbers_in_prose_are_shown, swap(5, "4096", "4097"), "no output shows 4097"),
    (rules.numbers_in_prose_are_shown, swap(5, "4096", "2,048"), "no output shows 2048"),
    (rules.numbers_in_prose_are_shown, swap(5, "4096", "0.5"), "no output shows 0.5"),
    (rules.numbers_in_prose_are_shown, swap(5, "4096", "$10^{-9}$"), "no output shows 1E-9"),
    (rules.answers_compile, swap(-1, "8 * 8 ==", "8 * 8 =="[:-1] + " ="), "in an answer"),
    (rules.names_its_claims, swap(0, "moe-sparse", "moe-fast"), "moe-sparse is not named"),
    (rules.names_its_claims, swap(0, "moe-sparse", "moe-fast"), "no claim moe-fast"),
    (rules.verdicts_agree_with_the_ledger, swap(-1, "shown here,\nwith", "shown with"), "ledger"),
    (
        rules.verdicts_agree_with_the_ledger,
        swap(-1, "moe-sparse", "it"),
        "no verdict on moe-sparse",
    ),
]


def complaints(rule: Rule, spoil: Spoil) -> list[str]:
    cells = good_cells()
    spoil(cells)
    return rule(numbered(cells))


def test_a_good_notebook_keeps_every_rule() -> None:
    good = numbered(good_cells())
    assert [complaint for rule in RULES for complaint in rule(good)] == []


@pytest.mark.parametrize(
    ("rule", "spoil", "said"), SPOILED, ids=[r.__name__ for r, _, _ in SPOILED]
)
def test_a_spoiled_notebook_is_refused(rule: Rule, spoil: Spoil, said: str) -> None:
    found = complaints(rule, spoil)
    assert found and any(said in complaint for complaint in found), found


def test_a_notebook_with_cleared_counts_or_too_many_bytes_is_refused() -> None:
    cleared = Book(name="02_moe_layer", cells=good_cells(), size=500_001)
    assert rules.cells_were_run_in_order(cleared)
    assert rules.at_most_500_kilobytes(cleared)


def test_every_rule_was_seen_to_refuse() -> None:
    tried = {rule for rule, _, _ in SPOILED}
    assert set(RULES) - tried == {rules.cells_were_run_in_order, rules.at_most_500_kilobytes}


# --- lessons: the rules refuse what they should ---------------------------------------------------


def lesson_cells() -> list[NotebookNode]:
    """A small lesson that keeps every rule, as 02; the tests below spoil it in one place."""
    cells = [
        markdown(
            f"# 02 · {notebooks()[2].question}\n\n**You will be able to** say.\n\n"
            "*Claims:* `moe-sparse`, `moe-monolith`. *Needs:* 00.\n"
            "*Takes* about 50 minutes, 3 exercises. *Runs in* about 8 s."
        ),
        code("import minimoe"),
    ]
    for n in (1, 3, 5):
        drawn = code(f'plot(4096)\npredict("02.{n}", measured={{"a": True, "b": False}})')
        drawn.outputs = [picture("One bar.")]
        task = code("def f(x):\n    return x\n" * (15 if n == 1 else 1), "right\n", "exercise")
        cells += [
            markdown("## How many?\n\nA **token** or an [expert](98_glossary.ipynb#expert)."),
            code(f'guess_{n} = ...\npredict("02.{n}", guess_{n}, a="few", b="all")', "no guess\n"),
            drawn,
            markdown("**Look.** One bar, 4096 high. Tokens."),
            code('n = 4096\nfinding("All.", n == 4096, n=n)', "HOLDS · All. [n = 4096]\n"),
            task,
        ]
    last = (
        "## Takeaway\n\n- One.\n- Two.\n- Three.\n\n**Verdict on the claims.** `moe-sparse`: "
        "*misleading*. `moe-monolith`: *shown here, with a condition*.\n\n"
        "**Source.** Table 12.\n\n**Next.** [03](03.ipynb)"
    )
    return [*cells, markdown(last)]


def after(place: int, cell: NotebookNode) -> Spoil:
    return lambda cells: cells.insert(place + 1, cell)


def without(*places: int) -> Spoil:
    return lambda cells: [cells.pop(place) for place in sorted(places, reverse=True)]


def exchanged(one: int, other: int) -> Spoil:
    def spoil(cells: list[NotebookNode]) -> None:
        cells[one], cells[other] = cells[other], cells[one]

    return spoil


# Cells of the lesson: 0 title, 1 imports, 2 heading, 3 guess, 4 picture and measurement, 5 Look,
# 6 finding, 7 exercise; 8 to 13 and 14 to 19 the same; 20 the end.
SPOILED_LESSONS: list[tuple[Rule, Spoil, str]] = [
    (lesson.the_first_cell_says_what_it_takes, swap(0, "# 02 ·", "# 2 ·"), "the title must be"),
    (lesson.the_first_cell_says_what_it_takes, swap(0, "*Needs:*", "Needs"), "no '*Needs:*'"),
    (lesson.the_first_cell_says_what_it_takes, swap(0, "3 ex", "4 ex"), "says 4 exercises and has"),
    (lesson.the_first_cell_says_what_it_takes, swap(0, "8 s", "long"), "must be numbers"),
    (lesson.the_first_cell_says_what_it_takes, put(1, markdown("Hello.")), "second cell"),
    (lesson.each_guess_comes_before_its_measurement, exchanged(3, 4), "02.1: measured in cell 3"),
    (lesson.each_guess_comes_before_its_measurement, swap(4, "02.1", "02.7"), "no prediction"),
    (lesson.each_guess_comes_before_its_measurement, swap(4, "02.1", "02.7"), "no measurement"),
    (lesson.each_guess_comes_before_its_measurement, swap(9, "02.3", "02.1"), "02.1 twice"),
    (lesson.each_guess_comes_before_its_measurement, swap(3, "guess_1 =", "guess ="), "guess_1"),
    (lesson.each_guess_comes_before_its_measurement, swap(4, '"b"', '"c"'), "not those offered"),
    (lesson.three_to_six_predictions_and_three_exercises, without(3, 4), "2 predictions"),
    (lesson.three_to_six_predictions_and_three_exercises, without(7), "2 exercises"),
    (lesson.a_look_and_a_finding_follow_each_measurement, without(5), "02.1: no Look"),
    (lesson.a_look_and_a_finding_follow_each_measurement, without(12), "02.3: no finding"),
    (lesson.findings_stand_alone_and_hold, swap(6, "finding(", "_ = finding("), "begin a line"),
    (
        lesson.findings_stand_alone_and_hold,
        put(6, code('finding("A.", 1)', "4\nHOLDS · A.\n")),
        "only findings",
    ),
    (lesson.findings_stand_alone_and_hold, put(5, code("f()", "DOES NOT HOLD · A.\n")), "DOES NOT"),
    (lesson.no_bare_assert, swap(4, "plot(4096)", "assert f()"), "cell 4: use finding"),
    (lesson.planned_errors_are_one_line, after(1, code("f()", "", "raises-exception")), "expect"),
    (lesson.headings_are_questions, swap(2, "How many?", "Many experts are used"), "no question"),
    (lesson.headings_are_questions, swap(8, "## How", "#### How"), "level 4 after level 2"),
    (lesson.headings_are_questions, swap(8, "## How", "# How"), "level 1 after level 2"),
    (lesson.cells_are_short, put(1, code("x = 1\n" * 16)), "cell 1 has 16 lines"),
    (lesson.cells_are_short, after(1, markdown("word " * 91)), "cell 2 has 91 words"),
    (
        lesson.cells_are_short,
        lambda cells: [c.update(source="#" * 301) for c in cells if c.cell_type == "code"],
        "the median code cell has 301 characters",
    ),
    (lesson.pictures_have_words, after(4, markdown("So.")), "cell 4: no Look"),
    (lesson.pictures_have_words, lambda cells: cells[4].outputs[0].metadata.clear(), "alternative"),
    (lesson.closes_with_takeaway_verdict_source_and_next, swap(-1, "- Two.\n", ""), "2 bullets"),
    (lesson.closes_with_takeaway_verdict_source_and_next, swap(-1, "**Next.**", ""), "next"),
    (lesson.closes_with_takeaway_verdict_source_and_next, swap(-1, "**Source", "**Next"), "next"),
    (
        lesson.glossary_words_are_marked_where_they_first_stand,
        swap(2, "**token**", "token"),
        "cell 2: 'token'",
    ),
    (
        lesson.glossary_words_are_marked_where_they_first_stand,
        after(1, markdown("The experts' **KV cache**.")),
        "cell 2: 'experts'",
    ),
    (lesson.links_to_the_glossary_arrive, swap(2, "#expert", "#experts"), "no word 'experts'"),
]  # fmt: skip


def test_a_good_lesson_keeps_every_rule() -> None:
    assert broken(numbered(lesson_cells()), LESSON_RULES) == {}
    assert is_lesson(numbered(lesson_cells())) and not is_lesson(numbered(good_cells()))


def test_the_ledger_is_a_lesson_without_exercises_and_takeaway() -> None:
    cells = [c for c in lesson_cells()[:8] if "exercise" not in c.metadata.get("tags", [])]
    book = numbered(cells, name="99_ledger")
    assert is_lesson(book)
    assert not lesson.three_to_six_predictions_and_three_exercises(book)
    assert not lesson.closes_with_takeaway_verdict_source_and_next(book)


@pytest.mark.parametrize(
    ("rule", "spoil", "said"), SPOILED_LESSONS, ids=[r.__name__ for r, _, _ in SPOILED_LESSONS]
)
def test_a_spoiled_lesson_is_refused(rule: Rule, spoil: Spoil, said: str) -> None:
    cells = lesson_cells()
    spoil(cells)
    found = rule(numbered(cells))
    assert found and any(said in complaint for complaint in found), found


def test_every_rule_for_lessons_was_seen_to_refuse() -> None:
    assert set(LESSON_RULES) - set(rules.COMMON) == {rule for rule, _, _ in SPOILED_LESSONS}


def student_cells() -> list[NotebookNode]:
    hidden = code('finding("All.", True)')
    hidden.metadata = nbformat.from_dict({"jupyter": {"source_hidden": True}})
    return [
        markdown("<details><summary><b>Look</b></summary>\n\nAll.\n\n</details>"),
        hidden,
        code('def f(x):\n    """Return x."""\n    ...  # your code', "", "exercise"),
    ]


SPOILED_STUDENT: list[tuple[Rule, Spoil, str]] = [
    (lesson.nothing_was_run, put(1, code("print(1)", "1\n")), "cell 1 has an output"),
    (lesson.nothing_was_run, lambda cells: cells[1].update(execution_count=1), "or a count"),
    (lesson.looks_are_folded, put(0, markdown("**Look.** All.")), "cell 0: an open Look"),
    (
        lesson.sources_of_findings_are_hidden,
        lambda cells: cells[1].metadata.clear(),
        "cell 1: the source",
    ),
    (lesson.exercises_are_starters, swap(2, "...", "return x"), "cell 2: the exercise is solved"),
]


@pytest.mark.parametrize(("rule", "spoil", "said"), SPOILED_STUDENT)
def test_a_spoiled_student_edition_is_refused(rule: Rule, spoil: Spoil, said: str) -> None:
    assert broken(Book("02_moe_layer", student_cells(), 0), STUDENT_RULES) == {}
    cells = student_cells()
    spoil(cells)
    assert said in rule(Book("02_moe_layer", cells, 0))[0]
    assert {r for r, _, _ in SPOILED_STUDENT} == set(STUDENT_RULES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## b\n\nTwo.", "alphabetical"),
        ("## token\n\nOne.\n\nTwo.", "one paragraph"),
        ("## token\n\n" + "word " * 61, "at most 60 words"),
        ("## token\n\n## word\n\nTwo.", "one paragraph"),
    ],
)
def test_a_spoiled_glossary_is_refused(text: str, said: str) -> None:
    first = markdown("# 98 · What?\n\n## c\n\nOne.")
    book = Book(GLOSSARY, [first, markdown(text)], 0)
    assert any(said in complaint for complaint in lesson.one_short_paragraph_for_each_word(book))


# --- the builder ----------------------------------------------------------------------------------


SOURCE = """# %% [markdown]
# # A title

# %%
from matplotlib import pyplot as plt
plt.plot([1, 2])
None

# %% tags=["raises-exception"]
print("a")
print("b", flush=True)
raise ValueError("meant")

# %%
print({1: 2})
"""


def test_two_builds_give_the_same_bytes_and_figures_under_any_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, product = tmp_path / "09_x.py", tmp_path / "09_x.ipynb"
    source.write_text(SOURCE)
    build = builder()
    build.build(source, product)
    first = product.read_bytes()
    monkeypatch.setenv("MPLBACKEND", "Agg")
    build.build(source, product)
    assert product.read_bytes() == first
    assert build.disagreement(source, product) is None
    cells = nbformat.read(product, as_version=4).cells
    assert "image/png" in cells[1].outputs[0].data
    assert [o.get("text") or o.traceback for o in cells[2].outputs] == [
        "a\nb\n",
        ["ValueError: meant"],
    ]
    assert cells[2].metadata == {"tags": ["raises-exception"]}


def test_a_kernel_with_another_backend_draws_inline_after_style() -> None:
    lines = ("from minimoe.show.figures import style; style()", "plt.plot([1, 2]); None")
    first = code(f"from matplotlib import pyplot as plt; {lines[0]}")
    book = nbformat.v4.new_notebook(cells=[first, code(lines[1])])
    client = NotebookClient(book, kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    client.execute(env={**os.environ, "MPLBACKEND": "Agg"})
    assert [list(output.data) for output in book.cells[1].outputs] == [["text/plain", "image/png"]]


def test_thin_lines_keep_their_experts_colours_in_64_colours() -> None:
    """Eight thin lines above a heat map of 256 colours, as in a crowded figure."""
    wanted = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in EXPERT_COLORS]
    picture = Image.new("RGB", (256, 160), "white")
    for line, colour in enumerate(wanted):
        picture.paste(colour, (0, 4 * line, 120, 4 * line + 2))
    for column in range(256):
        picture.paste((column, column, 255 - column // 2), (column, 40, column + 1, 160))
    png = io.BytesIO()
    picture.save(png, "PNG")
    stored = builder()._few_colours(base64.b64encode(png.getvalue()).decode())
    seen = Image.open(io.BytesIO(base64.b64decode(stored)))
    assert seen.mode == "P" and len(seen.getcolors()) <= 64
    for line, colour in enumerate(wanted):
        found = seen.convert("RGB").getpixel((60, 4 * line))
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 20


def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    source, product = tmp_path / "09_x.py", tmp_path / "09_x.ipynb"
    source.write_text('# %% [markdown]\n# # A title\n\n# %%\n1\n\n# %%\nraise KeyError("oh")\n')
    build = builder()
    with pytest.raises(
        build.BuildError, match=r"^09_x, cell 2 \(raise KeyError.*\): KeyError: 'oh'$"
    ):
        build.build(source, product)
    assert [path.name for path in tmp_path.iterdir()] == ["09_x.py"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("A title", "Another", "cell 0 differs"),
        (' tags=["raises-exception"]', "", "cell 2 differs"),
        ("\n# %%\nprint({1: 2})\n", "", "has 4 cells, its source 3"),
    ],
)
def test_a_changed_source_no_longer_agrees(tmp_path: Path, old: str, new: str, said: str) -> None:
    build = builder()
    source, product = tmp_path / "09_x.py", tmp_path / "09_x.ipynb"
    source.write_text(SOURCE)
    product.write_text(nbformat.writes(build.read_source(source)))
    assert build.disagreement(source, product) is None
    assert old in SOURCE
    source.write_text(SOURCE.replace(old, new))
    assert said in build.disagreement(source, product)


def test_a_notebook_that_was_never_built_does_not_agree(tmp_path: Path) -> None:
    (tmp_path / "09_x.py").write_text(SOURCE)
    assert "was not built" in builder().disagreement(tmp_path / "09_x.py", tmp_path / "09_x.ipynb")
