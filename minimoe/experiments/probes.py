"""Probes of a routing rule and its balance loss, on untrained layers.

Each probe is True if a fact holds that must hold *for the given configuration*: some are false for
published designs (weights that are not normalized, a capacity), which are no bugs there.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.experiments.routing_bugs import Suspect
from minimoe.model.feed_forward import swiglu
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing, route
from minimoe.model.transformer import Transformer

EXACT = 1e-10  # rounding in float64 stays below; every routing bug is far above


def router_learns(suspect: Suspect) -> bool:
    """The output has a gradient with respect to the router."""
    layer = _layer(suspect).requires_grad_(True)
    y, _ = layer(_random(32, suspect.config.d_model))
    gradient = torch.autograd.grad(y.square().sum(), layer.router.weight)[0]
    return bool(gradient.norm() > EXACT)


def equal_experts_are_one(suspect: Suspect) -> bool:
    """If all experts are equal, the layer is that one expert."""
    layer, x = _layer(suspect), _random(32, suspect.config.d_model)
    gate_up, down = layer.experts.gate_up, layer.experts.down
    gate_up[:], down[:] = gate_up[:1].clone(), down[:1].clone()
    return _equal(layer(x)[0], swiglu(x, gate_up[0], down[0]))


def common_bias_changes_nothing(suspect: Suspect) -> bool:
    """The same selection bias for all experts, up or down, leaves the output as it is."""
    layer, x, outputs = _layer(suspect), _random(32, suspect.config.d_model), []
    assert layer.router.expert_bias is not None
    for bias in (0.0, 1.0, -1.0):
        layer.router.expert_bias.fill_(bias)
        outputs.append(layer(x)[0])
    return _equal(outputs[0], outputs[1]) and _equal(outputs[0], outputs[2])


def one_at_perfect_balance(suspect: Suspect) -> bool:
    """Every expert twice among 8 tokens with 2 experts each: the balance loss is 1."""
    logits = 9 * (torch.eye(8) + torch.eye(8).roll(1, 1))
    return bool(abs(suspect.losses.balance(_planted(logits), None) - 1) < EXACT)


def eight_at_collapse(suspect: Suspect) -> bool:
    """Every token on one of 8 experts, with score 1: the balance loss is 8."""
    logits = 60 * torch.eye(8)[:1].expand(4, 8)
    return bool(abs(suspect.losses.balance(_planted(logits, top_k=1), None) - 8) < EXACT)


def unchosen_expert_is_pulled(suspect: Suspect) -> bool:
    """The balance loss falls when the logits of an expert that nobody chose rise."""
    logits = _random(32, 8)
    logits[:, 7] -= 9
    loss = suspect.losses.balance(_planted(logits.requires_grad_(True)), None)
    return bool(torch.autograd.grad(loss, logits)[0][:, 7].sum() < -1e-8)


def padding_changes_nothing(suspect: Suspect) -> bool:
    """The balance loss of text and padding, with the mask, is that of the text alone."""
    logits, is_text = _random(48, 8), torch.arange(48) < 16
    logits[~is_text, 5] += 9
    both = suspect.losses.balance(_planted(logits), is_text)
    return bool(abs(both - suspect.losses.balance(_planted(logits[is_text]), None)) < EXACT)


def future_is_unseen(suspect: Suspect) -> bool:
    """Other bytes at the end move no logit before them."""
    before, after = _sentences()[3:], _sentences()[3:]
    after[:, -8:] = 7
    return _equal(_logits_of_last(suspect, before)[:-8], _logits_of_last(suspect, after)[:-8])


def company_changes_nothing(suspect: Suspect) -> bool:
    """A sentence has the same logits alone and behind three others."""
    together = _sentences()
    return _equal(_logits_of_last(suspect, together), _logits_of_last(suspect, together[3:]))


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


def _layer(suspect: Suspect) -> MoE:
    return MoE(suspect.config, rule=suspect.rule).double().requires_grad_(False)


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


def _logits_of_last(suspect: Suspect, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "L V"]:
    """Of the last sentence in the batch, by an untrained model."""
    moe = suspect.config
    attention = AttentionConfig(d_model=moe.d_model, n_heads=1, n_kv_heads=1, d_head=16)
    config = ModelConfig(n_layers=2, attention=attention, moe=moe)
    with torch.no_grad():
        logits: Tensor = Transformer(config, rule=suspect.rule).double()(tokens)[0][-1]
    return logits
