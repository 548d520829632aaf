"""Leakage is the share of validation bytes that lie in stretches of training text."""

from itertools import pairwise

import pytest
import torch
from texts import paragraphs, the_small_text

from minimoe.data import Corpus, Text, encode
from minimoe.errors import InputError
from minimoe.measure import leakage as leakages
from minimoe.measure.leakage import leakage


def corpus(text: str, domain_ids: list[int] | None = None) -> Corpus:
    tokens = encode(text)
    ids = torch.tensor(domain_ids or [0] * len(tokens), dtype=torch.uint8)
    return Corpus(tokens, ids, ("a", "b", "c"))


def slow_leakage(text: Text, window: int) -> dict[str, float]:
    """Every stretch looked up in the training text, one after the other."""
    train, validation = (bytes(side.tokens.tolist()) for side in (text.train, text.validation))
    leaks = [False] * len(validation)
    for start in range(len(validation) - window + 1):
        if validation[start : start + window] in train:
            leaks[start : start + window] = [True] * window
    ids = text.validation.domain_ids.tolist()
    by_domain = {
        name: [leak for leak, own in zip(leaks, ids, strict=True) if own == i]
        for i, name in enumerate(text.validation.domains)
    }
    shares = {name: sum(own) / len(own) for name, own in by_domain.items() if own}
    return {**shares, "all": sum(leaks) / len(leaks)}


def test_a_byte_leaks_if_a_stretch_around_it_stands_in_the_training_text() -> None:
    text = Text(corpus("xbcdx"), corpus("abcde"))
    assert leakage(text, 3) == {"a": 3 / 5, "all": 3 / 5}
    assert leakage(text, 4) == {"a": 0.0, "all": 0.0}


@pytest.mark.parametrize("window", [1, 2, 5, 40, 63])
def test_leakage_is_that_of_the_slow_search(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakages, "CHUNK", 1000)  # many chunks, and stretches across their ends
    lines = paragraphs("a", 60).split("\n\n")
    mixed = [line[:i] + other[i:] for i, (line, other) in enumerate(pairwise(lines))]
    validation = "".join(mixed)
    ids = [int(i % 700 > 500) for i in range(len(encode(validation)))]
    text = Text(corpus("".join(lines[::2])), corpus(validation, ids))
    found = leakage(text, window)
    assert found == pytest.approx(slow_leakage(text, window), abs=1e-12)
    assert set(found) == {"a", "b", "all"}
    assert window != 5 or 0.1 < found["all"] < 0.9


def test_a_text_shorter_than_a_stretch_does_not_leak() -> None:
    for train, validation in (("abc", "abcdef"), ("abcdef", "abc")):
        assert leakage(Text(corpus(train), corpus(validation)), 4)["all"] == 0


def test_all_of_a_text_leaks_into_itself() -> None:
    train = the_small_text().train
    assert leakage(Text(train, train)) == {"english": 1, "chinese": 1, "python": 1, "all": 1}


def test_the_small_text_leaks_this_much() -> None:
    found = {name: round(share, 3) for name, share in leakage(the_small_text()).items()}
    assert found == {"english": 0.225, "chinese": 0.093, "python": 0.172, "all": 0.179}


def test_a_stretch_of_no_bytes_is_refused() -> None:
    with pytest.raises(InputError, match="window.*1.*0"):
        leakage(the_small_text(), 0)
