"""The ledger of the series in claims.json: articles, their claims, and notebooks that test them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PLANNED = "planned"
VERDICTS = (
    "shown here",
    "shown here, with a condition",
    "arithmetic checked",
    "true elsewhere, not shown at this size",
    "misleading",
    "not testable",
)


@dataclass(frozen=True, kw_only=True)
class Article:
    """One of the articles whose claims are tested."""

    id: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """One notebook of the series; `state` is "built" or "planned"."""

    name: str
    question: str
    state: str

    @property
    def number(self) -> str:
        """The two digits the name starts with: "02" for "02_moe_layer"."""
        return self.name[:2]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim that a computer can check, in our own words.

    `learn` is what a reader should take from the test, `notebooks` the numbers of the notebooks
    that test it, and `verdict` one of `VERDICTS`, or "planned" while there is none.
    """

    id: str
    claim: str
    articles: tuple[str, ...]
    learn: str
    notebooks: tuple[str, ...]
    verdict: str

    @property
    def state(self) -> str:
        """Whether its notebooks are built: "tested", "tested in part" or "planned"."""
        built = {notebook.number for notebook in notebooks() if notebook.state == "built"}
        if built.issuperset(self.notebooks):
            return "tested"
        return PLANNED if built.isdisjoint(self.notebooks) else "tested in part"


def articles() -> tuple[Article, ...]:
    """The five articles, in order; the first has the id "A0"."""
    return tuple(Article(**row) for row in _ledger()["articles"])


def notebooks() -> tuple[Notebook, ...]:
    """The notebooks in order, also those only planned; the third is "02_moe_layer"."""
    return tuple(Notebook(**row) for row in _ledger()["notebooks"])


def claims() -> tuple[Claim, ...]:
    """The 22 claims; the first has the id "moe-sparse" and is tested by notebooks "02" and "07"."""
    return tuple(
        Claim(**row | {name: tuple(row[name]) for name in ("articles", "notebooks")})
        for row in _ledger()["claims"]
    )


@cache
def _ledger() -> dict[str, list[dict[str, Any]]]:
    text = Path(__file__).with_name("claims.json").read_text(encoding="utf-8")
    ledger: dict[str, list[dict[str, Any]]] = json.loads(text)
    return ledger
