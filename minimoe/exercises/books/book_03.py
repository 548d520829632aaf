"""Exercises of notebook 03: a count from config.json, three meanings of active, printed figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minimoe.exercises.exercise import Case, Exercise, Wrong

Config = dict[str, Any]
Counts = dict[str, int]

# --- 03.3 the count of a config -------------------------------------------------------------------


def count_moe(c):
    """Return (all parameters, those that one token uses) for a config.json like Mixtral's."""
    D, blocks = c["hidden_size"], c["num_hidden_layers"]
    E, K = c["num_local_experts"], c["num_experts_per_tok"]
    heads = 2 * c["num_attention_heads"] + 2 * c["num_key_value_heads"]  # of q and o, of k and v
    attention = heads * c["head_dim"] * D
    expert = 3 * D * c["intermediate_size"]
    once = blocks * (attention + E * D + 2 * D) + 2 * c["vocab_size"] * D + D
    return once + blocks * E * expert, once + blocks * K * expert


def _experts(c: Config, n_matrices: int = 3) -> tuple[int, int]:
    """All routed experts, and those of one token."""
    one = n_matrices * c["hidden_size"] * c["intermediate_size"] * c["num_hidden_layers"]
    return one * c["num_local_experts"], one * c["num_experts_per_tok"]


def _less(c: Config, amount: int) -> tuple[int, int]:
    every, used = count_moe(c)
    return every - amount, used - amount


def _everything_eightfold(c: Config) -> tuple[int, int]:
    dense = count_moe(c | {"num_local_experts": 1, "num_experts_per_tok": 1})[0]
    return c["num_local_experts"] * dense, c["num_experts_per_tok"] * dense


def _one_embedding(c: Config) -> tuple[int, int]:
    return _less(c, c["vocab_size"] * c["hidden_size"])


