"""Sliding windows in a config.json."""

from collections.abc import Callable
from typing import Any

from minimoe.config import ModelConfig
from minimoe.errors import InputError
from minimoe.zoo.fields import Fields

LAYER_TYPES = ("full_attention", "sliding_attention")
Windows = tuple[int | None, tuple[int, ...] | None]


def read_windows(f: Fields, rule: Callable[[Fields, int], list[int] | None]) -> Windows:
    """Read the sliding window, and the layers that have it. No count depends on them.

    Args:
        f: the file.
        rule: the layers with a window by the family's own rule, from the fields and the number of
            layers; None = those that layer_types names.

    Returns:
        The window (None = no layer has one), and the layers with it (None = all).

    Raises:
        InputError: layer_types and the rule disagree.
    """
    none: Windows = (None, None)
    return f.for_logits(lambda: _read(f, rule), none)


def _read(f: Fields, rule: Callable[[Fields, int], list[int] | None]) -> Windows:
    n_layers = f.layers()
    given: list[int] | None = None
    if f.has("layer_types"):
        types = f.kinds("layer_types", LAYER_TYPES)
        given = [layer for layer, kind in enumerate(types) if kind == "sliding_attention"]
    layers = rule(f, n_layers)
    layers = (given or []) if layers is None else layers
    if given is not None and given != layers:
        raise InputError(
            f"layer_types has sliding_attention in layers {given}, and a {f.family} model with "
            f"these fields has it in {layers}; change one of them"
        )
    if not layers:
        return None, None
    return f.integer("sliding_window"), tuple(layers) if len(layers) < n_layers else None


def no_layer(f: Fields, n_layers: int) -> list[int]:
    """The rule of families without windows."""
    return []


def if_switched_on(f: Fields) -> bool:
    """use_sliding_window is true and sliding_window is given."""
    return f.flag("use_sliding_window", absent=False) and f.has("sliding_window")


def from_bound_on(f: Fields, n_layers: int) -> list[int] | None:
    """The rule of Qwen2 and Qwen3: the listed layers, or those from max_window_layers on."""
    if not if_switched_on(f):
        return []
    if f.has("layer_types"):
        return None
    return list(range(f.integer("max_window_layers", low=0), n_layers))


def window_of(config: ModelConfig) -> int | None:
    """The window of the layers that have one; None if none has."""
    windows = (config.window_of(layer) for layer in range(config.n_layers))
    return next((window for window in windows if window is not None), None)


def write_windows(config: ModelConfig) -> dict[str, Any]:
    """Write the window, the switch and the kind of each layer, as Qwen's files have them."""
    window = window_of(config)
    return {
        "sliding_window": window,
        "use_sliding_window": window is not None,
        "layer_types": layer_types(config),
    }


def layer_types(config: ModelConfig) -> list[str]:
    """The kind of each layer."""
    slides = (config.window_of(layer) is not None for layer in range(config.n_layers))
    return [LAYER_TYPES[slide] for slide in slides]
