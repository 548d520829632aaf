"""A trained model whose shared experts are removed, with more routed experts in their place."""

from dataclasses import replace

from minimoe.errors import InputError
from minimoe.model.transformer import Transformer


def shared_replaced(model: Transformer, n_more: int) -> Transformer:
    """A copy without shared experts, in which each token chooses `n_more` more routed experts.

    With n_more = 1 this is the intervention of DeepSeekMoE (arXiv 2401.06066, section 4.5): the
    model is not trained again.

    Raises:
        InputError: the model has no shared expert.
    """
    moe = model.config.moe
    if moe is None or not moe.n_shared_experts:
        raise InputError("the model needs at least 1 shared expert to remove, got 0")
    layer = replace(moe, n_shared_experts=0, top_k=moe.top_k + n_more, d_shared=None,
                    gate_shared=False)  # fmt: skip
    rule = model.moe_layers()[0].router.rule
    other = Transformer(replace(model.config, moe=layer), rule=rule)
    other = other.to(next(model.parameters()).dtype)
    weights = {key: w for key, w in model.state_dict().items() if ".ff.shared." not in key}
    other.load_state_dict(weights)
    return other
