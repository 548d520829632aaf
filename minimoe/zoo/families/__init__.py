"""The known families, those of one maker in one file. A file added here is found."""

from importlib import import_module
from pkgutil import iter_modules

from minimoe.zoo.family import BuiltFamily, Family

_found = [
    family
    for module in iter_modules(__path__)
    for family in vars(import_module(f"{__name__}.{module.name}")).values()
    if isinstance(family, Family)
]
FAMILIES = {  # by model_type, aliases left out
    family.model_type: family for family in sorted(_found, key=lambda family: family.model_type)
}
BUILT = {name: family for name, family in FAMILIES.items() if isinstance(family, BuiltFamily)}
BY_MODEL_TYPE = FAMILIES | {
    alias: family for family in FAMILIES.values() for alias in family.aliases
}
