"""Exported pages: formulas are drawn without a network, and nothing else is asked for."""

from importlib import import_module
from pathlib import Path

import pytest
from browser import chromium_page

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(NOTEBOOKS)
    return import_module("pages")


@pytest.mark.parametrize(
    ("markdown", "n_formulas"),
    [
        ("costs $6ND$ FLOPs", 1),
        ("$$a = \\sum_i b_i,\n\\qquad c$$ and $x$", 2),
        ("`echo $HOME` and $x$", 1),
        ("```\n$a$ $b$\n```", 0),
        ("costs 5 $ in all", 0),
    ],
)
def test_formulas_become_mathml_and_code_stays(pages, markdown: str, n_formulas: int) -> None:
    html = pages.with_mathml(markdown)
    assert html.count("<math") == n_formulas
    if not n_formulas:
        assert html == markdown


def test_a_page_draws_its_formulas_without_a_network(pages, tmp_path: Path) -> None:
    file = tmp_path / "02_moe_layer.html"
    file.write_text(pages.page(NOTEBOOKS / "02_moe_layer.ipynb"), encoding="utf-8")
    with chromium_page() as (page, problems):
        page.goto(file.as_uri())
        sizes = page.eval_on_selector_all("math", "all => all.map(m => m.clientWidth)")
        assert len(sizes) >= 3 and min(sizes) > 0
        words = page.eval_on_selector_all("img", "all => all.map(i => i.alt)")
        assert len(words) == 2 and all(len(said.split()) > 10 for said in words)
        assert not any("No description" in said for said in words)
        assert problems == []
