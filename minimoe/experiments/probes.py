"""Is the routing right? Nine facts that hold for every right layer and loss, checked untrained.

Each probe is True for right code. They call the losses where the training step does, so that they
judge what a training would use.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.model.experts import swiglu
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing, route
from minimoe.model.transformer import Transformer
from minimoe.training import loop

EXACT = 1e-10  # rounding in float64 stays below; every routing bug is far above


def router_learns(config: MoEConfig) -> bool:
    """The output has a gradient with respect to the router."""
    layer = MoE(config).double()
    y, _ = layer(_random(32, config.d_model))
    gradient = torch.autograd.grad(y.square().sum(), layer.router.weight)[0]
    return bool(gradient.norm() > EXACT)


def equal_experts_are_one(config: MoEConfig) -> bool:
    """If all experts are equal, the layer is that one expert."""
    layer, x = _layer(config), _random(32, config.d_model)
    gate_up, down = layer.experts.gate_up, layer.experts.down
    gate_up[:], down[:] = gate_up[:1].clone(), down[:1].clone()
    return _equal(layer(x)[0], swiglu(x, gate_up[0], down[0]))


def common_bias_changes_nothing(config: MoEConfig) -> bool:
    """The same selection bias for all experts, up or down, leaves the output as it is."""
    layer, x, outputs = _layer(config), _random(32, config.d_model), []
    assert layer.router.expert_bias is not None
    for bias in (0.0, 1.0, -1.0):
        layer.router.expert_bias.fill_(bias)
        outputs.append(layer(x)[0])
    return _equal(outputs[0], outputs[1]) and _equal(outputs[0], outputs[2])


def one_at_perfect_balance(config: MoEConfig) -> bool:
    """Every expert twice among 8 tokens with 2 experts each: the balance loss is 1."""
    logits = 9 * (torch.eye(8) + torch.eye(8).roll(1, 1))
    return bool(abs(loop.load_balancing_loss(_planted(logits)) - 1) < EXACT)


def eight_at_collapse(config: MoEConfig) -> bool:
    """Every token on one of 8 experts, with score 1: the balance loss is 8."""
    logits = 60 * torch.eye(8)[:1].expand(4, 8)
    return bool(abs(loop.load_balancing_loss(_planted(logits, top_k=1)) - 8) < EXACT)


def unchosen_expert_is_pulled(config: MoEConfig) -> bool:
    """The balance loss falls when the logits of an expert that nobody chose rise."""
    logits = _random(32, 8)
    logits[:, 7] -= 9
    loss = loop.load_balancing_loss(_planted(logits.requires_grad_(True)))
    return bool(torch.autograd.grad(loss, logits)[0][:, 7].sum() < -1e-8)


def padding_changes_nothing(config: MoEConfig) -> bool:
    """The balance loss of text and padding, with the mask, is that of the text alone."""
    logits, is_text = _random(48, 8), torch.arange(48) < 16
    logits[~is_text, 5] += 9
    both = loop.load_balancing_loss(_planted(logits), is_text)
    return bool(abs(both - loop.load_balancing_loss(_planted(logits[is_text]))) < EXACT)


def future_is_unseen(config: MoEConfig) -> bool:
    """Other bytes at the end move no logit before them."""
    before, after = _sentences()[3:], _sentences()[3:]
    after[:, -8:] = 7
    return _equal(_logits_of_last(config, before)[:-8], _logits_of_last(config, after)[:-8])


def company_changes_nothing(config: MoEConfig) -> bool:
    """A sentence has the same logits alone and behind three others."""
    together = _sentences()
    return _equal(_logits_of_last(config, together), _logits_of_last(config, together[3:]))


PROBES = (
    router_learns,
    equal_experts_are_one,
    common_bias_changes_nothing,
    one_at_perfect_balance,
    eight_at_collapse,
    unchosen_expert_is_pulled,
    padding_changes_nothing,
    future_is_unseen,
    company_changes_nothing,
)


def _random(*shape: int) -> Float[Tensor, "..."]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _layer(config: MoEConfig) -> MoE:
    return MoE(config).double().requires_grad_(False)


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() < EXACT)


def _planted(logits: Float[Tensor, "T E"], top_k: int = 2) -> Routing:
    """What a plain router of 8 experts makes of these logits."""
    plain = MoEConfig(
        d_model=1, d_expert=1, n_routed_experts=8, top_k=top_k, normalize_weights=top_k > 1
    )
    return route(logits.double(), plain)


def _sentences() -> Int[Tensor, "B L"]:
    return torch.randint(256, (4, 32), generator=torch.Generator().manual_seed(0))


def _logits_of_last(config: MoEConfig, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "L V"]:
    """Of the last sentence in the batch, by an untrained model."""
    attention = AttentionConfig(d_model=config.d_model, n_heads=1, n_kv_heads=1, d_head=16)
    model = Transformer(ModelConfig(n_layers=2, attention=attention, moe=config)).double()
    with torch.no_grad():
        logits: Tensor = model(tokens)[0][-1]
    return logits
