"""The known families, one file each. A file added here is found."""

from importlib import import_module
from pkgutil import iter_modules

from minimoe.zoo.family import BuiltFamily, Family

FAMILIES: dict[str, Family] = {}  # by model_type, aliases left out
for _module in iter_modules(__path__):
    _family: Family = import_module(f"{__name__}.{_module.name}").FAMILY
    FAMILIES[_family.model_type] = _family
BUILT = {name: family for name, family in FAMILIES.items() if isinstance(family, BuiltFamily)}
BY_MODEL_TYPE = FAMILIES | {
    alias: family for family in FAMILIES.values() for alias in family.aliases
}
