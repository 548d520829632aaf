"""The ledger of claims is whole and agrees with itself."""

from pathlib import Path

from minimoe.series import PLANNED, VERDICTS, Claim, articles, claims, notebooks

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def test_the_ledger_opens_with_moe_sparse_and_holds_22_claims() -> None:
    first = claims()[0]
    assert len(claims()) == 22
    assert (first.id, first.notebooks) == ("moe-sparse", ("02", "07"))


def test_there_are_five_articles_and_the_third_notebook_is_the_moe_layer() -> None:
    assert [article.id for article in articles()] == ["A0", "A1", "A2", "A3", "A4"]
    assert notebooks()[2].name == "02_moe_layer"
    assert [notebook.number for notebook in notebooks()] == [f"{n:02}" for n in range(19)]


def test_no_id_is_used_twice() -> None:
    for ids in ([row.id for row in articles()], [row.id for row in claims()]):
        assert len(set(ids)) == len(ids)


def test_a_claim_is_made_by_an_article_and_tested_by_a_notebook() -> None:
    ids, numbers = {row.id for row in articles()}, {book.number for book in notebooks()}
    for claim in claims():
        assert claim.articles and set(claim.articles) <= ids, claim.id
        assert claim.notebooks and set(claim.notebooks) <= numbers, claim.id
        assert claim.claim.endswith(".") and claim.learn.endswith("."), claim.id


def test_a_claim_has_a_verdict_when_its_notebooks_are_built_and_none_before() -> None:
    for claim in claims():
        assert claim.verdict in (PLANNED, *VERDICTS), claim.id
        if claim.state != "tested in part":
            assert (claim.verdict == PLANNED) == (claim.state == PLANNED), claim.id


def test_a_claim_is_tested_in_part_while_one_of_its_notebooks_is_missing() -> None:
    row = dict(id="x", claim="X.", articles=("A0",), learn="Y.", verdict=PLANNED)
    states = [Claim(notebooks=books, **row).state for books in (("02",), ("02", "99"), ("99",))]
    assert states == ["tested", "tested in part", "planned"]


def test_a_notebook_is_built_exactly_when_its_source_is_in_the_folder() -> None:
    sources = {path.stem for path in (NOTEBOOKS / "source").glob("*.py")}
    assert sources == {book.name for book in notebooks() if book.state == "built"}


def test_every_planned_and_built_notebook_asks_a_question() -> None:
    assert all(book.question.endswith("?") for book in notebooks())
    assert {book.state for book in notebooks()} <= {"built", "planned"}
