"""Rotary positions in a config.json."""

from dataclasses import replace
from typing import Any

from minimoe.config import RopeConfig
from minimoe.errors import InputError
from minimoe.zoo.fields import Fields, agreed, as_number

# The numbers of each kind of scaling beside its factor; their names are ours, too.
SCALINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": (),
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "yarn": ("beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim"),
}


def read_rope(f: Fields, *, interleaved: bool = False, base: float | None = None) -> RopeConfig:
    """Read rotary positions in the spelling of transformers 4 or 5.

    Version 4 writes rope_theta and rope_scaling, version 5 rope_parameters. A file may have both,
    if they agree. Only the logits depend on them. `base` is what an absent rope_theta means; with
    None it is required.
    """
    plain = RopeConfig(interleaved=interleaved)  # pairs (2i, 2i + 1)
    return f.for_logits(lambda: _read(f, plain, base), plain)


def _read(f: Fields, plain: RopeConfig, default_base: float | None) -> RopeConfig:
    spellings = {
        name: f.data[name] for name in ("rope_parameters", "rope_scaling") if f.data.get(name)
    }
    for name, spelling in spellings.items():
        if not isinstance(spelling, dict) or any(isinstance(v, dict) for v in spelling.values()):
            raise InputError(f"{name} must be one object for all layers, got {spelling!r}")
    places = [f.data, *spellings.values()]
    base = agreed("rope_theta", places)
    if base is None:
        base = f.number("rope_theta") if default_base is None else default_base
    if agreed("partial_rotary_factor", places) not in (None, 1):
        raise InputError(
            f"partial_rotary_factor must be 1, got {agreed('partial_rotary_factor', places)!r}"
        )
    length = agreed("original_max_position_embeddings", places)
    length = f.integer("max_position_embeddings") if length is None else length
    plain = replace(plain, base=as_number("rope_theta", base))
    ropes = [_scaled(f, plain, spelling, length) for spelling in spellings.values()] or [plain]
    if ropes[0] != ropes[-1]:
        raise InputError("rope_parameters and rope_scaling disagree; keep one of them")
    return ropes[0]


def _scaled(f: Fields, plain: RopeConfig, spelling: dict[str, Any], length: Any) -> RopeConfig:
    """`plain`, scaled as one spelling says; older files name the kind of scaling "type"."""
    kinds = [spelling[name] for name in ("rope_type", "type") if spelling.get(name) is not None]
    kind = kinds[0] if kinds else "default"
    if kind not in list(SCALINGS) or any(other != kind for other in kinds):
        given = " and ".join(map(repr, kinds))
        raise InputError(f"rope_type must be one of {', '.join(SCALINGS)}, got {given}")
    if kind == "default":
        return plain
    if "factor" not in spelling:
        raise InputError(f"factor of rope_type {kind} is missing; add it to the file")
    if kind != "yarn" and (spelling.get("mscale") or spelling.get("mscale_all_dim")):
        raise InputError(f"mscale and mscale_all_dim need rope_type yarn, got {kind}")
    if spelling["factor"] is None and kind == "yarn":
        factor = f.integer("max_position_embeddings") / as_number("original length", length)
    else:
        factor = as_number("factor", spelling["factor"])
    values: dict[str, Any] = {"scaling": kind, "factor": factor}
    if kind != "linear":
        values["original_length"] = length
    if kind == "llama3":
        numbers = Fields(f.family, spelling)
        values |= {name: numbers.number(name) for name in SCALINGS[kind]}
    if kind == "yarn":
        values["truncate"] = spelling.get("truncate", True)
        for name in SCALINGS[kind]:
            if spelling.get(name) is not None:
                values[name] = as_number(name, spelling[name])
            if values.get(name) == 0 and name != "attention_factor":
                del values[name]  # zero means absent
    return replace(plain, **values)


def write_rope(rope: RopeConfig | None) -> dict[str, Any]:
    """Write rotary positions in the spelling of transformers 4, which every version reads."""
    if rope is None:
        return {}
    scaling: dict[str, Any] = {"rope_type": "default"}
    if rope.scaling != "none":
        scaling = {"rope_type": rope.scaling, "factor": rope.factor}
        if rope.scaling != "linear":
            scaling["original_max_position_embeddings"] = rope.original_length
        if rope.scaling == "yarn":
            scaling["truncate"] = rope.truncate
        numbers = {name: getattr(rope, name) for name in SCALINGS[rope.scaling]}
        scaling |= {name: value for name, value in numbers.items() if value is not None}
    return {"rope_theta": rope.base, "rope_scaling": scaling}
