"""A file is replaced whole or not at all; a folder is used by one process at a time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minimoe.errors import InputError, listed, one_line, printable
from minimoe.files import locked, usable_file, usable_folder, write_file


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


def test_a_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


IN_THE_WAY: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (
        os.mkfifo(path.with_name("pipe")),
        path.symlink_to("pipe"),
    )[1],
}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_only_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    IN_THE_WAY[kind](path)
    before = path.lstat()
    for use in (usable_file, lambda path: write_file(path, "")):
        with pytest.raises(InputError, match="a folder" if kind == "a folder" else "pipe"):
            use(path)
    assert path.lstat().st_ino == before.st_ino


def test_a_file_to_write_gets_its_folder_and_is_not_made_yet(tmp_path: Path) -> None:
    assert usable_file(tmp_path / "a" / "b.html") == tmp_path / "a" / "b.html"
    assert list((tmp_path / "a").iterdir()) == []


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    folder = usable_folder(tmp_path / "a" / "b")
    assert folder.is_dir() and not list(folder.iterdir())


def test_a_folder_that_is_or_lies_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        usable_folder(tmp_path / "file")
    with pytest.raises(OSError):
        usable_folder(tmp_path / "file" / "a")


HOLD = """
import sys
from minimoe.files import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_locked_folder_names_its_process_until_that_process_is_dead(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout and other.stdout.readline() == "locked\n"
        with (
            pytest.raises(InputError, match=rf"process {other.pid} on ") as refused,
            locked(tmp_path),
        ):
            pass
        assert str(tmp_path) in str(refused.value)
        other.kill()
    assert list(tmp_path.iterdir()) != []  # the killed process could not clean up
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_ends_with_its_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path) as folder:
        assert folder == tmp_path


def test_a_message_is_one_line_of_at_most_300_characters() -> None:
    assert one_line("a\n b") == "a b"
    long = str(InputError("begin " + "x" * 10_000 + " end"))
    assert len(long) == 299 and long.startswith("begin ") and long.endswith(" end")
    assert one_line("x" * 300) == "x" * 300
    assert printable("caf\udce9") == "caf\\udce9" == str(InputError("caf\udce9"))


def test_a_list_of_names_shows_the_first_few_and_the_number_of_the_rest() -> None:
    assert listed(["a", "b", "c"], shown=2) == "a, b and 1 more"
    assert listed(["a", "b"], shown=2) == "a, b"
    assert listed(["a\n"]) == "'a\\n'"
