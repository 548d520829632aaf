"""A folder of the user's own files is read as text with domains, split without leakage."""

import re
from pathlib import Path

import pytest
import torch
from texts import assert_no_leak, blocks, domain_text, words

from minimoe.data import decode, folder_text
from minimoe.errors import InputError


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
    verses = [f"{part}\n\n{chorus}" for part in blocks(words(0, 300))]
    (tmp_path / "song.txt").write_text("".join(verses), encoding="utf-8")
    text = folder_text(tmp_path)
    assert decode(text.train.tokens).count(chorus) > 80
    assert chorus not in decode(text.validation.tokens)


def test_a_validation_paragraph_of_a_folder_is_half_new_where_that_leaves_some(
    tmp_path: Path,
) -> None:
    chorus = "the chorus comes again, and it is longer than the rest\n"
    own = [line for line in words(0, 600).split("\n") if line]
    verses = [f"{line}\n{chorus * 2}\n" for line in own[:300]]
    (tmp_path / "song.txt").write_text("".join(verses), encoding="utf-8")
    assert chorus in decode(folder_text(tmp_path).validation.tokens)
    prose = [f"{line}\n\n" for line in own[300:]]
    mixed = "".join(part for pair in zip(verses, prose, strict=True) for part in pair)
    (tmp_path / "song.txt").write_text(mixed, encoding="utf-8")
    validation = decode(folder_text(tmp_path).validation.tokens)
    assert chorus not in validation and len(validation) > 800


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
