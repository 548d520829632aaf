"""The ledger of the series in claims.json: articles, their claims, and notebooks that test them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PLANNED = "planned"
VERDICTS = {
    "shown here": "A notebook measures it on your machine.",
    "shown here, with a condition": "It holds in a sense that the notebook states.",
    "arithmetic checked": "The published numbers follow from each other.",
    "true elsewhere, not shown at this size": "Published results say so; ours are too small.",
    "contradicted here": "A notebook measures the opposite.",
    "contradicted elsewhere": "Published documents say the opposite.",
    "undecided here": "Our test could not have seen the effect.",
    "misleading": "True as worded, false as most readers understand it.",
    "not testable": "No measurement or document could decide it.",
}


@dataclass(frozen=True, kw_only=True)
class Article:
    """One of the articles whose claims are tested.

    `names_experts` and `names_reinforcement` tell whether its text names Mixture of Experts and
    reinforcement learning.
    """

    id: str
    title: str
    file: str
    names_experts: bool
    names_reinforcement: bool


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """One notebook of the series.

    `state` is "built" or "planned". A built one has the minutes it takes to work through, the
    seconds it computes, its number of exercises, and the numbers of the notebooks that it needs.
    """

    name: str
    question: str
    state: str
    minutes: int | None = None
    seconds: int | None = None
    exercises: int | None = None
    needs: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The two digits the name starts with: "02" for "02_moe_layer"."""
        return self.name[:2]


@dataclass(frozen=True, kw_only=True)
class Said:
    """Where an article makes a claim, and what it says there, in our own words.

    `nearby` marks words that say something close to the claim, but not the claim.
    """

    article: str
    heading: str
    words: str
    nearby: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim that a computer, an experiment or a published document can check.

    Args:
        id: a short name.
        topic: of the group it is listed in.
        claim: as it was said, in our own words.
        said: where. An article is named only if its own words say it, or is marked `nearby`.
        decides: what could decide the claim.
        trap: an easy way to decide it wrongly.
        falsifier: the outcome that would refute it.
        notebooks: the numbers of the notebooks that test it.
        verdict: a key of `VERDICTS`, or "planned" while there is none.
        part: what part of the claim the verdict covers; "" for all of it.
        learn: what was measured in a built notebook, or has a source; "" while it is planned.
    """

    id: str
    topic: str
    claim: str
    said: tuple[Said, ...]
    decides: str
    trap: str
    falsifier: str
    notebooks: tuple[str, ...]
    verdict: str
    part: str = ""
    learn: str = ""

    @property
    def articles(self) -> tuple[str, ...]:
        """The articles that make the claim, in order, without those that are only near it."""
        return tuple(sorted({said.article for said in self.said if not said.nearby}))


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all the articles say, or are near to saying, each in its own words."""

    claim: str
    said: tuple[Said, ...]


def articles() -> tuple[Article, ...]:
    """The five articles, in order; the first has the id "A0"."""
    return tuple(Article(**row) for row in _ledger()["articles"])


def notebooks() -> tuple[Notebook, ...]:
    """The notebooks in order, also those only planned; the third is "02_moe_layer"."""
    return tuple(Notebook(**row | {"needs": tuple(row["needs"])}) for row in _ledger()["notebooks"])


def claims() -> tuple[Claim, ...]:
    """The 26 claims; the first has the id "moe-sparse" and is tested by notebooks "02" and "07"."""
    return tuple(
        Claim(**row | {"said": _said(row), "notebooks": tuple(row["notebooks"])})
        for row in _ledger()["claims"]
    )


def common() -> tuple[Common, ...]:
    """What the five articles share; the first is that the models are open source."""
    return tuple(Common(claim=row["claim"], said=_said(row)) for row in _ledger()["common"])


def _said(row: dict[str, Any]) -> tuple[Said, ...]:
    return tuple(Said(**said) for said in row["said"])


@cache
def _ledger() -> dict[str, list[dict[str, Any]]]:
    text = Path(__file__).with_name("claims.json").read_text(encoding="utf-8")
    ledger: dict[str, list[dict[str, Any]]] = json.loads(text)
    return ledger
