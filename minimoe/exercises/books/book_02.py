"""Exercises of notebook 02: the router, the sum over experts, capacity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from minimoe.exercises.exercise import Case, Exercise, Wrong
from minimoe.exercises.judge import seeded

# --- 02.2 the router ------------------------------------------------------------------------------


def route(logits, k):
    """Return expert_ids [T, k] and weights [T, k] for logits [T, E].

    The best expert comes first. The weights of a token sum to 1.
    """
    scores = logits.softmax(-1)
    best, expert_ids = scores.topk(k, -1)
    return expert_ids, best / best.sum(-1, keepdim=True)


def _weights_not_divided(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, expert_ids = logits.softmax(-1).topk(k, -1)
    return expert_ids, best


def _softmax_over_tokens(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, expert_ids = logits.softmax(0).topk(k, -1)
    return expert_ids, best / best.sum(-1, keepdim=True)


def _logits_divided(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, expert_ids = logits.topk(k, -1)
    return expert_ids, best / best.sum(-1, keepdim=True)


def _worst_experts(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    scores = logits.softmax(-1)
    expert_ids = scores.argsort(-1)[:, :k]
    best = scores.gather(-1, expert_ids)
    return expert_ids, best / best.sum(-1, keepdim=True)


def _first_token_for_all(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    scores = logits.softmax(-1)
    expert_ids = scores[0].topk(k).indices.expand(len(scores), k)
    best = scores.gather(-1, expert_ids)
    return expert_ids, best / best.sum(-1, keepdim=True)


def _divided_by_the_whole_batch(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, expert_ids = logits.softmax(-1).topk(k, -1)
    return expert_ids, best / best.sum()


def _swapped(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    expert_ids, weights = route(logits, k)
    return weights, expert_ids


def _sum_without_its_column(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, expert_ids = logits.softmax(-1).topk(k, -1)
    return expert_ids, best / best.sum(-1)


def _router_cases() -> Iterator[Case]:
    even = torch.log(torch.tensor([[4.0, 2.0, 1.0, 1.0]], dtype=torch.float64))
    yield Case("one token with the scores 1/2, 1/4, 1/8, 1/8 and k = 2", (even, 2))
    for seed, (n_tokens, n_experts, k) in enumerate([(5, 8, 2), (3, 4, 1), (7, 16, 6), (2, 3, 3)]):
        name = f"logits of shape [{n_tokens}, {n_experts}] and k = {k}"
        yield Case(name, (seeded(seed, n_tokens, n_experts), k))
    yield Case("logits in float32", (seeded(9, 4, 8, dtype=torch.float32), 2))
    yield Case("large logits", (100 * seeded(10, 4, 8), 2))


ROUTER = Exercise(
    id="02.2",
    title="The router",
    level=1,
    minutes=8,
    task="""
        Write the router for all tokens at once. Row t of `logits` belongs to token t.
        `scores.topk(k, -1)` returns the k largest values of each row and their places. A check:
        take the scores 1/2, 1/4, 1/8, 1/8 and k = 2. The experts are 0 and 1, with the weights 2/3
        and 1/3.
    """,
    reference=route,
    wrong=(
        Wrong(_weights_not_divided, "Divide the chosen scores of a token by their sum."),
        Wrong(
            _softmax_over_tokens,
            "Softmax must run over the experts of one token: use the last dimension, softmax(-1).",
        ),
        Wrong(_logits_divided, "Take the weights from the scores (after softmax), not the logits."),
        Wrong(_worst_experts, "argsort puts the smallest first. You chose the worst experts."),
        Wrong(
            _first_token_for_all,
            "You used the first token's experts for all. Each token has its own.",
        ),
        Wrong(
            _divided_by_the_whole_batch,
            "Divide by the sum of this token's weights: sum(-1, keepdim=True), not sum().",
        ),
        Wrong(_swapped, "Return expert_ids first, then the weights."),
        Wrong(_sum_without_its_column, "Keep the column of sums: sum(-1, keepdim=True)."),
    ),
    cases=_router_cases,
    hints=(
        "Three lines: softmax, the k best, divide.",
        "scores = logits.softmax(-1), then scores.topk(k, -1) gives values and places.",
        "values / values.sum(-1, keepdim=True) keeps the shape [T, k].",
    ),
    parts=("expert_ids", "weights"),
)

# --- 02.5 the layer -------------------------------------------------------------------------------


def moe_layer(x, expert_ids, weights, experts):
    """Return y [T, D]: for each token the weighted sum of its experts' outputs.

    x is [T, D]; expert_ids and weights are [T, K]; experts is a list of functions [n, D] -> [n, D].
    """
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        if len(tokens):
            y[tokens] += weights[tokens, slots, None] * expert(x[tokens])
    return y


Experts = list[Callable[[Tensor], Tensor]]


def _without_weights(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    return moe_layer(x, expert_ids, torch.ones_like(weights), experts)


def _overwrites(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        if len(tokens):
            y[tokens] = weights[tokens, slots, None] * expert(x[tokens])
    return y


def _calls_idle_experts(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        y[tokens] += weights[tokens, slots, None] * expert(x[tokens])
    return y


def _overwrites_without_guard(
    x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts
) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        y[tokens] = weights[tokens, slots, None] * expert(x[tokens])
    return y


def _first_choice_only(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    return moe_layer(x, expert_ids[:, :1], weights[:, :1], experts)


def _weights_the_input(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        if len(tokens):
            y[tokens] += expert(weights[tokens, slots, None] * x[tokens])
    return y


def _keeps_the_input(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    return x + moe_layer(x, expert_ids, weights, experts)


def _all_experts(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    outputs = torch.stack([expert(x) for expert in experts])
    return outputs.mean(0)


def _every_token_with_a_mask(
    x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts
) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        y += (weights * (expert_ids == e)).sum(-1, keepdim=True) * expert(x)
    return y


def _token_by_token(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    y = torch.zeros_like(x)
    for t, row in enumerate(expert_ids.tolist()):
        for slot, e in enumerate(row):
            y[t] += weights[t, slot] * experts[e](x[t])
    return y


def _slot_by_slot(x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    y = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        for slot in range(expert_ids.shape[1]):
            tokens = torch.where(expert_ids[:, slot] == e)[0]
            if len(tokens):
                y[tokens] += weights[tokens, slot, None] * expert(x[tokens])
    return y


class _CountingExpert:
    """An expert, not linear, that takes one call with rows of x that chose it, and no other."""

    def __init__(self, e: int, matrix: Tensor, x: Tensor, chosen: Tensor) -> None:
        self.e, self.matrix, self.x, self.chosen, self.calls = e, matrix, x, chosen, 0

    def __call__(self, rows: Tensor) -> Tensor:
        same = (rows.reshape(-1, 1, self.x.shape[1]) == self.x).all(-1)  # row i is token t
        if not len(same):
            raise ValueError(f"expert {self.e} was called without a token")
        if not same.any(-1).all():
            raise ValueError(f"expert {self.e} got a row that is not in x")
        if not (same & self.chosen).any(-1).all():
            raise ValueError(f"expert {self.e} got a token that did not choose it")
        self.calls += 1
        if self.calls > 1:
            raise ValueError(f"expert {self.e} was called twice; give it all its rows in one call")
        return torch.tanh(rows @ self.matrix)


def _zeros_of_another_type(
    x: Tensor, expert_ids: Tensor, weights: Tensor, experts: Experts
) -> Tensor:
    y = torch.zeros(x.shape)
    for e, expert in enumerate(experts):
        tokens, slots = torch.where(expert_ids == e)
        if len(tokens):
            y[tokens] += weights[tokens, slots, None] * expert(x[tokens])
    return y


def _layer_cases() -> Iterator[Case]:
    sizes = [(1, 2, 3, 2), (6, 4, 8, 2), (5, 3, 4, 1), (9, 4, 6, 6), (2, 4, 16, 3)]
    for seed, (n_tokens, d_model, n_experts, k) in enumerate(sizes):
        ids, weights = route(seeded(seed, n_tokens, n_experts), k)
        name = f"{n_experts} experts, K = {k}, number of tokens = {n_tokens}"
        x, matrices = seeded(seed + 20, n_tokens, d_model), seeded(seed + 50, n_experts, d_model**2)
        experts = [
            _CountingExpert(e, matrix.view(d_model, d_model), x, (ids == e).any(-1))
            for e, matrix in enumerate(matrices)
        ]
        yield Case(name, (x, ids, weights, experts))


LAYER = Exercise(
    id="02.5",
    title="Dispatch and combine",
    level=2,
    minutes=12,
    task="""
        Write the layer for given choices of a router. Loop over the experts, not over the tokens.
        Call each expert **once**, with the rows of all tokens that chose it. Do not call an expert
        that no token chose. The check refuses a second call, and a row that did not choose the
        expert. `slow_layer` above gives the same output with more calls.
        `tokens, slots = torch.where(expert_ids == e)` gives the places where expert e was chosen.
    """,
    reference=moe_layer,
    wrong=(
        Wrong(_without_weights, "Multiply each output by its combine weight."),
        Wrong(
            _overwrites,
            "A token has several experts. Add to y[tokens] with +=; do not overwrite it.",
        ),
        Wrong(
            _calls_idle_experts,
            "The sum is right, but some experts have no token here. Skip them: if len(tokens).",
        ),
        Wrong(
            _overwrites_without_guard,
            "Two things: skip an expert that has no tokens, and add to y[tokens] with +=, not =.",
        ),
        Wrong(
            _token_by_token,
            "You call an expert for each token. Loop over the experts: one call with all its rows.",
        ),
        Wrong(
            _slot_by_slot,
            "You call an expert once for each slot. torch.where(expert_ids == e) finds its tokens "
            "in all slots at once.",
        ),
        Wrong(
            _every_token_with_a_mask,
            "You give every token to every expert. That is E / K times the work. Give expert e "
            "only x[tokens].",
        ),
        Wrong(_first_choice_only, "You used only the first of the K choices."),
        Wrong(
            _weights_the_input,
            "Multiply the expert's output by the weight, not its input. An expert is not linear, "
            "so the two results differ.",
        ),
        Wrong(_keeps_the_input, "Start from zeros. The residual x + y is added outside the layer."),
        Wrong(_all_experts, "You averaged over all experts. Use only the chosen ones."),
        Wrong(
            _zeros_of_another_type,
            "Start from torch.zeros_like(x). It keeps the type of the numbers.",
        ),
    ),
    cases=_layer_cases,
    hints=(
        "Start from y = torch.zeros_like(x) and loop over enumerate(experts).",
        "For expert e: its rows are x[tokens], their weights are weights[tokens, slots].",
        "weights[tokens, slots, None] has the shape [n, 1] and multiplies an output of [n, D].",
    ),
)

# --- 02.7 capacity --------------------------------------------------------------------------------


def keep(expert_ids, n_experts, factor):
    """Return a boolean [T, K]: True where the assignment is kept.

    Each expert keeps its first C assignments in reading order, with C = ceil(factor * T * K / E).
    """
    n_tokens, k = expert_ids.shape
    room = math.ceil(factor * n_tokens * k / n_experts)
    used = [0] * n_experts
    kept = torch.zeros_like(expert_ids, dtype=torch.bool)
    for t in range(n_tokens):
        for slot in range(k):
            e = int(expert_ids[t, slot])
            kept[t, slot] = used[e] < room
            used[e] += 1
    return kept


def _with_room(expert_ids: Tensor, room: int) -> Tensor:
    kept = torch.zeros_like(expert_ids, dtype=torch.bool)
    used: dict[int, int] = {}
    for t, row in enumerate(expert_ids.tolist()):
        for slot, e in enumerate(row):
            kept[t, slot] = used.get(e, 0) < room
            used[e] = used.get(e, 0) + 1
    return kept


def _rounds_down(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return _with_room(expert_ids, int(factor * expert_ids.numel() / n_experts))


def _forgets_k(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return _with_room(expert_ids, math.ceil(factor * len(expert_ids) / n_experts))


def _forgets_experts(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return _with_room(expert_ids, math.ceil(factor * expert_ids.numel()))


def _writes_k_as_two(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return _with_room(expert_ids, math.ceil(factor * len(expert_ids) * 2 / n_experts))


def _first_choices_first(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    """GShard's order. One column of T * K rows has the same capacity as T rows of K."""
    n_tokens, k = expert_ids.shape
    return keep(expert_ids.T.reshape(-1, 1), n_experts, factor).view(k, n_tokens).T


