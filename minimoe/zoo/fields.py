"""Fields of a config.json, read by name and type."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from minimoe.config.checks import check_flag, check_integer, check_multiple, check_positive
from minimoe.errors import InputError

T = TypeVar("T")
LARGEST = 10**12  # no published field comes near it
MOST_LAYERS = 10**5
_REQUIRED: Any = object()


@dataclass
class Fields:
    """A config.json, and what was assumed for the fields that it lacks.

    A field that is null counts as absent. A field whose absence has no meaning is required.
    """

    family: str  # the model_type, for messages
    data: Mapping[str, Any]
    counting: bool = False  # only parameters are wanted; then `for_logits` refuses nothing
    assumed: dict[str, Any] = field(default_factory=dict)  # by field
    prefix: str = ""  # where `data` stands in the file, such as "text_config."
    _silent: bool = False

    def has(self, name: str) -> bool:
        """The file gives the field, and not as null."""
        return self.data.get(name) is not None

    def assume(self, name: str, value: T) -> T:
        """Take `value` for a field that the file lacks, and remember it."""
        explicit_null = name in self.data and value is None
        if not self._silent and not explicit_null:
            self.assumed[self.prefix + name] = value
        return value

    def get(self, name: str, absent: Any = _REQUIRED) -> Any:
        """The field as it stands in the file, of any type."""
        if self.has(name):
            return self.data[name]
        if absent is _REQUIRED:
            raise InputError(f"{name} is missing; add it to the file")
        return self.assume(name, absent)

    def integer(
        self, name: str, low: int = 1, high: int = LARGEST, limit: str = "",
        absent: int = _REQUIRED,
    ) -> int:  # fmt: skip
        """An integer in [low, high]; `limit` names where `high` is from."""
        value: int = self.get(name, absent)
        check_integer(name, value, low)
        check_integer(name, value, low, high, limit)
        return value

    def number(self, name: str, absent: float = _REQUIRED) -> float:
        """A number above 0 that fits into a float."""
        value = as_number(name, self.get(name, absent))
        check_positive(name, value)
        return value

    def flag(self, name: str, absent: bool = _REQUIRED) -> bool:
        value: bool = self.get(name, absent)
        check_flag(name, value)
        return value

    def inside(self, name: str) -> "Fields":
        value = self.get(name)
        if not isinstance(value, dict):
            raise InputError(f"{name} must be a JSON object, got {value!r}")
        prefix = f"{self.prefix}{name}."
        return Fields(self.family, value, self.counting, self.assumed, prefix, self._silent)

    def layers(self) -> int:
        return self.integer("num_hidden_layers", high=MOST_LAYERS)

    def kinds(self, name: str, allowed: Sequence[Any], beyond: int = 0) -> list[Any]:
        """A list that names the kind of each layer, one of `allowed`.

        It may go on for `beyond` more layers, which are dropped: those that predict further tokens.
        """
        n_layers, values = self.layers(), self.get(name)
        if not isinstance(values, list) or len(values) not in (n_layers, n_layers + beyond):
            got = len(values) if isinstance(values, list) else repr(values)
            raise InputError(f"{name} must list num_hidden_layers={n_layers} layers, got {got}")
        for value in values:
            if value not in allowed:
                names = " or ".join(map(str, allowed))
                raise InputError(f"{name} must hold {names}, got {value!r}")
        return values[:n_layers]

    def part(self, whole: str, parts: str) -> int:
        """One of equal parts: the integer `whole` divided by the integer `parts`."""
        value, divisor = self.integer(whole), self.integer(parts)
        check_multiple(whole, value, parts, divisor)
        return value // divisor

    def named(self, *names: str) -> str:
        """The name that the file uses for a field with several names; the first if it uses none."""
        given = [name for name in names if self.has(name)]
        if any(self.data[name] != self.data[given[0]] for name in given):
            values = " and ".join(f"{name}={self.data[name]!r}" for name in given)
            raise InputError(f"{values} contradict each other; keep one of them")
        return given[0] if given else names[0]

    def must_be(self, name: str, wanted: object, *, required: bool = False) -> None:
        """Refuse another value, which would make another model; absence means `wanted`."""
        if not self.has(name) and not required:
            return
        value = self.get(name)
        if value != wanted:
            raise InputError(
                f"{name} must be {json.dumps(wanted)} for {self.family}, "
                f"got {json.dumps(value, default=repr)}"
            )

    def for_logits(self, read: Callable[[], T], otherwise: T) -> T:
        """Read what changes the logits, but no count.

        When parameters are counted, `otherwise` stands for what is absent or unusable, and nothing
        is noted as assumed.
        """
        if not self.counting:
            return read()
        before, self._silent = self._silent, True
        try:
            return read()
        except InputError:
            return otherwise
        finally:
            self._silent = before


def as_number(name: str, value: object) -> float:
    """A number of a config.json as a float; anything else raises InputError."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise InputError(f"{name} must be at most 1.8e308, got {value}") from error


def agreed(name: str, places: Sequence[Mapping[str, Any]]) -> Any:
    """The value of a field that may stand in several places; None if it stands in none."""
    given = [place[name] for place in places if place.get(name) is not None]
    if any(value != given[0] for value in given):
        raise InputError(f"{name} is given as {given[0]!r} and {given[-1]!r}; keep one of them")
    return given[0] if given else None
