"""The text is the documented one, and no validation text was seen in training."""

import dataclasses
import gzip
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from texts import (
    assert_no_leak,
    blocks,
    digest_of,
    domain_text,
    paragraphs,
    sides_of,
    sizes_of,
    the_real_text,
    the_small_text,
)

from minimoe.data import (
    Corpus,
    Text,
    decode,
    encode,
    packaged,
    packaged_text,
    sources,
)
from minimoe.data.sources import read_source
from minimoe.data.text import Split, letters_of_lines, split_every, text_of_splits
from minimoe.data.text import letters as letters_of
from minimoe.errors import InputError
from minimoe.measure.leakage import leakage

HAN = r"[\u4e00-\u9fff]"


def letters(line: str) -> str:
    return re.sub(r"[\W\d_]", "", line).lower()


# Bytes, domains and their split -------------------------------------------------------------------


def test_encode_gives_the_utf8_bytes() -> None:
    assert encode("Aé").tolist() == [65, 195, 169]
    assert len(encode("中")) == 3
    assert encode("").shape == (0,)


def test_decode_gives_back_what_was_encoded_and_marks_broken_bytes() -> None:
    assert decode(encode("Expert 3 → 专家\n")) == "Expert 3 → 专家\n"
    assert decode([65]) == "A"
    assert decode([195]) == "\ufffd"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_positions_are_those_of_the_domains_bytes_in_order(ids: list[int]) -> None:
    """Domain 4 has no byte; the others have stretches of any length, or none."""
    domain_ids = torch.tensor(ids, dtype=torch.uint8)
    corpus = Corpus(torch.zeros_like(domain_ids), domain_ids, tuple("abcde"))
    for domain in range(5):
        slow = torch.nonzero(domain_ids == domain).flatten()
        ranks = torch.arange(len(slow))
        assert torch.equal(corpus.positions(torch.full_like(ranks, domain), ranks), slow)


@given(st.text(st.sampled_from("aZσΣßİǅ中 1_.'\r\u2028\x0b\u0301\n")))
def test_the_letters_of_all_lines_at_once_are_those_of_each_line(text: str) -> None:
    assert letters_of_lines(text) == [letters_of(line) for line in text.split("\n")]


def test_lines_without_letters_are_told_apart_by_all_their_characters() -> None:
    assert letters_of_lines("Step 1:\nstep 2\n 1.0\n1.5") == ["step", "step", "1.0", "1.5"]


@pytest.mark.parametrize(("share", "kept"), [(0.0, "pqr"), (0.5, "qr"), (1.0, "r")])
def test_a_validation_paragraph_is_kept_if_enough_of_it_is_new(share: float, kept: str) -> None:
    old = "seen in training\n"
    new = {"o": 0, "p": 1, "q": 2, "r": 4}  # of four lines
    validation = [
        ("a", "".join(f"{name * 8} is all new{name}\n"[-17:] for _ in range(n)) + old * (4 - n))
        for name, n in new.items()
    ]
    text = text_of_splits([Split([("a", old)], validation)], ("a",), new_share=share)
    assert "".join(sorted(set(re.findall(r"new(\w)", decode(text.validation.tokens))))) == kept


def test_every_tenth_document_is_for_validation_and_its_bytes_are_counted_by_source() -> None:
    documents = [[("a", f"{part}\n\n")] for part in blocks(paragraphs("a", 40))]
    documents += [[("b", f"{part}\n\n")] for part in blocks(paragraphs("b", 20))]
    text = text_of_splits([split_every(documents, 10, sources.DICTIONARY)], ("a", "b"))
    assert decode(text.validation.tokens) == "".join(d[0][1] for d in documents[9::10])
    uses = [(use.domain, use.train_bytes, use.validation_bytes) for use in text.uses]
    assert [list(column) for column in zip(*uses, strict=True)][1:] == sizes_of(text)
    assert text.credits == (sources.DICTIONARY.credit,)
    assert text_of_splits([split_every(documents, 10)], ("a", "b")).credits == ()


# The small text -----------------------------------------------------------------------------------


def test_the_small_text_has_exactly_these_bytes_and_labels() -> None:
    text = the_small_text()
    assert text.train.domains == text.validation.domains == ("english", "chinese", "python")
    assert sizes_of(text) == [[542_559, 83_042, 1_742_976], [62_033, 19_886, 173_702]]
    assert digest_of(text) == "f974b58547df8a3c"