def _keeps_the_last(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return keep(expert_ids.flip(0, 1), n_experts, factor).flip(0, 1)


def _drops_whole_tokens(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return keep(expert_ids, n_experts, factor).all(-1, keepdim=True).expand_as(expert_ids)


def _one_too_many(expert_ids: Tensor, n_experts: int, factor: float) -> Tensor:
    return _with_room(expert_ids, 1 + math.ceil(factor * expert_ids.numel() / n_experts))


def _capacity_cases() -> Iterator[Case]:
    crowd = torch.tensor([[0, 1], [0, 2], [0, 1], [0, 3]])
    yield Case("four tokens that all choose expert 0, E = 4 and factor 1", (crowd, 4, 1.0))
    sizes = [(6, 4, 2, 1.25), (10, 8, 2, 0.5), (5, 3, 1, 1.0), (7, 8, 3, 0.75), (3, 4, 2, 4.0)]
    sizes += [(12, 4, 1, 1.0), (12, 6, 3, 0.75)]  # both drop assignments
    for seed, (n_tokens, n_experts, k, factor) in enumerate(sizes):
        ids = seeded(seed, n_tokens, n_experts).topk(k, -1).indices
        name = f"{n_tokens} tokens, K = {k}, E = {n_experts} and factor {factor}"
        yield Case(name, (ids, n_experts, factor))


CAPACITY = Exercise(
    id="02.7",
    title="Capacity",
    level=2,
    minutes=10,
    task="""
        Write the rule that keeps or drops assignments. Go through the tokens in order, from token 0
        on. An expert keeps an assignment if it has kept fewer than C. A check: four tokens all have
        expert 0 as first choice, with K = 2, E = 4 and factor 1. Then C = 2. Expert 0 keeps tokens
        0 and 1 and drops tokens 2 and 3.
    """,
    reference=keep,
    wrong=(
        Wrong(_rounds_down, "C is rounded up: math.ceil."),
        Wrong(_forgets_k, "There are T * K assignments, not T: the factor counts all of them."),
        Wrong(
            _writes_k_as_two,
            "You wrote K = 2 into the rule. K is the number of columns: expert_ids.shape[1].",
        ),
        Wrong(
            _first_choices_first,
            "That is GShard's order: all first choices, then all second ones. Here the order is "
            "token by token.",
        ),
        Wrong(_forgets_experts, "C is the room of one expert: divide by the number of experts."),
        Wrong(_keeps_the_last, "Keep the first assignments of an expert and drop the later ones."),
        Wrong(
            _drops_whole_tokens,
            "A token can lose one expert and keep the other. Decide for each assignment.",
        ),
        Wrong(_one_too_many, "An expert with C assignments is full: compare with <, not <=."),
    ),
    cases=_capacity_cases,
    hints=(
        "Write two loops: over tokens, and over the K choices of a token. Count for each expert.",
        "used = [0] * n_experts counts the assignments of each expert so far.",
        "kept[t, slot] = used[e] < room, then used[e] += 1.",
    ),
    imports="import math\n\nimport torch",
)

EXERCISES = (ROUTER, LAYER, CAPACITY)