def _two_matrices(c: Config) -> tuple[int, int]:
    return tuple(n - third // 3 for n, third in zip(count_moe(c), _experts(c), strict=True))


def _no_router(c: Config) -> tuple[int, int]:
    return _less(c, c["num_hidden_layers"] * c["num_local_experts"] * c["hidden_size"])


def _no_norms(c: Config) -> tuple[int, int]:
    return _less(c, (2 * c["num_hidden_layers"] + 1) * c["hidden_size"])


def _no_last_norm(c: Config) -> tuple[int, int]:
    return _less(c, c["hidden_size"])


def _as_many_keys_as_queries(c: Config) -> tuple[int, int]:
    return count_moe(c | {"num_key_value_heads": c["num_attention_heads"]})


def _heads_as_wide_as_the_stream(c: Config) -> tuple[int, int]:
    return count_moe(c | {"head_dim": c["hidden_size"] // c["num_attention_heads"]})


def _one_block(c: Config) -> tuple[int, int]:
    return count_moe(c | {"num_hidden_layers": 1})


def _share_of_everything(c: Config) -> tuple[int, int]:
    every = count_moe(c)[0]
    return every, every * c["num_experts_per_tok"] // c["num_local_experts"]


def _one_row(c: Config) -> tuple[int, int]:
    every, used = count_moe(c)
    return every, used - (c["vocab_size"] - 1) * c["hidden_size"]


def _used_with_the_head_only(c: Config) -> tuple[int, int]:
    every, used = count_moe(c)
    return every, used - c["vocab_size"] * c["hidden_size"]


def _idle_experts(c: Config) -> tuple[int, int]:
    every, used = count_moe(c)
    return every, every - used


MIXTRAL = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 14336,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}


def _config(*sizes: int) -> Config:
    return dict(zip(MIXTRAL, sizes, strict=True))


def _config_cases() -> Iterator[Case]:
    sizes = _config(10, 4, 1, 2, 1, 2, 3, 2, 1)
    yield Case("1 block, D = 4, 2 experts of width 3 and 10 possible tokens", (sizes,))
    yield Case("2 such blocks", (sizes | {"num_hidden_layers": 2},))
    yield Case("Mixtral 8x7B", (MIXTRAL,))
    yield Case("heads that are wider together than D", (_config(50, 8, 3, 4, 2, 6, 5, 6, 2),))
    yield Case("as many key heads as query heads", (_config(20, 6, 2, 3, 3, 2, 4, 5, 3),))
    yield Case("a token that uses all experts", (_config(30, 8, 2, 4, 2, 2, 7, 4, 4),))


CONFIG = Exercise(
    id="03.3",
    title="Count a model from its config.json",
    level=2,
    minutes=10,
    task="""
        Count a model like Mixtral from the dict `c`. A token uses all parts, both tables whole, but
        only the chosen experts.

        - Each block: grouped heads, a router, `num_local_experts` experts, two norms.
        - Outside: input embedding, output head, one norm.

        A check: 1 block, D = 4, 2 query heads, 1 key head, head width 2, 10 possible tokens. Of 2
        experts of width 3, a token uses 1. The result is `(220, 184)`.
    """,
    reference=count_moe,
    wrong=(
        Wrong(
            _everything_eightfold,
            "Only the experts exist E times. Count attention, embedding, head and norms once.",
        ),
        Wrong(
            _one_embedding,
            "There are two tables of vocab_size x D numbers: the input embedding and the head.",
        ),
        Wrong(_two_matrices, "An expert has three matrices: gate, up and down."),
        Wrong(_no_router, "Each block has a router with a row of D numbers for each expert."),
        Wrong(_no_norms, "Add the norms: two of D numbers in each block, and one at the end."),
        Wrong(_no_last_norm, "Add one more norm of D numbers: it comes after the last block."),
        Wrong(
            _as_many_keys_as_queries,
            "k and v have only num_key_value_heads heads, not as many as the queries.",
        ),
        Wrong(
            _heads_as_wide_as_the_stream,
            "The width of a head is head_dim. It can differ from D divided by the number of heads.",
        ),
        Wrong(_one_block, "Multiply the parameters of one block by num_hidden_layers."),
        Wrong(
            _share_of_everything,
            "A token uses K of E experts, but all of the other parts.",
        ),
        Wrong(
            _one_row,
            "A token reads one row of the input embedding, but here the whole table counts.",
        ),
        Wrong(
            _used_with_the_head_only,
            "Both tables count as used here: the head and the input embedding.",
        ),
        Wrong(
            _idle_experts, "The second number must be what a token uses, not what it does not use."
        ),
    ),
    cases=_config_cases,
    hints=(
        "Count what exists once (attention, routers, norms, embedding, head), then the experts.",
        "Attention: q and o have heads * head_dim * D numbers each. For k and v use the key heads.",
        "all = once + blocks * E * expert, and used = once + blocks * K * expert.",
    ),
    imports="",
    parts=("all parameters", "those that one token uses"),
)

# --- 03.5 three meanings of active ----------------------------------------------------------------


def active(parts, E, K):
    """Return {"both": ..., "head only": ..., "neither": ...}: active parameters in three meanings.

    parts holds the parameters of each part; "routed experts" are all E of them together.
    """
    used = sum(parts.values()) - parts["routed experts"] * (E - K) // E
    head_only = used - parts["input embedding"]
    neither = head_only - parts["output head"]
    return {"both": used, "head only": head_only, "neither": neither}


def _three(used: int, parts: Counts) -> Counts:
    tables = parts["input embedding"], parts["output head"]
    return {"both": used, "head only": used - tables[0], "neither": used - sum(tables)}


def _all_experts(parts: Counts, E: int, K: int) -> Counts:
    return _three(sum(parts.values()), parts)


def _all_parts_shrink(parts: Counts, E: int, K: int) -> Counts:
    return _three(sum(parts.values()) * K // E, parts)


def _one_expert(parts: Counts, E: int, K: int) -> Counts:
    return active(parts, E, 1)


def _the_idle(parts: Counts, E: int, K: int) -> Counts:
    return active(parts, E, E - K)


def _no_experts(parts: Counts, E: int, K: int) -> Counts:
    return active(parts, E, 0)


def _embedding_for_head(parts: Counts, E: int, K: int) -> Counts:
    right = active(parts, E, K)
    return right | {"head only": right["both"] - parts["output head"]}


def _only_the_head(parts: Counts, E: int, K: int) -> Counts:
    return active(parts, E, K) | {"head only": parts["output head"]}


def _neither_keeps_the_head(parts: Counts, E: int, K: int) -> Counts:
    right = active(parts, E, K)
    return right | {"neither": right["head only"]}


def _known_names(parts: Counts, E: int, K: int) -> Counts:
    names = ("input embedding", "attention", "shared experts", "routed experts", "output head")
    return active({name: parts.get(name, 0) for name in names}, E, K)


def _parts(*sizes: int) -> Counts:
    names = ("input embedding", "attention", "shared experts", "routed experts", "output head")
    return dict(zip(names, sizes, strict=True))


def _active_cases() -> Iterator[Case]:
    sizes = {"input embedding": 10, "attention": 5, "routed experts": 40, "output head": 10}
    yield Case("E = 4 and K = 1", (sizes, 4, 1))
    yield Case("E = 8 and K = 2", (_parts(100, 30, 0, 800, 100), 8, 2))
    yield Case("a head that is larger than the embedding", (_parts(7, 11, 3, 60, 9), 6, 4))
    yield Case("K = E", (_parts(20, 4, 4, 12, 20), 3, 3))
    large = _parts(926_679_040, 11_413_422_080, 2_554_331_136, 653_908_770_816, 926_679_040)
    yield Case("sizes as in DeepSeek-V3", (large, 256, 8))
    more = {"dense layer": 70, "routers": 6, "norms": 5, "input projection": 9}
    yield Case("parts with further names", (_parts(20, 8, 2, 30, 20) | more, 10, 3))


ACTIVE = Exercise(
    id="03.5",
    title="Three meanings of active",
    level=1,
    minutes=6,
    task="""
        Compute the active parameters in the three meanings. `parts` is a dict like `parts` of the
        tiny model. Its keys include "input embedding", "output head" and "routed experts".
        A check: take E = 4, K = 1 and the parts
        `{"input embedding": 10, "attention": 5, "routed experts": 40, "output head": 10}`.
        The result is `{"both": 35, "head only": 25, "neither": 15}`.
    """,
    reference=active,
    wrong=(
        Wrong(_all_experts, "Subtract the experts that the token does not use: (E - K) of E."),
        Wrong(
            _all_parts_shrink,
            "Take K of E only for the routed experts. Keep all other parts whole.",
        ),
        Wrong(_one_expert, "A token uses K routed experts, not one."),
        Wrong(_the_idle, "You kept the E - K idle experts. Keep the K chosen ones instead."),
        Wrong(_no_experts, "You subtracted all routed experts, but a token uses K of them."),
        Wrong(_embedding_for_head, '"head only" keeps the head and leaves out the embedding.'),
        Wrong(
            _only_the_head,
            '"head only" means: of the two tables, count only the head. Keep all other parts.',
        ),
        Wrong(_neither_keeps_the_head, '"neither" leaves out both tables.'),
        Wrong(_known_names, "Sum all parts of the dict, whatever their names are."),
    ),
    cases=_active_cases,
    hints=(
        "Start with all parts and subtract the idle experts. That is the first meaning.",
        'The idle experts are parts["routed experts"] * (E - K) // E.',
        'Then subtract parts["input embedding"], and after that parts["output head"].',
    ),
    imports="",
)

# --- 03.6 printed figures -------------------------------------------------------------------------


def fits(printed, counts):
    """Return the names of the counts that round to a printed figure such as "37B" or "5.1B"."""
    decimals = len(printed.removesuffix("B").partition(".")[2])
    return [name for name, n in counts.items() if f"{n / 1e9:.{decimals}f}B" == printed]


def _decimals(printed: str) -> int:
    return len(printed.removesuffix("B").partition(".")[2])


def _value(printed: str) -> float:
    return float(printed.removesuffix("B"))


def _cut(printed: str, counts: Counts) -> list[str]:
    ten = 10 ** _decimals(printed)
    return [k for k, n in counts.items() if int(n / 1e9 * ten) / ten == _value(printed)]


def _rounded_up(printed: str, counts: Counts) -> list[str]:
    ten = 10 ** _decimals(printed)
    return [k for k, n in counts.items() if math.ceil(n / 1e9 * ten) / ten == _value(printed)]


def _whole_numbers(printed: str, counts: Counts) -> list[str]:
    return [k for k, n in counts.items() if round(n / 1e9) == round(_value(printed))]


def _exact_whole_numbers(printed: str, counts: Counts) -> list[str]:
    return [k for k, n in counts.items() if round(n / 1e9) == _value(printed)]


def _at_most_one_decimal(printed: str, counts: Counts) -> list[str]:
    d = 1 if "." in printed else 0
    return [k for k, n in counts.items() if round(n / 1e9, d) == round(_value(printed), d)]


def _within_a_billion(printed: str, counts: Counts) -> list[str]:
    return [k for k, n in counts.items() if abs(n / 1e9 - _value(printed)) <= 1]


def _nearest(printed: str, counts: Counts) -> list[str]:
    return [min(counts, key=lambda k: abs(counts[k] / 1e9 - _value(printed)))]


def _rounded_twice(printed: str, counts: Counts) -> list[str]:
    more, ten = 10 ** (_decimals(printed) + 1), 10 ** _decimals(printed)
    first = {k: math.floor(n / 1e9 * more + 0.5) / more for k, n in counts.items()}
    return [k for k, x in first.items() if math.floor(x * ten + 0.5) / ten == _value(printed)]


def _first_only(printed: str, counts: Counts) -> list[str]:
    return fits(printed, counts)[:1]


def _exact(printed: str, counts: Counts) -> list[str]:
    return [k for k, n in counts.items() if n == _value(printed) * 1e9]


def _fits_cases() -> Iterator[Case]:
    v3 = {"both": 37_552_282_624, "head only": 36_625_603_584, "neither": 35_698_924_544}
    yield Case('"37B"', ("37B", v3))
    yield Case('"36.6B"', ("36.6B", v3))
    yield Case('"35B", which no count rounds to', ("35B", v3))
    yield Case('"36B"', ("36B", v3))
    small = {"both": 1_330_000_000, "head only": 1_280_000_000, "neither": 1_230_000_000}
    yield Case('"1.3B", which two counts round to', ("1.3B", small))
    yield Case('"1.2B"', ("1.2B", small))
    yield Case('"1.28B"', ("1.28B", small))
    yield Case('"1.29B"', ("1.29B", small))
    hub = {"weights": 684_489_830_400, "weights and scales": 684_531_370_896}
    yield Case('"685B" and a count of 684,489,830,400', ("685B", hub))
    yield Case('"684B"', ("684B", hub))
    exact = {"a": 2_000_000_000, "b": 2_600_000_000, "c": 1_960_000_000}
    yield Case('"2B"', ("2B", exact))
    yield Case('"2.0B"', ("2.0B", exact))


FITS = Exercise(
    id="03.6",
    title="Which meanings fit a printed figure?",
    level=2,
    minutes=8,
    task="""
        A figure fits a count if the count, in billions, rounds to the figure. Round once, to as
        many decimals as the figure has: "37B" has none, "36.6B" has one. Return the names in their
        order. An f-string can round: `f"{36.625:.1f}"` is `"36.6"`.
        A check: take `{"both": 37_552_282_624, "head only": 36_625_603_584}`. The figure "37B"
        gives `["head only"]`, and "36.7B" gives `[]`.
    """,
    reference=fits,
    wrong=(
        Wrong(_cut, "You cut digits off. Round instead: a count of 36.63 billion rounds to 37."),
        Wrong(_rounded_up, "Round to the nearest figure, not always up."),
        Wrong(
            _whole_numbers,
            'Keep the decimals of the figure: "36.6B" and "36.7B" are not the same.',
        ),
        Wrong(
            _exact_whole_numbers,
            'You round every count to a whole number. "36.6B" needs one decimal.',
        ),
        Wrong(_at_most_one_decimal, 'A figure can have more than one decimal: "1.28B" has two.'),
        Wrong(_within_a_billion, "A near count is not enough. It must round to the figure."),
        Wrong(_nearest, "The nearest count may not fit, and more than one count may fit."),
        Wrong(
            _rounded_twice,
            "You round twice. 684.49 becomes 684.5 and then 685, but 684.49 rounds to 684.",
        ),
        Wrong(_first_only, "More than one count can fit: return all their names."),
        Wrong(_exact, "A printed figure is rounded, so no count equals it exactly."),
    ),
    cases=_fits_cases,
    hints=(
        "Write each count as its authors would print it, then compare the two texts.",
        "The number of decimals is the number of digits after the point. Without a point it is 0.",
        'printed.removesuffix("B").partition(".")[2] is what follows the point.',
    ),
    imports="",
)

# --- 03.8 a batch ---------------------------------------------------------------------------------


def experts_read(expert_ids):
    """Return how many experts of one layer are read when T tokens are computed together.

    expert_ids is a tensor [T, K] of whole numbers: the experts of each token.
    """
    return len(set(expert_ids.flatten().tolist()))


def _every_assignment(expert_ids: Tensor) -> int:
    return expert_ids.numel()


def _of_one_token(expert_ids: Tensor) -> int:
    return expert_ids.shape[1]


def _tokens(expert_ids: Tensor) -> int:
    return len(expert_ids)


def _highest(expert_ids: Tensor) -> int:
    return int(expert_ids.max()) + 1


def _distinct_rows(expert_ids: Tensor) -> int:
    return len(torch.unique(expert_ids, dim=0))


def _first_choices(expert_ids: Tensor) -> int:
    return len(set(expert_ids[:, 0].tolist()))


def _shared_by_all(expert_ids: Tensor) -> int:
    return len(set.intersection(*(set(row) for row in expert_ids.tolist())))


def _batch_cases() -> Iterator[Case]:
    yield Case("the experts [0, 5], [5, 2], [0, 5]", (torch.tensor([[0, 5], [5, 2], [0, 5]]),))
    yield Case("one token", (torch.tensor([[7, 1, 4]]),))
    yield Case("four tokens with the same expert", (torch.tensor([[3], [3], [3], [3]]),))
    for seed, (n_tokens, n_experts, k) in enumerate(
        [(6, 8, 2), (20, 16, 3), (50, 4, 2), (5, 64, 6)]
    ):
        scores = torch.rand(n_tokens, n_experts, generator=torch.Generator().manual_seed(seed))
        name = f"{n_tokens} tokens, E = {n_experts} and K = {k}"
        yield Case(name, (scores.topk(k, -1).indices,))
    yield Case("whole numbers of 32 bits", (torch.tensor([[9, 0], [0, 9]], dtype=torch.int32),))


BATCH = Exercise(
    id="03.8",
    title="What does a batch read?",
    level=1,
    minutes=4,
    task="""
        Count the experts that a batch reads in one layer. An expert that several tokens chose is
        read once for all of them. The tokens [0, 5], [5, 2] and [0, 5] read 3 experts: 0, 2 and 5.
    """,
    reference=experts_read,
    wrong=(
        Wrong(
            _every_assignment, "If two tokens chose the same expert, it is read once, not twice."
        ),
        Wrong(_of_one_token, "That is what one token reads. Other tokens chose other experts."),
        Wrong(
            _tokens,
            "Count experts, not tokens. In a set, two tensors are never equal: use unique().",
        ),
        Wrong(_highest, "The highest number is not the count: some lower numbers may be missing."),
        Wrong(_distinct_rows, "Count distinct experts, not distinct rows of choices."),
        Wrong(_first_choices, "Each token has K experts. You counted only the first one."),
        Wrong(
            _shared_by_all,
            "Count the experts that at least one token chose, not those that all chose.",
        ),
    ),
    cases=_batch_cases,
    hints=(
        "How many different numbers are in the tensor?",
        "expert_ids.flatten().tolist() is a list of all numbers. A set keeps each number once.",
        "torch.unique(expert_ids) gives the different numbers, too.",
    ),
)

EXERCISES = (CONFIG, ACTIVE, FITS, BATCH)
