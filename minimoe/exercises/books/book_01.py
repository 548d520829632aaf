"""Exercises of notebook 01: parameters of a block, FLOPs of a token, long texts, training."""

from __future__ import annotations

from collections.abc import Iterator

from minimoe.exercises.exercise import Case, Exercise, Wrong

# --- 01.1 the parameters of a block ---------------------------------------------------------------


def block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff):
    """Return the number of parameters in one block: attention, SwiGLU, two norms.

    Its matrices are q, k, v, o (attention) and gate, up, down (SwiGLU).
    """
    q_and_o = 2 * n_heads * d_head * d_model
    k_and_v = 2 * n_kv_heads * d_head * d_model
    gate_up_down = 3 * d_ff * d_model
    norms = 2 * d_model
    return q_and_o + k_and_v + gate_up_down + norms


def _keys_for_every_head(
    d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int
) -> int:
    return block_parameters(d_model, n_heads, n_heads, d_head, d_ff)


def _all_heads_grouped(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    return block_parameters(d_model, n_kv_heads, n_kv_heads, d_head, d_ff)


def _keys_without_values(
    d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int
) -> int:
    whole = block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff)
    return whole - n_kv_heads * d_head * d_model


def _no_way_back(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    whole = block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff)
    return whole - n_heads * d_head * d_model


def _two_matrices(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    return block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff) - d_ff * d_model


def _without_norms(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    return block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff) - 2 * d_model


def _one_norm(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    return block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff) - d_model


