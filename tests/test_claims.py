"""The ledger of claims is whole and agrees with itself."""

import re
from pathlib import Path

import pytest

from minimoe.errors import InputError
from minimoe.series import PLANNED, VERDICTS, Claim, Said, articles, claims, common, notebooks
from minimoe.series.cards import Cards, verdict

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def test_the_ledger_opens_with_moe_sparse_and_holds_26_claims() -> None:
    first = claims()[0]
    assert len(claims()) == 26
    assert (first.id, first.notebooks) == ("moe-sparse", ("02", "07"))


def test_there_are_five_articles_and_the_third_notebook_is_the_moe_layer() -> None:
    assert [article.id for article in articles()] == ["A0", "A1", "A2", "A3", "A4"]
    assert notebooks()[2].name == "02_moe_layer"
    assert [notebook.number for notebook in notebooks()] == [f"{n:02}" for n in range(20)] + ["99"]


def test_no_id_is_used_twice() -> None:
    for ids in ([row.id for row in articles()], [row.id for row in claims()]):
        assert len(set(ids)) == len(ids)


def test_a_claim_is_made_by_an_article_and_tested_by_a_notebook() -> None:
    ids, numbers = {row.id for row in articles()}, {book.number for book in notebooks()}
    for claim in claims():
        assert claim.articles and set(claim.articles) <= ids, claim.id
        assert claim.notebooks and set(claim.notebooks) <= numbers, claim.id
        assert all(said.heading and said.words for said in claim.said), claim.id
        for text in (claim.claim, claim.falsifier, claim.decides, claim.trap):
            assert text[-1] in ".?" and len(text) < 200, claim.id


def test_only_a_claim_with_a_verdict_teaches_something() -> None:
    for claim in claims():
        assert bool(claim.learn) == (claim.verdict != PLANNED), claim.id
        assert claim.learn or not claim.part, claim.id
        if "elsewhere" in claim.verdict:  # a published result needs its source
            assert claim.part and ("arXiv" in claim.learn or "github" in claim.learn), claim.id


def test_what_all_articles_say_is_attributed_to_each() -> None:
    ids = [article.id for article in articles()]
    assert [[said.article for said in both.said] for both in common()] == [ids, ids]
    near = [[said.article for said in both.said if said.nearby] for both in common()]
    assert near == [[], ["A2", "A4"]]
    assert [claim.id for claim in claims() if list(claim.articles) == ids] == ["open-licence"]


def test_articles_that_never_name_experts_or_reinforcement_make_no_claim_about_them() -> None:
    unnamed = {article.id for article in articles() if not article.names_experts}
    silent = {article.id for article in articles() if not article.names_reinforcement}
    assert unnamed == {"A1", "A4"} and silent == {"A1", "A2", "A3", "A4"}
    for claim in claims():
        if claim.topic == "experts":
            assert unnamed.isdisjoint(claim.articles), claim.id
        if claim.id == "rl-reasoning":
            assert silent.isdisjoint(claim.articles)


def test_a_card_shows_the_claim_and_folds_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    claim = next(claim for claim in claims() if claim.id == "moe-questions")
    text, page = repr(Cards([claim])), Cards([claim])._repr_html_()
    for part in (claim.claim, claim.trap.split(";")[0], claim.said[0].words):
        assert part in " ".join(text.split()) and part in page
    assert claim.verdict not in text and claim.verdict not in page.partition("<details>")[0]
    verdict(claim.id)
    shown = " ".join(capsys.readouterr().out.split())
    assert claim.verdict in shown and claim.learn in shown
    verdict("price-war")
    assert "No notebook has tested it yet." in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no claim 'x'; there are moe-sparse"):
        verdict("x")


def test_a_claim_has_a_verdict_when_its_notebooks_are_built_and_none_before() -> None:
    built = {book.number for book in notebooks() if book.state == "built"}
    for claim in claims():
        assert claim.verdict in (PLANNED, *VERDICTS), claim.id
        if built.issuperset(claim.notebooks) or built.isdisjoint(claim.notebooks):
            assert (claim.verdict == PLANNED) == built.isdisjoint(claim.notebooks), claim.id
        elif claim.verdict != PLANNED:
            assert claim.part, claim.id


def test_an_article_that_is_only_near_a_claim_does_not_make_it() -> None:
    said = (
        Said(article="A1", heading="H", words="words"),
        Said(article="A0", heading="H", words="others", nearby=True),
    )
    row = dict(id="x", topic="y", claim="X.", decides="Y.", trap="Z.", falsifier="W.")
    claim = Claim(said=said, notebooks=("02",), verdict=PLANNED, **row)
    assert claim.articles == ("A1",)
    text = repr(Cards([claim]))
    assert "says:" in text and "A1, “H”: words" in text
    assert re.search(r"is near it: +A0, “H”: others", text)


def test_a_notebook_is_built_exactly_when_its_source_is_in_the_folder() -> None:
    sources = {path.stem for path in (NOTEBOOKS / "source").glob("*.py")} - {"98_glossary"}
    assert sources == {book.name for book in notebooks() if book.state == "built"}


def test_every_planned_and_built_notebook_asks_a_question() -> None:
    assert all(book.question.endswith("?") for book in notebooks())
    assert {book.state for book in notebooks()} <= {"built", "planned"}
