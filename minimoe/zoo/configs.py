"""A config.json of the hub as our configuration, and ours as a config.json.

The meaning of the fields was read in transformers 5.23; each family's counts and logits are tested
against it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minimoe.config import ModelConfig
from minimoe.errors import InputError, listed
from minimoe.zoo.counting import Shapes, plain_shapes
from minimoe.zoo.families import BUILT, BY_MODEL_TYPE
from minimoe.zoo.family import BuiltFamily, Family
from minimoe.zoo.fields import Fields


def read_hub_config(path: str | Path) -> dict[str, Any]:
    """Read a config.json, or the one in a directory; what is no JSON object raises InputError."""
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))  # skips a byte-order mark
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; give a config.json or its directory"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def family_of(data: Mapping[str, Any]) -> Family:
    """The family of a config.json, by its model_type; an unknown one raises InputError."""
    given, text = data.get("model_type"), data.get("text_config")
    if isinstance(given, str) and given in BY_MODEL_TYPE:
        return BY_MODEL_TYPE[given]
    inner = text.get("model_type") if isinstance(text, dict) else None
    if isinstance(inner, str) and inner in BY_MODEL_TYPE:
        raise InputError(
            f"model_type {given!r} is a multimodal wrapper of a {inner} text model; to count the "
            "text model alone, save its text_config as a file"
        )
    import difflib  # only a wrong name needs it

    near = difflib.get_close_matches(str(given), BY_MODEL_TYPE, n=3)
    names = f"near it: {', '.join(near)}" if near else listed(list(BY_MODEL_TYPE))
    raise InputError(
        f"model_type must be one of {len(BY_MODEL_TYPE)} that are known, got {given!r}; {names}"
    )


def hub_shapes(config: Mapping[str, Any]) -> Shapes:
    """The shapes of the model that a config.json describes.

    Only what changes a count must be there. What was assumed for absent fields stands in
    `assumed`; a file that names no architecture is taken for a whole language model.

    Raises:
        InputError: an unknown model_type or architecture, or a field that is missing or out of
            range.
    """
    family = family_of(config)
    fields = Fields(family.model_type, config, counting=True)
    model = _read(family, fields)
    shapes = plain_shapes(model) if isinstance(model, ModelConfig) else model
    return replace(shapes, assumed=fields.assumed)


def _read(family: Family, fields: Fields) -> ModelConfig | Shapes:
    try:
        _check_architecture(family, fields)
        return family.read(fields)
    except InputError as error:
        raise InputError(f"config.json of a {family.model_type} model: {error}") from error


def model_config_from_hub(data: Mapping[str, Any]) -> ModelConfig:
    """Read the model that a config.json describes, so that its logits are known.

    Where transformers and a family's authors differ we follow transformers, with two exceptions,
    which no published model meets: a deepseek_v2 with norm_topk_prob normalises its weights and
    then leaves out routed_scaling_factor (transformers never normalises), and moe_layer_freq is
    heeded (transformers takes it for 1). Multi-token-prediction layers
    (num_nextn_predict_layers) are not part of the model, and quantization_config is not read.

    Returns:
        The configuration; K = 1 with normalised weights is allowed, as the model is given. For
        Mixtral 8x7B's file it has n_layers 32, moe.n_routed_experts 8 and moe.top_k 2.

    Raises:
        InputError: an unknown model_type or architecture, or a field that is missing, of the wrong
            type, unsupported, or in contradiction to another one.
    """
    family = family_of(data)
    if not isinstance(family, BuiltFamily):
        raise InputError(
            f"model_type {family.model_type!r} can be counted but not computed; "
            f"computed are {', '.join(BUILT)}"
        )
    model = _read(family, Fields(family.model_type, data))
    assert isinstance(model, ModelConfig)  # a BuiltFamily reads nothing else
    return model


def _check_architecture(family: Family, f: Fields) -> None:
    """Refuse what shares a model_type, but not the weights: drafts, classifiers, bare models."""
    wanted = family.architectures[0]
    if f.has("draft_vocab_size"):
        raise InputError(
            f"draft_vocab_size={f.data['draft_vocab_size']} marks a draft for speculative "
            f"decoding, which is not a {wanted}; give the config.json of the model it drafts for"
        )
    names = f.get("architectures", absent=[wanted])
    for name in names if isinstance(names, list) else [names]:
        if name not in family.architectures:
            raise InputError(
                f"architectures names {name!r}, whose weights are not those of {wanted}; if you "
                f'want the language model instead, set architectures to ["{wanted}"]'
            )


def hub_config_from(config: ModelConfig) -> dict[str, Any]:
    """Write a model as a hub config.json, with all that transformers needs to build the same.

    The family is the one that has the model's parts. Tokens with a meaning (bos, eos, pad) are not
    known here.

    Returns:
        Fields of config.json; `model_config_from_hub` makes the same model of them. The preset
        "moe" is a mixtral with num_local_experts 16 and num_experts_per_tok 2.

    Raises:
        InputError: no family has this model; the message names the closest family and a part that
            it lacks.
    """
    wanted = _meaning(config)
    others: list[tuple[list[str], dict[str, object], str]] = []
    for family in BUILT.values():
        same_experts = (config.moe is not None) == family.sparse
        if not same_experts or not isinstance(config.attention, family.attention):
            continue
        data = _written(family, config)
        try:
            said = _meaning(model_config_from_hub(data))
        except InputError:
            continue
        lacks = [name for name in wanted | said if wanted.get(name) != said.get(name)]
        if not lacks:
            return data
        others.append((lacks, said, family.model_type))
    if not others:
        kind = "experts" if config.moe is not None else "dense layers only"
        raise InputError(
            f"no family of the hub has this model: {type(config.attention).__name__} with {kind}"
        )
    (name, *_), said, closest = min(others, key=lambda other: len(other[0]))
    raise InputError(
        f"{name}={wanted.get(name)!r} has no place in the config.json of a {closest} model, "
        f"the closest family of the hub: it would mean {said.get(name)!r}"
    )


def _written(family: BuiltFamily, config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": [family.architectures[0]],
        "model_type": family.model_type,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
        **family.write(config),
    }


def _meaning(config: ModelConfig) -> dict[str, object]:
    """What of a configuration shapes the model or its logits, by name; equal for equal models."""
    fields = asdict(config)
    attention, moe = fields.pop("attention"), fields.pop("moe") or {}
    rope = attention.pop("rope") or {}
    fields["windows"] = [config.window_of(layer) for layer in range(config.n_layers)]
    fields["dense_layers"] = tuple(sorted(config.dense_layers))
    unused = {"sliding_layers", "attention.sliding_window", "attention.way",
              "moe.allow_constant_weight", "moe.n_shared_experts", "moe.d_shared"}  # fmt: skip
    if config.moe is not None:
        moe["shared_width"] = config.moe.shared_width
        if config.moe.activation == "swiglu":
            unused |= {"moe.activation_alpha", "moe.activation_limit"}
        if config.moe.n_expert_groups == 1:
            unused.add("moe.n_group_scores")
    if config.n_moe_layers == config.n_layers:
        unused.add("d_ff")
    parts = {"attention.": attention, "attention.rope.": rope, "moe.": moe, "": fields}
    named = {at + name: value for at, part in parts.items() for name, value in part.items()}
    return {name: value for name, value in named.items() if name not in unused}
