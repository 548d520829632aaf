"""The table of mutants names lines that exist and tests that exist."""

from collections import Counter

from mutants import MUTANTS, PROJECT


def test_the_right_line_of_every_mutant_stands_once_in_its_file() -> None:
    texts = {mutant.file: (PROJECT / mutant.file).read_text("utf-8") for mutant in MUTANTS}
    found = {mutant.name: texts[mutant.file].count(mutant.right) for mutant in MUTANTS}
    assert {name: count for name, count in found.items() if count != 1} == {}


def test_mutants_have_different_names_and_existing_tests() -> None:
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    files = {mutant.tests.split()[0] for mutant in MUTANTS}
    assert [file for file in files if not (PROJECT / file).is_file()] == []
