"""The text is the documented one, and no validation text was seen in training."""

import dataclasses
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from texts import the_real_text

from minimoe.data import Corpus, Text, decode, encode, folder_text, packaged
from minimoe.data.packaged import PYTHON_SOURCE, SENTENCE_PAIRS, read_source
from minimoe.errors import InputError

WORDS = ("router", "expert", "token", "weight", "score", "bias", "layer", "head", "loss", "gate")


def words(start: int, n: int) -> str:
    """Different sentences on every line, a blank line after every third."""
    lines = []
    for i in range(start, start + n):
        line = " ".join(WORDS[int(digit)] for digit in str(i * 7919 + 10_000_019))
        lines.append(line + ("\n\n" if i % 3 == 2 else "\n"))
    return "".join(lines)


def both_sides() -> tuple[Corpus, Corpus]:
    return the_real_text().train, the_real_text().validation


def domain_text(corpus: Corpus, domain: str) -> str:
    return decode(corpus.tokens[corpus.domain_ids == corpus.domains.index(domain)])


def paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in re.split(r"\n\n+", text) if part.strip("\n")]


def letters(line: str) -> str:
    return re.sub(r"[\W\d_]", "", line).lower()


def assert_no_leak(text: Text) -> None:
    """No paragraph of validation stands in training as whole lines."""
    training = "\n" + decode(text.train.tokens) + "\n"
    for part in paragraphs(decode(text.validation.tokens)):
        assert f"\n{part}\n" not in training, part


def test_encode_gives_the_utf8_bytes() -> None:
    assert encode("Aé").tolist() == [65, 195, 169]
    assert len(encode("中")) == 3
    assert encode("").shape == (0,)


def test_decode_gives_back_what_was_encoded_and_marks_broken_bytes() -> None:
    assert decode(encode("Expert 3 → 专家\n")) == "Expert 3 → 专家\n"
    assert decode([65]) == "A"
    assert decode([195]) == "\ufffd"


def test_real_text_has_exactly_these_bytes_in_each_domain() -> None:
    text = the_real_text()
    assert text.train.domains == text.validation.domains == ("english", "chinese", "python")
    assert text.train.bytes_per_domain.tolist() == [542_559, 83_042, 1_742_976]
    assert text.validation.bytes_per_domain.tolist() == [62_033, 19_886, 173_702]


def test_real_text_is_the_same_bytes_and_labels_every_time() -> None:
    digest = hashlib.sha256()
    for side in both_sides():
        digest.update(side.tokens.numpy().tobytes() + side.domain_ids.numpy().tobytes())
    assert digest.hexdigest()[:16] == "f974b58547df8a3c"


def test_a_validation_paragraph_never_stands_in_training_text() -> None:
    assert_no_leak(the_real_text())


def test_a_validation_pair_differs_from_training_by_more_than_case_digits_or_marks() -> None:
    for domain, pattern in (("english", r"[a-z]"), ("chinese", r"[\u4e00-\u9fff]")):
        train = decode(the_real_text().train.tokens).split("\n")
        trained = {letters(line) for line in train}
        validation = domain_text(the_real_text().validation, domain)
        pairs = [part for part in paragraphs(validation) if "\n" not in part]
        repeated = [p for p in pairs if re.search(pattern, p) and letters(p) in trained]
        assert len(pairs) > 100 and repeated == []


def test_a_chinese_label_is_on_chinese_lines_only() -> None:
    for side in both_sides():
        chinese = domain_text(side, "chinese").strip().split("\n\n")
        assert all(re.search(r"[\u4e00-\u9fff]", line) for line in chinese)
        assert not re.search(r"[\u4e00-\u9fff]", domain_text(side, "english"))


def test_the_pairs_hold_no_html_and_no_line_twice() -> None:
    pairs = packaged._sentence_pairs(read_source(SENTENCE_PAIRS))
    english = [letters(pair[0][1]) for pair in pairs]
    chinese = [letters(pair[1][1]) for pair in pairs]
    assert len(set(english)) == len(set(chinese)) == len(pairs) == 2780
    assert not any(re.search(r"</?a\b", pair[0][1]) for pair in pairs)


def test_a_whole_file_of_python_source_is_on_one_side() -> None:
    files = [set(paragraphs(content)) for content in read_source(PYTHON_SOURCE).values()]
    n_files_with = Counter(part for file in files for part in file)
    sides = [set(paragraphs(domain_text(side, "python"))) for side in both_sides()]
    files_on = [0, 0]
    for file in files:
        own = {part for part in file if n_files_with[part] == 1}
        on = [bool(own & side) for side in sides]
        assert sum(on) <= 1
        files_on = [files_on[0] + on[0], files_on[1] + on[1]]
    assert files_on[0] > 100 and files_on[1] >= 10


def test_reading_the_text_does_not_import_the_language_pack() -> None:
    the_real_text()
    assert SENTENCE_PAIRS.module not in sys.modules


def test_another_text_in_a_package_is_refused_with_both_versions() -> None:
    changed = dataclasses.replace(PYTHON_SOURCE, version="2.99.0", sha256="0" * 64)
    message = r"from torch==2\.99\.0 .*found torch==2\.13\.0.*pip install .*\"torch==2\.99\.0\"$"
    with pytest.raises(InputError, match=message) as refusal:
        read_source(changed)
    assert "\n" not in str(refusal.value)


