"""The ledger as a reader sees it: a card for each claim, its verdict folded."""

import html
from collections.abc import Iterable
from textwrap import fill

from minimoe.errors import InputError, listed
from minimoe.series import PLANNED, Claim, Notebook, claims, notebooks

_WIDTH = 88


class Cards:
    """Claims for the last line of a notebook cell; the verdicts are folded.

    Args:
        shown: the claims, each with who says it, what decides it, the trap and the falsifier.
    """

    def __init__(self, shown: Iterable[Claim]) -> None:
        self.claims = tuple(shown)

    def __repr__(self) -> str:
        return "\n\n".join(_text(claim) for claim in self.claims)

    def _repr_html_(self) -> str:
        return "\n".join(_card(claim) for claim in self.claims)


def verdict(claim_id: str) -> None:
    """Print the verdict on a claim, the part that it covers, and what was learned.

    Raises:
        InputError: there is no such claim.
    """
    known = {claim.id: claim for claim in claims()}
    if claim_id not in known:
        raise InputError(f"there is no claim {claim_id!r}; there are {listed(known, shown=30)}")
    print(f"{claim_id}: {known[claim_id].verdict}")
    for line in _judged(known[claim_id]):
        print(fill(line, _WIDTH, initial_indent="  ", subsequent_indent="  "))


def _rows(claim: Claim) -> list[tuple[str, str]]:
    """The open part of a card: name and text of each row."""
    said = [
        ("is near it" if s.nearby else "says", f"{s.article}, “{s.heading}”: {s.words}")
        for s in claim.said
    ]
    rest = [("decides it", claim.decides), ("trap", claim.trap), ("refuted if", claim.falsifier)]
    return [*said, *rest, ("notebook", ", ".join(map(_with_state, _books(claim))))]


def _books(claim: Claim) -> list[Notebook]:
    return [book for book in notebooks() if book.number in claim.notebooks]


def _with_state(book: Notebook) -> str:
    return book.number if book.state == "built" else f"{book.number} ({book.state})"


def _judged(claim: Claim) -> list[str]:
    """The folded part of a card, below the verdict."""
    if claim.verdict == PLANNED:
        return ["No notebook has tested it yet."]
    part = [f"This covers: {claim.part}"] if claim.part else []
    return [*part, claim.learn]


def _text(claim: Claim) -> str:
    rows = [
        fill(text, _WIDTH, initial_indent=f"    {name + ':':12}", subsequent_indent=" " * 16)
        for name, text in [*_rows(claim), ("verdict", f'verdict("{claim.id}")')]
    ]
    head = fill(f"{claim.id}: {claim.claim}", _WIDTH, subsequent_indent="    ")
    return "\n".join([head, *rows])


def _card(claim: Claim) -> str:
    rows = "<br>\n".join(
        f"<i>{name}</i> · {html.escape(text, quote=False)}" for name, text in _rows(claim)
    )
    judged = " ".join(html.escape(line, quote=False) for line in _judged(claim))
    return (
        f'<p style="margin-bottom:0"><b>{html.escape(claim.claim)}</b> '
        f"<code>{claim.id}</code></p>\n"
        f'<div style="margin-left:1.5em;text-align:left">\n{rows}\n'
        f"<details><summary><i>verdict</i></summary><b>{claim.verdict}</b>. {judged}</details>\n"
        "</div>"
    )
