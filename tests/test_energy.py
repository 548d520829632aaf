"""An estimate of energy is the sum of its assumptions; a counter is read as the kernel shows it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from minimoe import InputError
from minimoe.formulas.energy import EnergyAssumptions, estimated_joules, horowitz
from minimoe.measure.energy import measured_joules


def zone(root: Path, number: str, name: str, microjoules: int, limit: int = 1_000_000) -> Path:
    """A zone as the kernel's powercap directory has it."""
    folder = root / f"intel-rapl:{number}"
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder


def counting_to(folder: Path, microjoules: int) -> Callable[[], None]:
    """A run during which the zone's counter goes there."""

    def run() -> None:
        (folder / "energy_uj").write_text(f"{microjoules}\n")

    return run


def test_an_estimate_is_a_sum_over_flops_and_bytes() -> None:
    assumed = EnergyAssumptions(joules_per_flop=3.0, joules_per_byte=5.0, source="a test")
    assert estimated_joules(2, 7, assumed) == 2 * 3 + 7 * 5
    assert estimated_joules(2, 7, replace(assumed, joules_per_byte=0.0)) == 2 * 3
    assert estimated_joules(0, 0, assumed) == 0


def test_the_assumptions_have_the_documented_figures() -> None:
    single, half = horowitz(), horowitz(2)
    assert single.joules_per_flop == pytest.approx(2.3e-12, rel=1e-12)
    assert half.joules_per_flop == pytest.approx(0.75e-12, rel=1e-12)
    assert single.joules_per_byte == half.joules_per_byte == pytest.approx(162.5e-12, rel=1e-12)
    assert round(single.joules_per_byte / single.joules_per_flop, -1) == 70
    assert "Horowitz" in single.source and "2014" in single.source


def test_the_documented_estimates() -> None:
    assert estimated_joules(10**12, 10**10, horowitz()) == pytest.approx(3.925, rel=1e-12)
    assert estimated_joules(0, 73_251_221_504, horowitz(2)) == pytest.approx(11.9, abs=0.01)


@pytest.mark.parametrize(
    ("flops", "n_bytes", "message"),
    [
        (-1, 0, "flops.*0.*-1"),
        (0, -2, "n_bytes.*0.*-2"),
        (float("nan"), 0, "flops.*0.*nan"),
    ],
)
def test_less_than_no_work_is_refused(flops: float, n_bytes: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimated_joules(flops, n_bytes, horowitz())


def test_a_float_that_the_source_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="2 or 4.*8"):
        horowitz(8)


def test_a_run_has_used_what_its_counter_went_on(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", 300_000)
    assert measured_joules(counting_to(folder, 800_000), tmp_path) == 0.5
    assert measured_joules(lambda: None, tmp_path) == 0.0


def test_a_counter_that_starts_anew_is_followed(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", 900_000)
    assert measured_joules(counting_to(folder, 100_000), tmp_path) == 0.2


def test_each_counter_starts_anew_at_its_own_range(tmp_path: Path) -> None:
    first = zone(tmp_path, "0", "package-0", 900_000)
    second = zone(tmp_path, "1", "package-1", 1_900_000, limit=2_000_000)

    def run() -> None:
        counting_to(first, 950_000)()
        counting_to(second, 300_000)()

    assert measured_joules(run, tmp_path) == (50_000 + 400_000) / 1e6


def test_a_counter_that_goes_away_is_none(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 300_000)
    gone = zone(tmp_path, "1", "package-1", 300_000)
    assert measured_joules(lambda: gone.rename(tmp_path / "gone"), tmp_path) is None


def test_parts_of_a_package_and_the_whole_platform_do_not_count(tmp_path: Path) -> None:
    package = zone(tmp_path, "0", "package-0", 300_000)
    others = [zone(tmp_path, "0:0", "core", 0), zone(tmp_path, "1", "psys", 0)]

    def run() -> None:
        for folder in (package, *others):
            counting_to(folder, 800_000)()

    assert measured_joules(run, tmp_path) == 0.5


def test_without_a_counter_there_are_no_joules_and_the_run_is_run(tmp_path: Path) -> None:
    ran = []
    for root in (tmp_path, tmp_path / "missing"):
        assert measured_joules(lambda: ran.append(1), root) is None
    assert len(ran) == 2


@pytest.mark.parametrize("file", ["energy_uj", "name", "max_energy_range_uj"])
def test_a_counter_that_cannot_be_read_is_none(tmp_path: Path, file: str) -> None:
    folder = zone(tmp_path, "0", "package-0", 300_000)
    (folder / file).unlink()
    (folder / file).mkdir()  # reading it is an OSError, also for root
    assert measured_joules(lambda: None, tmp_path) is None


def test_a_counter_that_shows_no_number_is_none(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", 300_000)
    (folder / "energy_uj").write_text("unknown\n")
    assert measured_joules(lambda: None, tmp_path) is None
