"""Energy that the processor used, read from its own counter."""

from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def measured_joules(run: Callable[[], object], root: Path = POWERCAP) -> float | None:
    """Measure the energy of the processor packages during a run.

    Other programs that ran at the same time are included. The counters are Linux's RAPL zones
    `intel-rapl:N` named "package-N" (AMD has them too). A counter may restart at 0 once during
    the run; under full load it does so after minutes.

    Returns:
        Joules, or None if no counter can be read; `run` is called in either case. A counter with
        a range of 1,000,000 microjoules that goes from 900,000 to 100,000 has counted 0.2 J.
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
    """Microjoules of each package. Zones of parts ("intel-rapl:0:1") and "psys" are left out."""
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
