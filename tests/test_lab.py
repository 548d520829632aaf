"""A reader in a real JupyterLab: guesses, wrong and right answers, own text, interrupt, restart."""

import re
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from browser import chromium_page
from jupyter import LabPage, jupyter_lab
from nbclient import NotebookClient
from playwright.sync_api import Page

from minimoe.exercises.shelf import exercise_named
from minimoe.working_folder.editions import copy_student_edition
from minimoe.working_folder.notes import read, summary

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lab")
    copy_student_edition(NOTEBOOKS / "student", made)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[Page, str]]:
    with chromium_page(1366, 768) as (page, _), jupyter_lab(folder) as address:
        yield page, address


@pytest.fixture(scope="module")
def lab(server: tuple[Page, str]) -> LabPage:
    return LabPage(*server, "02_moe_layer.ipynb")


def answers(name: str) -> list[str]:
    """What the checked edition says after each measurement: first sentences, and findings."""
    cells = jupytext.read(NOTEBOOKS / "source" / f"{name}.py", fmt="py:percent").cells
    text = "\n\n".join(cell.source for cell in cells)
    looks = re.findall(r"^\*\*Look\.\*\* (.+?[.;:])\s", text, re.M | re.S)
    found = re.findall(r'^finding\("(.+?)"', text, re.M)
    return [" ".join(said.replace("*", "").split()) for said in (*looks, *found)]


@pytest.mark.parametrize(
    "name", ["00_start", "01_dense_cost", "03_active_parameters", "02_moe_layer"]
)
def test_no_prediction_shares_the_screen_with_its_answer(
    server: tuple[Page, str], name: str
) -> None:
    lab = LabPage(*server, f"{name}.ipynb")
    screens = [" ".join(screen.split()) for screen in lab.screens()]
    said = answers(name)
    assert len(said) > 10
    assert [answer for answer in said if any(answer in screen for screen in screens)] == []


def test_a_reader_guesses_runs_answers_wrong_and_right(lab: LabPage, folder: Path) -> None:
    for cell in ("from dataclasses import replace", "seed = 0", "tokens = torch.tensor"):
        assert "Error" not in lab.run(cell)
    lab.write("guess_1 = ...", 'guess_1 = "b"\npredict("02.1", guess_1, a="low", b="high")')
    assert "you guess (b) high" in lab.run("guess_1 =")
    lab.run("first, router = x[0]")
    assert "you guessed (b)" in lab.run("weight_of = dict")
    router = exercise_named("02.2")
    assert "not yet" in lab.run("def route(")
    wrong = router.code_cell(solved=True).replace("best / best.sum(-1, keepdim=True)", "best")
    lab.write("def route(", wrong)
    assert "Hint: Divide the chosen scores of a token by their sum." in lab.run("def route(")
    lab.write("def route(", router.code_cell(solved=True))
    assert "02.2 · right" in lab.run("def route(")
    kept = summary(read(folder))["02"]
    assert (kept["right"], kept["tried"], kept["guesses"], kept["met"]) == (1, 1, 1, 0)


def test_a_chinese_sentence_is_coloured_by_expert(lab: LabPage) -> None:
    source = "from minimoe.experiments.routed import view_of\n\nmy_sentence = '月亮有多远？'\n"
    lab.write("my_sentence =", source + "view_of(my_sentence)")
    assert "<iframe" in lab.run("my_sentence =")
    frame = lab.page.frame_locator("iframe[title='Routing view']").first
    assert "月" in frame.locator("body").inner_text()


def test_an_interrupted_cell_stops_and_the_notebook_goes_on(lab: LabPage) -> None:
    lab.write("expect_error(replace", "import time\n\nexpect_error(replace)\ntime.sleep(600)")
    lab.select("time.sleep(600)")
    lab.page.keyboard.press("Control+Enter")
    lab.page.wait_for_timeout(2000)
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("i")
    lab.wait_until_idle()
    assert "KeyboardInterrupt" in lab.output("time.sleep(600)")
    lab.write("time.sleep(600)", "expect_error(replace, config, top_k=E + 1)")
    assert "top_k must lie in" in lab.run("expect_error(replace")


def test_a_long_loop_shows_its_progress_to_a_reader_and_none_to_nbval(lab: LabPage) -> None:
    loop = "import time\nfrom minimoe.training.progress import watched\n\nfor _ in watched(0, 30):"
    loop += "\n    time.sleep(0.1)\nexpect_error(replace, config, top_k=E + 1)"
    lab.write("expect_error(replace", loop)
    assert "30/30" in lab.run("watched(0, 30)")
    lab.write("watched(0, 30)", "expect_error(replace, config, top_k=E + 1)")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(loop.rpartition("\n")[0])])
    NotebookClient(book, kernel_name="python3").execute()
    assert book.cells[0].outputs == []


def test_restart_and_run_all_runs_to_the_end(lab: LabPage) -> None:
    lab.page.evaluate("() => void window.jupyterapp.commands.execute('notebook:restart-run-all')")
    lab.page.locator(".jp-Dialog button.jp-mod-accept").click()
    lab.page.wait_for_timeout(2000)
    lab.wait_until_idle()
    assert "Jupyter news" not in lab.page.inner_text("body")
    states = lab.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
             .filter(cell => cell.model.type === 'code')
             .map(cell => [cell.model.executionCount,
               cell.model.outputs.toJSON().some(o => o.output_type === 'error')])"""
    )
    assert states == [[count, False] for count in range(1, len(states) + 1)]
