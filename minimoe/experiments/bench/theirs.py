"""transformers' Mixtral with our weights, and the check that both compute the same."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import AttentionConfig, ModelConfig
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer
from minimoe.zoo.configs import hub_config_from
from minimoe.zoo.tensors import hub_tensors


def mixtral_layer(ours: MoE, implementation: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """transformers' Mixtral layer with the weights of ours, and how it reads tokens [T, D]."""
    d_model = ours.config.d_model
    attention = AttentionConfig(d_model=d_model, n_heads=1, n_kv_heads=1, d_head=d_model)
    config = ModelConfig(n_layers=1, attention=attention, moe=ours.config)
    layer = mixtral_model(config, implementation).model.layers[0].mlp
    with torch.no_grad():
        layer.gate.weight.copy_(ours.router.weight)
        layer.experts.gate_up_proj.copy_(ours.experts.gate_up)
        layer.experts.down_proj.copy_(ours.experts.down)
    return layer, lambda x: layer(x.unsqueeze(0)).squeeze(0)


def mixtral_model(config: ModelConfig, implementation: str) -> Any:
    """transformers' Mixtral with the weights of `Transformer(config)`."""
    stored = {
        at: tensor.stored() for at, tensor in hub_tensors(Transformer(config), "mixtral").items()
    }
    theirs = _transformers().MixtralForCausalLM.from_pretrained(
        None,
        config=_transformers().MixtralConfig(**hub_config_from(config)),
        state_dict=stored,
        dtype=torch.float32,
        experts_implementation=implementation,
    )
    for parameter in theirs.parameters():
        parameter.data = parameter.data.clone()  # no longer the same memory as ours
    return theirs.train()


def _transformers() -> Any:
    """The library without its messages; imported only here, since it is optional and large."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def check_same(name: str, ours: Float[Tensor, "T D"], theirs: Float[Tensor, "T D"]) -> None:
    """Make sure that two implementations compute the same, before their times are compared.

    One token in a thousand may differ: in float32 a near tie of two experts may go either way.

    Raises:
        AssertionError: they do not.
    """
    same = torch.isclose(ours, theirs, rtol=1e-4, atol=1e-5).all(-1).double().mean()
    if same < 0.999:
        raise AssertionError(f"{name}: only {float(same):.1%} of the tokens have our outputs")
