"""Joules that a processor really uses, by its own counter."""

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def package_joules(root: Path = POWERCAP) -> float | None:
    """What Linux's RAPL counters of all processor packages show now; only differences mean a thing.

    Args:
        root: the kernel's powercap directory.

    Returns:
        Joules since an unknown moment, the sum of the zones `intel-rapl:N` named "package-N" (AMD's
        too); None where there is none, or where only root may read it.
    """
    readings = _readings(root)
    return None if readings is None else sum(readings.values()) / 1e6


def measured_joules(run: Callable[[], object], root: Path = POWERCAP) -> float | None:
    """What the processor packages used while `run` ran, with all else that ran on them.

    A counter that starts anew at its end is followed once, so a run must be over before it is back
    where it was: minutes of full load.

    Args:
        run: what to measure.
        root: the kernel's powercap directory.

    Returns:
        Joules; None where there is no counter, and `run` is run all the same. A counter of range
        1,000,000 microjoules that goes from 900,000 to 100,000 has counted 0.2 J.
    """
    before = _readings(root)
    run()
    after = _readings(root)
    if before is None or after is None or before.keys() != after.keys():
        return None
    try:
        ranges = {zone: _number(zone / "max_energy_range_uj") for zone in before}
    except (OSError, ValueError):
        return None
    return sum((after[zone] - before[zone]) % ranges[zone] for zone in before) / 1e6


def _readings(root: Path) -> dict[Path, int] | None:
    """Microjoules of every package; a zone "intel-rapl:0:1" is a part of one, "psys" is more."""
    try:
        readings = {
            zone: _number(zone / "energy_uj")
            for zone in sorted(root.glob("intel-rapl:*"))
            if (zone / "name").read_text().startswith("package-")
        }
    except (OSError, ValueError):
        return None
    return readings or None


def _number(path: Path) -> int:
    return int(path.read_text())