def test_a_paragraph_of_the_small_validation_text_never_stands_in_training_text() -> None:
    assert_no_leak(the_small_text())


def test_a_validation_pair_differs_from_training_by_more_than_case_digits_or_marks() -> None:
    for domain, pattern in (("english", r"[a-z]"), ("chinese", HAN)):
        train = decode(the_small_text().train.tokens).split("\n")
        trained = {letters(line) for line in train}
        validation = domain_text(the_small_text().validation, domain)
        pairs = [part for part in blocks(validation) if "\n" not in part]
        repeated = [p for p in pairs if re.search(pattern, p) and letters(p) in trained]
        assert len(pairs) > 100 and repeated == []


def test_a_chinese_label_is_on_chinese_lines_only() -> None:
    for side in sides_of(the_small_text()):
        chinese = domain_text(side, "chinese").strip().split("\n\n")
        assert all(re.search(HAN, line) for line in chinese)
        assert not re.search(HAN, domain_text(side, "english"))


def test_the_pairs_hold_no_html_and_no_line_twice() -> None:
    pairs = packaged._sentence_pairs()
    english = [letters(pair[0][1]) for pair in pairs]
    chinese = [letters(pair[1][1]) for pair in pairs]
    assert len(set(english)) == len(set(chinese)) == len(pairs) == 2780
    assert not any(re.search(r"</?a\b", pair[0][1]) for pair in pairs)


def test_a_whole_file_of_python_source_is_on_one_side() -> None:
    files = [set(blocks(data.decode())) for data in read_source(sources.NN_SOURCE).values()]
    sides = [set(blocks(domain_text(side, "python"))) for side in sides_of(the_small_text())]
    on_train, on_validation = sides_with_own(files, sides)
    assert on_train > 100 and on_validation >= 10


def sides_with_own(groups: Iterable[set[str]], sides: list[set[str]]) -> list[int]:
    """How many groups have text of their own on each side; none may have some on both."""
    groups = list(groups)
    n_groups_with = Counter(part for group in groups for part in group)
    found = [0, 0]
    for group in groups:
        own = {part for part in group if n_groups_with[part] == 1}
        on = [bool(own & side) for side in sides]
        assert sum(on) <= 1
        found = [found[0] + on[0], found[1] + on[1]]
    return found


# The real text ------------------------------------------------------------------------------------


def test_the_real_text_has_exactly_these_bytes_and_labels() -> None:
    text = the_real_text()
    domains = ("english", "chinese", "python", "formulas")
    assert text.train.domains == text.validation.domains == domains
    assert sizes_of(text) == [
        [9_818_798, 846_257, 11_938_032, 8_874_484],
        [910_123, 104_495, 861_260, 629_486],
    ]
    assert digest_of(text) == "6576bcee28105615"
    assert sum(use.train_bytes for use in text.uses) == len(text.train.tokens)
    assert sum(use.validation_bytes for use in text.uses) == len(text.validation.tokens)


def test_the_readme_shows_the_bytes_of_the_real_text_and_how_much_leaks() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    text, leaks = the_real_text(), leakage(the_real_text())
    for name, n_train, n_validation in zip(text.train.domains, *sizes_of(text), strict=True):
        leak = rf"{100 * leaks[name]:.1f} %"
        assert re.search(rf"^{name} +{n_train:,} +{n_validation:,} +{leak} ", readme, re.M), name
    assert re.search(rf"^all +[\d,]+ +[\d,]+ +{100 * leaks['all']:.1f} %", readme, re.M)


def test_half_of_every_validation_paragraph_stands_in_lines_that_training_lacks() -> None:
    trained = set(decode(the_real_text().train.tokens).split("\n"))
    for part in blocks(decode(the_real_text().validation.tokens)):
        lines = part.split("\n")
        n_new = sum(len(line) for line in lines if line not in trained)
        assert n_new >= 0.5 * sum(map(len, lines)) > 0, part


def lines_by_folder(source: sources.Source) -> dict[str, set[str]]:
    """The long lines of each folder, without indentation; tests count to what they test."""
    folders: dict[str, set[str]] = {}
    for name, data in read_source(source).items():
        folder = Path(name).parent.as_posix().partition("/tests")[0]
        folders.setdefault(folder, set()).update(long_lines(data.decode()))
    return folders


