"""A file is written whole or not at all, and a folder that cannot be used is refused at once."""

from pathlib import Path

import pytest

from minimoe.files import usable_folder, write_file


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    write_file(target, "old ü")
    with pytest.raises(UnicodeEncodeError):
        write_file(target, "new \ud800")  # half a character cannot be written as UTF-8
    assert target.read_text(encoding="utf-8") == "old ü"
    assert list(tmp_path.iterdir()) == [target]


def test_a_written_file_replaces_the_old_one_and_can_be_read_by_others(tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    for content in (b"long old content", b"new"):
        write_file(target, content)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    folder = usable_folder(tmp_path / "a" / "b")
    assert folder.is_dir() and not list(folder.iterdir())


def test_a_folder_below_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        usable_folder(tmp_path / "file" / "a")
