"""A reader's working folder: what is copied there, and that no work is ever overwritten."""

import json
from pathlib import Path

import pytest

from minimoe.cli import main
from minimoe.errors import InputError
from minimoe.files import locked
from minimoe.working_folder import notes
from minimoe.working_folder.editions import copy_student_edition, digest


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks" / "student"
    folder.mkdir(parents=True)
    for name in ("00_start.ipynb", "02_moe_layer.ipynb"):
        (folder / name).write_text(f"{name}, first edition")
    return folder


def test_a_notebook_that_nobody_changed_is_replaced_by_a_newer_edition(
    student: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    assert copy_student_edition(student, own) == []
    (student / "00_start.ipynb").write_text("second edition")
    assert copy_student_edition(student, own) == []
    assert (own / "00_start.ipynb").read_text() == "second edition"


def test_work_is_never_overwritten_and_a_newer_edition_comes_beside_it(
    student: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    copy_student_edition(student, own)
    (own / "00_start.ipynb").write_text("my work")
    assert copy_student_edition(student, own) == []  # the same edition: nothing new to offer
    (student / "00_start.ipynb").write_text("second edition")
    beside = f"00_start.edition-{digest(b'second edition')[:8]}.ipynb"
    for _ in range(2):
        (said,) = copy_student_edition(student, own)
        assert said == f"00_start.ipynb holds your work; the newer edition is {beside}"
    (own / beside).write_text("my work in the newer edition")
    copy_student_edition(student, own)
    assert (own / "00_start.ipynb").read_text() == "my work"
    assert (own / beside).read_text() == "my work in the newer edition"


def test_a_notebook_of_the_readers_own_is_not_touched_without_a_record(
    student: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "00_start.ipynb").write_text("something else of the same name")
    (own / ".minimoe").mkdir()
    (own / ".minimoe" / "editions.json").write_text("damaged")
    assert len(copy_student_edition(student, own)) == 1
    assert (own / "00_start.ipynb").read_text() == "something else of the same name"


def test_the_folder_of_the_notebooks_and_a_folder_in_use_are_refused(
    student: Path, tmp_path: Path
) -> None:
    for target in (student, student.parent):
        with pytest.raises(InputError, match="holds the notebooks themselves"):
            copy_student_edition(student, target)
    with pytest.raises(InputError, match="no notebook in"):
        copy_student_edition(tmp_path / "nowhere", tmp_path / "own")
    with locked(tmp_path / "own" / ".minimoe"), pytest.raises(InputError, match="is in use by"):
        copy_student_edition(student, tmp_path / "own")
    assert sorted(path.name for path in student.iterdir()) == [
        "00_start.ipynb",
        "02_moe_layer.ipynb",
    ]


def test_lab_copies_and_progress_counts(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    assert main(["lab", "--notebooks", str(student.parent), "--copy", str(own)]) == 0
    assert "start with 00_start.ipynb" in capsys.readouterr().out
    for kind, result in (("check", "wrong"), ("check", "right"), ("hint", "1")):
        notes.keep(kind, "02.2", result, own)
    assert main(["progress", "--folder", str(own), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)["02"]
    assert (done["right"], done["tried"], done["hints"], done["guesses"]) == (1, 1, 1, 0)
    assert main(["progress", "--folder", str(tmp_path)]) == 2
    assert "`minimoe lab` makes one" in capsys.readouterr().err