def long_lines(text: str) -> set[str]:
    return {line.strip() for line in text.split("\n") if len(line.strip()) > 30}


@pytest.mark.parametrize(
    ("source", "domains"),
    [(sources.PYTHON_SOURCE, ("python",)), (sources.SYMPY, ("english", "formulas"))],
    ids=["torch", "sympy"],
)
def test_a_folder_with_its_tests_is_on_one_side(
    source: sources.Source, domains: tuple[str, ...]
) -> None:
    sides = [
        set().union(*(long_lines(domain_text(side, name)) for name in domains))
        for side in sides_of(the_real_text())
    ]
    on_train, on_validation = sides_with_own(lines_by_folder(source).values(), sides)
    assert on_train > 50 and on_validation > 5, (on_train, on_validation)


@cache
def dictionary() -> list[tuple[str, str]]:
    """The words and explanations of the dictionary."""
    entries = packaged._dictionary()
    assert {tuple(domain for domain, _ in entry) for entry in entries} == {("chinese", "english")}
    return [(word, explanation) for (_, word), (_, explanation) in entries]


def test_a_dictionary_entry_is_a_word_and_its_explanation_on_one_line() -> None:
    entries = dictionary()
    assert len(entries) == len({word for word, _ in entries}) == 107_236
    for word, explanation in entries:
        assert "\n" not in word and explanation.startswith(" ")
        assert explanation.endswith("\n") and explanation.count("\n") == 1
    lines = [word + explanation.rstrip("\n") for word, explanation in entries]
    train, validation = (set(decode(side.tokens).split("\n")) for side in sides_of(the_real_text()))
    assert all(line in train for i, line in enumerate(lines, start=1) if i % 10)
    # 54 of 10,723 have lost their word or their explanation, which training text holds elsewhere.
    n_whole = sum(line in validation for line in lines[9::10])
    assert n_whole > 0.99 * 10_723 and not train & set(lines[9::10])


def test_the_dictionary_gives_no_vulgar_entries() -> None:
    assert not [word for word, explanation in dictionary() if "vulgar" in explanation.lower()]
    (content,) = read_source(sources.DICTIONARY).values()
    assert gzip.decompress(content).decode().lower().count("vulgar") > 50


def test_every_source_is_credited_and_share_alike_names_its_licence() -> None:
    credits = " ".join(the_real_text().credits)
    assert "CC-CEDICT, published by MDBG" in credits and "SymPy contributors" in credits
    assert "creativecommons.org/licenses/by-sa/4.0" in credits
    assert "CEDICT" not in " ".join(the_small_text().credits)


def test_reading_a_text_imports_none_of_its_packages() -> None:
    the_small_text()
    for source in (sources.SENTENCE_PAIRS, sources.DICTIONARY, sources.ENCYCLOPEDIA):
        assert source.module not in sys.modules


def test_a_packaged_text_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    one = the_small_text()
    other = Text(one.validation, one.train)
    monkeypatch.setattr(packaged, "small_text", lambda: one)
    monkeypatch.setattr(packaged, "real_text", lambda: other)
    assert packaged_text("small") is one and packaged_text("real") is other


# Sources ------------------------------------------------------------------------------------------


def test_another_text_in_a_package_is_refused_with_both_versions() -> None:
    changed = dataclasses.replace(sources.NN_SOURCE, version="2.99.0", sha256="0" * 64)
    message = r"from torch==2\.99\.0 .*found torch==2\.13\.0.*pip install .*\"torch==2\.99\.0\"$"
    with pytest.raises(InputError, match=message) as refusal:
        read_source(changed)
    assert "\n" not in str(refusal.value)


def test_windows_line_ends_are_read_as_the_same_text_except_in_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "line_ends").mkdir()
    files = {"__init__.py": b"a = 1\r\nb = 2\r\n", "data.gz": b"\x1f\r\n"}
    for name, content in files.items():
        (tmp_path / "line_ends" / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    read = {"__init__.py": b"a = 1\nb = 2\n", "data.gz": b"\x1f\r\n"}
    source = dataclasses.replace(
        sources.NN_SOURCE,
        module="line_ends",
        patterns=("*.gz", "*.py"),
        sha256=hashlib.sha256(b"".join(read.values())).hexdigest(),
    )
    assert read_source(source) == read