def test_a_missing_package_is_refused_with_the_pip_line() -> None:
    missing = dataclasses.replace(SENTENCE_PAIRS, module="no_such_language_pack")
    message = r"not installed; run: pip install .*\"jupyterlab-language-pack-zh-CN==4\.5\.post3\"$"
    with pytest.raises(InputError, match=message):
        read_source(missing)


def test_a_package_installed_with_windows_line_ends_is_the_same_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "line_ends").mkdir()
    (tmp_path / "line_ends" / "__init__.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(b"a = 1\nb = 2\n").hexdigest()
    source = dataclasses.replace(PYTHON_SOURCE, module="line_ends", pattern="*.py", sha256=digest)
    assert read_source(source) == {"__init__.py": "a = 1\nb = 2\n"}


def test_windows_line_ends_in_a_folder_are_read_as_the_same_text(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    content = words(0, 300)
    (tmp_path / "one" / "a.txt").write_bytes(content.encode())
    (tmp_path / "two" / "a.txt").write_bytes(content.replace("\n", "\r\n").encode())
    one, two = folder_text(tmp_path / "one"), folder_text(tmp_path / "two")
    assert torch.equal(one.train.tokens, two.train.tokens)


def test_a_folder_has_one_domain_for_each_sub_folder_and_one_for_its_own_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "mine"
    (folder / "poems" / "old").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "note.md").write_text(words(0, 100), encoding="utf-8")
    (folder / "poems" / "old" / "a").write_text(words(100, 200), encoding="utf-8")
    (folder / ".git" / "x.txt").write_bytes(b"\xff")
    (folder / ".hidden").write_bytes(b"\xff")
    text = folder_text(folder)
    assert text.train.domains == ("mine", "poems")
    assert domain_text(text.train, "poems").startswith(words(100, 1))
    assert (text.validation.bytes_per_domain > 0).all()
    assert_no_leak(text)


def test_a_single_file_gives_a_tenth_of_its_text_to_validation(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words(0, 3000), encoding="utf-8")
    text = folder_text(tmp_path)
    share = len(text.validation.tokens) / (len(text.validation.tokens) + len(text.train.tokens))
    assert 0.08 < share < 0.12
    assert_no_leak(text)


def test_a_file_without_blank_lines_is_cut_at_line_ends(tmp_path: Path) -> None:
    lines = re.sub(r"\n+", "\n", words(0, 300))
    (tmp_path / "a.txt").write_text(lines, encoding="utf-8")
    text = folder_text(tmp_path)
    sides = [decode(side.tokens).split("\n") for side in (text.train, text.validation)]
    assert {line for side in sides for line in side} <= set(lines.split("\n"))
    assert all(len(side) > 20 for side in sides)


def test_a_file_without_any_line_end_still_gives_both_sides(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words(0, 300).replace("\n", " "), encoding="utf-8")
    text = folder_text(tmp_path)
    assert 0.08 * len(text.train.tokens) < len(text.validation.tokens)


def test_a_paragraph_that_repeats_in_a_folder_is_not_validated_on(tmp_path: Path) -> None:
    chorus = "the chorus comes again, and again\n\n"
    verses = [f"{part}\n\n{chorus}" for part in paragraphs(words(0, 300))]
    (tmp_path / "song.txt").write_text("".join(verses), encoding="utf-8")
    text = folder_text(tmp_path)
    assert decode(text.train.tokens).count(chorus) > 80
    assert chorus not in decode(text.validation.tokens)


def test_a_text_that_only_repeats_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("again\n\n" * 3000, encoding="utf-8")
    with pytest.raises(InputError, match=r"\b0 bytes.*1"):
        folder_text(tmp_path)


def test_a_file_that_is_not_utf8_is_named_with_the_offset(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(words(0, 300), encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes(b"abc\xff")
    with pytest.raises(InputError, match=r"bad\.txt.*0xff.*3"):
        folder_text(tmp_path)
    (tmp_path / "bad.txt").write_bytes(b"ab\0c")
    with pytest.raises(InputError, match=r"bad\.txt.*0x00.*2"):
        folder_text(tmp_path)


def test_folders_without_enough_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with pytest.raises(InputError, match="nowhere"):
        folder_text(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"\b0 bytes.*10000"):
        folder_text(tmp_path)
    file.write_text("one line\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"\b8 bytes.*10000"):
        folder_text(tmp_path)
    with pytest.raises(InputError, match=r"a\.txt"):
        folder_text(file)


def test_more_than_255_domains_are_refused(tmp_path: Path) -> None:
    for i in range(256):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "a.txt").write_text(words(i, 1), encoding="utf-8")
    with pytest.raises(InputError, match="256.*255"):
        folder_text(tmp_path)


def test_a_folder_with_bytes_that_are_not_utf_8_gives_a_name_that_can_be_written(
    tmp_path: Path,
) -> None:
    for name in ("caf\udce9", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(words(len(name), 150), encoding="utf-8")
    assert folder_text(tmp_path).train.domains == ("b", "caf\\udce9")
