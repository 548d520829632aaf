"""Range checks of configuration fields."""

from collections.abc import Callable
from typing import Any

from minimoe.errors import InputError


def check_each(config: object, check: Callable[..., None], names: str, *limits: Any) -> None:
    """Check several fields of a configuration; None passes where it is the default."""
    for name in names.split():
        value, default = getattr(config, name), getattr(type(config), name, ...)
        if value is not None or default is not None:
            check(name, value, *limits)


def check_integer(
    name: str, value: object, low: int, high: int | None = None, limit: str = ""
) -> None:
    """Refuse `value` unless it is an integer in [low, high]; `limit` names the source of `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or (high is None and value < low):
        raise InputError(f"{name} must be an integer of at least {low}, got {value!r}")
    if high is not None and not low <= value <= high:
        raise InputError(f"{name} must lie in [{low}, {limit}{high}], got {value!r}")


def check_number(name: str, value: object, low: float, high: float = float("inf")) -> None:
    """Refuse `value` unless it is a finite number in [low, high]."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if fits and value != float("inf"):
        return
    within = f"in [{low:g}, {high:g}]" if high < float("inf") else f"of at least {low:g}"
    raise InputError(f"{name} must be a finite number {within}, got {value!r}")


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")


def check_positive(name: str, value: object) -> None:
    """Refuse `value` unless it is a finite number above zero."""
    check_number(name, value, 0.0)
    if value == 0:
        raise InputError(f"{name} must be above 0, got {value!r}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_multiple(name: str, value: int, of: str, divisor: int) -> None:
    if value % divisor:
        raise InputError(f"{name} must be a multiple of {of}={divisor}, got {value}")
