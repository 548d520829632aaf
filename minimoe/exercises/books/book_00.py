"""Exercises of notebook 00: a router for one token, in three steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

from minimoe.exercises.exercise import Case, Exercise, Wrong
from minimoe.exercises.judge import seeded

Numbers = list[float]


def _numbers(seed: int, n: int, size: float = 1.0) -> Numbers:
    return [size * x for x in seeded(seed, n).tolist()]


# --- 00.2 softmax ---------------------------------------------------------------------------------


def softmax(logits):
    """Return a list of scores, one for each logit: e^x of each, divided by their sum."""
    powers = [math.exp(x) for x in logits]
    total = sum(powers)
    return [p / total for p in powers]


def _not_divided(logits: Numbers) -> Numbers:
    return [math.exp(x) for x in logits]


def _without_exp(logits: Numbers) -> Numbers:
    return [x / sum(logits) for x in logits]


def _divided_by_the_largest(logits: Numbers) -> Numbers:
    return [math.exp(x) / math.exp(max(logits)) for x in logits]


def _exp_of_the_share(logits: Numbers) -> Numbers:
    return [math.exp(x / sum(logits)) for x in logits]


def _divided_before(logits: Numbers) -> Numbers:
    return [math.exp(x) / sum(logits) for x in logits]


def _divided_by_the_count(logits: Numbers) -> Numbers:
    return [math.exp(x) / len(logits) for x in logits]


def _base_two(logits: Numbers) -> Numbers:
    return [2**x / sum(2**y for y in logits) for x in logits]


def _softmax_cases() -> Iterator[Case]:
    yield Case("the logits [0.0, log 3]", ([0.0, math.log(3)],))
    yield Case("four equal logits", ([0.5, 0.5, 0.5, 0.5],))
    yield Case("one logit", ([-2.0],))
    yield Case("negative logits", ([-1.0, -3.0, -2.0],))
    for seed, n in enumerate([3, 8, 16]):
        yield Case(f"{n} logits", (_numbers(seed, n),))
    yield Case("large logits", (_numbers(5, 6, size=10.0),))
    yield Case("whole numbers", ([2, 0, 1],))


SOFTMAX = Exercise(
    id="00.2",
    title="Softmax",
    level=1,
    minutes=5,
    task="""
        Write softmax. `logits` is a list of numbers. The result is a list of the same length.
        `math.exp(x)` is $e^x$. A check: the logits 0 and `math.log(3)` must give the scores 1/4
        and 3/4, because $e^0 = 1$ and $e^{\\log 3} = 3$.
    """,
    reference=softmax,
    wrong=(
        Wrong(
            _not_divided, "Divide each number by the sum of all numbers. Then the scores sum to 1."
        ),
        Wrong(
            _without_exp, "First compute e^x of each logit. Then divide by the sum of the results."
        ),
        Wrong(_divided_by_the_largest, "Divide by the sum of all e^x, not by the largest."),
        Wrong(_exp_of_the_share, "Change the order: first compute e^x, then divide."),
        Wrong(_divided_before, "Divide by the sum of the e^x, not by the sum of the logits."),
        Wrong(_divided_by_the_count, "Divide by the sum of the e^x, not by their number."),
        Wrong(_base_two, "The base is e: use math.exp(x), not 2 ** x."),
    ),
    cases=_softmax_cases,
    hints=(
        "Three lines: a list of the e^x, its sum, a list of the quotients.",
        "powers = [math.exp(x) for x in logits] is the first line.",
        "total = sum(powers); return [p / total for p in powers]",
    ),
    imports="import math",
)

# --- 00.4 the k best ------------------------------------------------------------------------------


def best(scores, k):
    """Return the places of the k largest scores, the best first. Of equal scores take the first."""
    places = sorted(range(len(scores)), key=lambda place: -scores[place])
    return places[:k]


def _the_scores(scores: Numbers, k: int) -> Numbers:
    return sorted(scores, reverse=True)[:k]


def _the_worst(scores: Numbers, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: scores[place])[:k]


def _the_first(scores: Numbers, k: int) -> list[int]:
    return list(range(k))


def _in_order_of_place(scores: Numbers, k: int) -> list[int]:
    return sorted(best(scores, k))


def _twice_the_same(scores: Numbers, k: int) -> list[int]:
    return [scores.index(score) for score in sorted(scores, reverse=True)[:k]]


def _last_of_equals(scores: Numbers, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: scores[place])[::-1][:k]


def _counted_from_one(scores: Numbers, k: int) -> list[int]:
    return [place + 1 for place in best(scores, k)]


def _above_the_mean(scores: Numbers, k: int) -> list[int]:
    mean = sum(scores) / len(scores)
    return [place for place in best(scores, len(scores)) if scores[place] > mean]


def _all(scores: Numbers, k: int) -> list[int]:
    return best(scores, len(scores))


def _best_comes_last(scores: Numbers, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: scores[place])[-k:]


def _best_cases() -> Iterator[Case]:
    yield Case("the scores 0.1, 0.6, 0.3 and k = 2", ([0.1, 0.6, 0.3], 2))
    yield Case("two equal scores", ([0.2, 0.4, 0.4], 2))
    yield Case("four equal scores and k = 3", ([0.25, 0.25, 0.25, 0.25], 3))
    for seed, (n, k) in enumerate([(4, 1), (8, 2), (16, 6)]):
        yield Case(f"{n} scores and k = {k}", (softmax(_numbers(seed + 10, n)), k))
    yield Case("as many experts as k", ([0.3, 0.7], 2))


BEST = Exercise(
    id="00.4",
    title="The k best",
    level=1,
    minutes=5,
    task="""
        Find the experts with the k largest scores. Return their **places**, counted from 0, with
        the best place first. Of two equal scores, the first one counts as better.
        A check: the scores 0.1, 0.6 and 0.3 with k = 2 must give `[1, 2]`.
    """,
    reference=best,
    wrong=(
        Wrong(_the_scores, "Return the places of the scores, not the scores themselves."),
        Wrong(_the_worst, "sorted() puts the smallest first. You chose the worst experts."),
        Wrong(_the_first, "You return the first k places. Choose the places with the best scores."),
        Wrong(_in_order_of_place, "These are the right experts, but the best one must come first."),
        Wrong(
            _twice_the_same,
            "scores.index(s) finds only the first place with this score. So equal scores give one "
            "place twice. Sort the places instead.",
        ),
        Wrong(_last_of_equals, "Of two equal scores the first one must come first."),
        Wrong(_counted_from_one, "Places count from 0 in Python."),
        Wrong(
            _above_the_mean, "Always take exactly k places. The size of the scores does not matter."
        ),
        Wrong(_all, "These are all places. Keep only the first k."),
        Wrong(_best_comes_last, "These are the right places, but the best one must come first."),
    ),
    cases=_best_cases,
    hints=(
        "The places are range(len(scores)). Sort them, and keep the first k.",
        "sorted(places, key=...) calls key for each place. The smallest result comes first.",
        "The key lambda place: -scores[place] puts the largest score first.",
    ),
    imports="",
)

# --- 00.5 the weights -----------------------------------------------------------------------------


def weights(scores, chosen):
    """Return the scores of the chosen places, divided by their sum."""
    kept = [scores[place] for place in chosen]
    return [score / sum(kept) for score in kept]


def _only_kept(scores: Numbers, chosen: list[int]) -> Numbers:
    return [scores[place] for place in chosen]


def _all_the_same(scores: Numbers, chosen: list[int]) -> Numbers:
    return [1 / len(chosen) for _ in chosen]


def _softmax_again(scores: Numbers, chosen: list[int]) -> Numbers:
    return softmax(_only_kept(scores, chosen))


def _for_every_expert(scores: Numbers, chosen: list[int]) -> Numbers:
    by_place = dict(zip(chosen, weights(scores, chosen), strict=True))
    return [by_place.get(place, 0.0) for place in range(len(scores))]


def _by_the_best(scores: Numbers, chosen: list[int]) -> Numbers:
    return [scores[place] / scores[chosen[0]] for place in chosen]


def _first_scores(scores: Numbers, chosen: list[int]) -> Numbers:
    kept = scores[: len(chosen)]
    return [score / sum(kept) for score in kept]


def _the_best_scores(scores: Numbers, chosen: list[int]) -> Numbers:
    kept = sorted(scores, reverse=True)[: len(chosen)]
    return [score / sum(kept) for score in kept]


def _in_order_of_all(scores: Numbers, chosen: list[int]) -> Numbers:
    kept = [score for place, score in enumerate(scores) if place in chosen]
    return [score / sum(kept) for score in kept]


def _weights_cases() -> Iterator[Case]:
    yield Case("the scores 0.1, 0.6, 0.3 and the places 1, 2", ([0.1, 0.6, 0.3], [1, 2]))
    yield Case("the scores 0.1, 0.6, 0.3 and the places 2, 0", ([0.1, 0.6, 0.3], [2, 0]))
    yield Case("one chosen expert", ([0.2, 0.5, 0.3], [1]))
    yield Case("all experts chosen", ([0.25, 0.75], [1, 0]))
    for seed, (n, k) in enumerate([(4, 3), (8, 2), (16, 6)]):
        scores = softmax(_numbers(seed + 20, n))
        yield Case(f"{n} scores and {k} places", (scores, best(scores, k)))


WEIGHTS = Exercise(
    id="00.5",
    title="The weights",
    level=1,
    minutes=4,
    task="""
        Write the last step. `chosen` is a list of places, for example a result of `best`. Take the
        scores at these places, in this order, and divide each by their sum. A check: the scores
        0.1, 0.6, 0.3 and the places `[1, 2]` must give 2/3 and 1/3.
    """,
    reference=weights,
    wrong=(
        Wrong(
            _only_kept, "Your weights sum to less than 1. Divide by the sum of the chosen scores."
        ),
        Wrong(
            _all_the_same, "Your weights are all equal. A better score must get a larger weight."
        ),
        Wrong(_softmax_again, "The scores already come from softmax. Only divide them."),
        Wrong(
            _for_every_expert, "Return one weight for each chosen place, in the order of chosen."
        ),
        Wrong(_by_the_best, "Divide by the sum of the chosen scores, not by the best of them."),
        Wrong(
            _first_scores, "You took the first scores. Take scores[place] for the chosen places."
        ),
        Wrong(
            _the_best_scores,
            "You took the best scores and did not look at chosen. Take scores[place] for each "
            "place in chosen.",
        ),
        Wrong(_in_order_of_all, "Keep the order of chosen: the first weight is for chosen[0]."),
    ),
    cases=_weights_cases,
    hints=(
        "Two lines: a list of the chosen scores, and a list of the quotients.",
        "kept = [scores[place] for place in chosen] is the first line.",
        "return [score / sum(kept) for score in kept]",
    ),
    imports="",
)

EXERCISES = (SOFTMAX, BEST, WEIGHTS)