def _query_heads_in_a_group(
    d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int
) -> int:
    whole = block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff)
    return whole + 2 * (n_heads // n_kv_heads - n_kv_heads) * d_head * d_model


def _square_queries(d_model: int, n_heads: int, n_kv_heads: int, d_head: int, d_ff: int) -> int:
    too_many = 2 * d_model * (d_model - n_heads * d_head)
    return block_parameters(d_model, n_heads, n_kv_heads, d_head, d_ff) + too_many


def _block_cases() -> Iterator[Case]:
    for name, sizes in (
        ("d_model 4, heads 2, kv heads 1, d_head 2, d_ff 3", (4, 2, 1, 2, 3)),
        ("a small model, 64, 4, 2, 16, 134", (64, 4, 2, 16, 134)),
        ("as many kv heads as heads, 32, 4, 4, 8, 88", (32, 4, 4, 8, 88)),
        ("one kv head for 8 heads, 48, 8, 1, 6, 100", (48, 8, 1, 6, 100)),
        ("heads wider than the stream, 32, 4, 2, 16, 64", (32, 4, 2, 16, 64)),
        ("a single head of width 2, 2, 1, 1, 2, 1", (2, 1, 1, 2, 1)),
        ("DeepSeek LLM 67B, 8192, 64, 8, 128, 22016", (8192, 64, 8, 128, 22016)),
    ):
        yield Case(name, sizes)


BLOCK = Exercise(
    id="01.1",
    title="The parameters of a block",
    level=1,
    minutes=8,
    task="""
        Count the parameters of one block from its sizes. The table above shows all its tensors.
        A check: take `d_model` 4, 2 heads, 1 head of keys and values, `d_head` 2 and `d_ff` 3.
        Attention has 48, SwiGLU 36 and the norms 8. The result is 92.
    """,
    reference=block_parameters,
    wrong=(
        Wrong(
            _keys_for_every_head,
            "Keys and values have only n_kv_heads heads. Several query heads share one of them.",
        ),
        Wrong(
            _all_heads_grouped,
            "Only keys and values are shared. The matrices q and o have n_heads heads.",
        ),
        Wrong(
            _query_heads_in_a_group,
            "n_heads / n_kv_heads query heads share one head of keys. k has n_kv_heads heads.",
        ),
        Wrong(_keys_without_values, "Keys and values have one matrix each, k and v. Count both."),
        Wrong(_no_way_back, "Attention has four matrices: q, k, v and o. Count o too."),
        Wrong(_two_matrices, "SwiGLU has three matrices: gate, up and down."),
        Wrong(_without_norms, "The two norms have d_model parameters each."),
        Wrong(_one_norm, "There are two norms, one before each of the two layers."),
        Wrong(
            _square_queries,
            "q has n_heads * d_head rows. In a model with wide heads, this is not d_model.",
        ),
    ),
    cases=_block_cases,
    hints=(
        "A matrix of shape [m, n] has m * n parameters. Add up seven matrices and two norms.",
        "q and o have n_heads * d_head * d_model each. For k and v, use n_kv_heads instead.",
        "gate, up and down have d_ff * d_model each. Each norm has d_model.",
    ),
    imports="",
)

# --- 01.5 the FLOPs of a token --------------------------------------------------------------------


def token_flops(n_multiplied, n_layers, n_heads, d_head, length):
    """Return the forward FLOPs of one token in a text of `length` tokens.

    n_multiplied is the number of parameters in matrices that multiply, over all layers.
    """
    weights = 2 * n_multiplied
    scores = 2 * d_head * length * n_heads * n_layers
    sums = 2 * d_head * length * n_heads * n_layers
    return weights + scores + sums


def _products_only(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return token_flops(n_multiplied, n_layers, n_heads, d_head, length) // 2


def _one_flop_a_weight(
    n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> int:
    return token_flops(n_multiplied, n_layers, n_heads, d_head, length) - n_multiplied


def _scores_only(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return 2 * n_multiplied + 2 * d_head * length * n_heads * n_layers


def _whole_text(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return length * token_flops(n_multiplied, n_layers, n_heads, d_head, length)


def _all_queries(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return token_flops(n_multiplied, n_layers, n_heads, d_head, length * length)


def _one_layer(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return token_flops(n_multiplied, 1, n_heads, d_head, length)


def _one_head(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return token_flops(n_multiplied, n_layers, 1, d_head, length)


def _weights_in_every_layer(
    n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> int:
    return n_layers * token_flops(n_multiplied, 1, n_heads, d_head, length)


def _visible_half(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return 2 * n_multiplied + 2 * d_head * (length + 1) * n_heads * n_layers


def _no_attention(n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int) -> int:
    return 2 * n_multiplied


def _attention_without_factor(
    n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> int:
    return 2 * n_multiplied + d_head * length * n_heads * n_layers


def _token_cases() -> Iterator[Case]:
    for name, sizes in (
        ("100 parameters, 2 layers, 3 heads, d_head 4, length 5", (100, 2, 3, 4, 5)),
        ("a text of one token", (100, 2, 3, 4, 1)),
        ("one layer with one head", (1_000, 1, 1, 8, 16)),
        ("a small model and 128 tokens", (130_432, 3, 4, 16, 128)),
        ("12 layers, 12 heads, d_head 64, length 1,024", (123_532_032, 12, 12, 64, 1_024)),
        ("DeepSeek LLM 67B and 4,096 tokens", (66_584_576_000, 95, 64, 128, 4_096)),
    ):
        yield Case(name, sizes)


TOKEN = Exercise(
    id="01.5",
    title="The FLOPs of one token",
    level=2,
    minutes=8,
    task="""
        Count the forward FLOPs of one token. Add the weights and both steps of attention, in each
        head of each layer. All `length` tokens of the text count, later ones too.
        A check: 100 parameters that multiply, 2 layers of 3 heads, `d_head` 4 and length 5. The
        result is 200 + 240 + 240 = 680.
    """,
    reference=token_flops,
    wrong=(
        Wrong(
            _products_only,
            "You count only the products. Each product comes with an addition: count 2 FLOPs.",
        ),
        Wrong(_one_flop_a_weight, "A weight costs 2 FLOPs: a multiplication and an addition."),
        Wrong(_scores_only, "Attention has two steps: the scores, and the sum of the values."),
        Wrong(_whole_text, "You count the whole text. The question is the cost of one token."),
        Wrong(
            _all_queries,
            "In each head, one token has one score for each key. Do not square length.",
        ),
        Wrong(_one_layer, "Every layer has its own attention: multiply by n_layers."),
        Wrong(_one_head, "Every head computes its own scores and sums: multiply by n_heads."),
        Wrong(
            _weights_in_every_layer,
            "n_multiplied already counts all layers. Multiply only attention by n_layers.",
        ),
        Wrong(
            _visible_half,
            "You count visible pairs only. That convention is in use too; here all pairs count.",
        ),
        Wrong(_no_attention, "Attention also costs FLOPs: add its two steps."),
        Wrong(
            _attention_without_factor,
            "Attention has two steps, and each product comes with an addition: a factor of 4.",
        ),
    ),
    cases=_token_cases,
    hints=(
        "Three parts: the weights, the scores, the weighted sums.",
        "One score is a sum of d_head products: 2 * d_head FLOPs. Count the scores of a token.",
        "A token has length * n_heads * n_layers scores. The sums cost as much as the scores.",
    ),
    imports="",
)

# --- 01.7 the length at which attention costs as much as the weights ------------------------------


def equal_length(n_multiplied, n_layers, n_heads, d_head):
    """Return the length at which attention costs as much as the weights, for one token.

    The length need not be a whole number.
    """
    weights = 2 * n_multiplied
    attention_for_each_length = 4 * n_layers * n_heads * d_head
    return weights / attention_for_each_length


def _weights_once(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return n_multiplied / (4 * n_layers * n_heads * d_head)


def _one_step(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return n_multiplied / (n_layers * n_heads * d_head)


def _length_of_one_layer(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return n_multiplied / (2 * n_heads * d_head)


def _length_of_one_head(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return n_multiplied / (2 * n_layers * d_head)


def _upside_down(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return 2 * n_layers * n_heads * d_head / n_multiplied


def _square_root(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return float(equal_length(n_multiplied, n_layers, n_heads, d_head)) ** 0.5


def _whole_number(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> int:
    return n_multiplied // (2 * n_layers * n_heads * d_head)


def _without_factor(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> float:
    return 2 * n_multiplied / (n_layers * n_heads * d_head)


def _first_whole_length(n_multiplied: int, n_layers: int, n_heads: int, d_head: int) -> int:
    return int(equal_length(n_multiplied, n_layers, n_heads, d_head)) + 1


def _equal_cases() -> Iterator[Case]:
    for name, sizes in (
        ("480 parameters, 2 layers, 3 heads, d_head 4", (480, 2, 3, 4)),
        ("500 parameters, 2 layers, 3 heads, d_head 4", (500, 2, 3, 4)),
        ("one layer with one head", (1_000, 1, 1, 8)),
        ("a small model", (130_432, 3, 4, 16)),
        ("12 layers, 12 heads, d_head 64", (123_532_032, 12, 12, 64)),
        ("DeepSeek LLM 67B", (66_584_576_000, 95, 64, 128)),
    ):
        yield Case(name, sizes)


EQUAL = Exercise(
    id="01.7",
    title="Where attention costs as much as the weights",
    level=2,
    minutes=5,
    task="""
        One part of `token_flops` does not depend on the length. The other part grows with it. At
        which length are both equal? A check: take 480 parameters that multiply, 2 layers of 3 heads
        and `d_head` 4. The weights cost 960 FLOPs. Attention costs 96 for each token of the text.
        So the length is 10.
    """,
    reference=equal_length,
    wrong=(
        Wrong(_weights_once, "The weights cost 2 FLOPs each, not 1."),
        Wrong(
            _one_step, "Attention has two steps, and each costs 2 FLOPs. Use the factor 4, not 2."
        ),
        Wrong(_length_of_one_layer, "Attention happens in every layer: divide by n_layers too."),
        Wrong(_length_of_one_head, "Attention happens in every head: divide by n_heads too."),
        Wrong(
            _upside_down,
            "Your result is 1 / length. Solve weights = length * attention for length.",
        ),
        Wrong(
            _square_root,
            "For one token, attention grows with the length, not with its square.",
        ),
        Wrong(_whole_number, "Do not round: the length need not be a whole number. Use /, not //."),
        Wrong(
            _without_factor,
            "Each token of the text costs 4 FLOPs in attention for each d_head, head and layer.",
        ),
        Wrong(_first_whole_length, "A search in whole steps goes too far. Solve for the length."),
    ),
    cases=_equal_cases,
    hints=(
        "Write both parts down: 2 * n_multiplied, and something times length.",
        "That something is 4 * n_layers * n_heads * d_head.",
        "Divide the first by the second.",
    ),
    imports="",
)

# --- 01.9 the full count of training against 6N ---------------------------------------------------


def full_over_6n(n_parameters, n_multiplied, n_layers, n_heads, d_head, length):
    """Return the full count of training FLOPs of one token, divided by 6 * n_parameters.

    Count 3 times the forward FLOPs of the weights and 3.5 times those of attention.
    """
    weights = 2 * n_multiplied
    attention = 4 * n_layers * n_heads * d_head * length
    return (3 * weights + 3.5 * attention) / (6 * n_parameters)


def _attention_thrice(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    forward = token_flops(n_multiplied, n_layers, n_heads, d_head, length)
    return float(3 * forward / (6 * n_parameters))


def _everything_at_3_and_a_half(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    forward = token_flops(n_multiplied, n_layers, n_heads, d_head, length)
    return float(3.5 * forward / (6 * n_parameters))


def _forward_only(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    forward = token_flops(n_multiplied, n_layers, n_heads, d_head, length)
    return float(forward / (6 * n_parameters))


def _backward_only(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    attention = 4 * n_layers * n_heads * d_head * length
    return (2 * 2 * n_multiplied + 2.5 * attention) / (6 * n_parameters)


def _weights_only(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    return n_multiplied / n_parameters


def _multiplied_below(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    return float(full_over_6n(n_multiplied, n_multiplied, n_layers, n_heads, d_head, length))


def _all_parameters_multiplied(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    return float(full_over_6n(n_parameters, n_parameters, n_layers, n_heads, d_head, length))


def _rule_over_full(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    full = full_over_6n(n_parameters, n_multiplied, n_layers, n_heads, d_head, length)
    return float(1 / full)


def _published_count(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    return 1 + 12 * n_layers * n_heads * d_head * length / (6 * n_parameters)


def _not_divided(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    weights, attention = 2 * n_multiplied, 4 * n_layers * n_heads * d_head * length
    return 3 * weights + 3.5 * attention


def _visible_pairs(
    n_parameters: int, n_multiplied: int, n_layers: int, n_heads: int, d_head: int, length: int
) -> float:
    seen = (length + 1) / 2
    return float(full_over_6n(n_parameters, n_multiplied, n_layers, n_heads, d_head, seen))


def _training_cases() -> Iterator[Case]:
    for name, sizes in (
        ("200 parameters, 100 of them multiplied, 2 layers, 3 heads, d_head 4, length 5",
         (200, 100, 2, 3, 4, 5)),
        ("a text of one token", (200, 100, 2, 3, 4, 1)),
        ("one layer with one head", (1_500, 1_000, 1, 1, 8, 16)),
        ("a small model and 1,024 tokens", (147_264, 130_432, 3, 4, 16, 1_024)),
        ("tied embeddings, which are all multiplied", (130_880, 130_432, 3, 4, 16, 128)),
        ("DeepSeek LLM 67B and 4,096 tokens",
         (67_425_001_472, 66_584_576_000, 95, 64, 128, 4_096)),
    ):  # fmt: skip
        yield Case(name, sizes)


TRAINING = Exercise(
    id="01.9",
    title="The full count against 6N",
    level=2,
    minutes=8,
    task="""
        Divide the full count by the cost of the rule. Count all pairs of tokens. Count attention
        as flash computes it, with the scores computed again: 3.5 times, not 3.
        A check: 200 parameters of which 100 multiply, 2 layers of 3 heads, `d_head` 4, length 5.
        Forward costs 200 (weights) and 480 (attention). Training costs 3 · 200 + 3.5 · 480 = 2280.
        The rule says 6 · 200 = 1200. The result is 1.9.
    """,
    reference=full_over_6n,
    wrong=(
        Wrong(
            _attention_thrice,
            "3 is the count without computing the scores again. Here they are: use 3.5.",
        ),
        Wrong(_everything_at_3_and_a_half, "The weights cost 3 forward passes, not 3.5."),
        Wrong(_forward_only, "That is only the forward pass. Training also has a backward pass."),
        Wrong(_backward_only, "That is only the backward pass. Training also has a forward pass."),
        Wrong(_weights_only, "Attention is missing in the full count."),
        Wrong(
            _multiplied_below,
            "The rule uses all parameters. Divide by 6 * n_parameters, not by 6 * n_multiplied.",
        ),
        Wrong(
            _all_parameters_multiplied,
            "The full count has only parameters in matrices that multiply: n_multiplied.",
        ),
        Wrong(
            _rule_over_full,
            "You divide the rule by the full count. Divide the full count by the rule.",
        ),
        Wrong(
            _published_count,
            "That is 6N + 12LHQT. Take n_multiplied instead of N, and 3.5 instead of 3.",
        ),
        Wrong(_not_divided, "That is the full count itself. Divide it by 6 * n_parameters."),
        Wrong(
            _visible_pairs,
            "You count visible pairs only. That convention is in use too; here all pairs count.",
        ),
    ),
    cases=_training_cases,
    hints=(
        "Compute weights and attention as in 01.5, as two numbers.",
        "full = 3 * weights + 3.5 * attention.",
        "attention is 4 * n_layers * n_heads * d_head * length. Divide full by 6 * n_parameters.",
    ),
    imports="",
)

EXERCISES = (BLOCK, TOKEN, EQUAL, TRAINING)
