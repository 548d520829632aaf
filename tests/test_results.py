"""Stored results are read by seed, length and text, and compared in pairs."""

from pathlib import Path
from statistics import mean

import pytest

from minimoe.errors import InputError
from minimoe.experiments.results import Results
from minimoe.experiments.rows import bits_of
from minimoe.measure.comparison import loss_at

STORED = Results("sparse-pays")


def test_bits_are_those_of_the_rows_with_these_seeds() -> None:
    every = bits_of(STORED.rows, "dense", 2048, "python")
    assert STORED.bits("dense", 2048, "python", (1, 7)) == {1: every[1], 7: every[7]}
    assert list(STORED.bits("dense", 2048)) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="no row"):
        STORED.bits("dense", 7)


def test_a_comparison_subtracts_the_rival_seed_by_seed() -> None:
    one, other = STORED.bits("moe-16", 512, seeds=(5, 6)), STORED.bits("dense", 512, seeds=(5, 6))
    found = STORED.paired("moe-16", "dense", 512, seeds=(5, 6))
    assert found.differences == (one[5] - other[5], one[6] - other[6])


def test_lengths_are_those_that_every_seed_has() -> None:
    assert STORED.steps("dense") == (128, 512, 1024, 2048, 4096, 8192)
    assert STORED.steps("dense", range(10)) == (512, 1024, 2048)
    assert STORED.steps("no such model") == ()


def test_the_tuning_is_found_by_model_rate_windows_and_steps() -> None:
    named = [row for row in STORED.rows if row["name"] == "tuning dense, 2048 steps, rate 0.002"]
    ends = [row["bits"]["all"] for row in named if row["steps"] == 2048]
    assert STORED.tuned("dense", 0.002, 4, 2048) == pytest.approx(mean(ends)) and len(ends) == 2
    (other,) = (row for row in STORED.rows if row["name"] == "tuning dense, batch 2, rate 0.002")
    assert STORED.tuned("dense", 0.002, 2, 2048) == other["bits"]["all"]
    assert STORED.tuned("dense", 0.0007, 4, 2048) is None


def test_relative_costs_are_over_those_of_dense() -> None:
    assert STORED.relative_cost("dense") == (1, 1, 1, 1)
    parameters, flops, seconds, memory = STORED.relative_cost("moe-16")
    (_, total, _, work), (_, base, _, base_work) = STORED.size("moe-16"), STORED.size("dense")
    assert (parameters, flops) == (total / base, work / base_work)
    assert seconds > 1 and memory == STORED.memory("moe-16") / STORED.memory("dense")


def test_a_curve_holds_the_bits_of_each_length_by_seed() -> None:
    lengths, curves = STORED.curve("dense", "python", (1, 7))
    assert lengths == (512, 1024, 2048) and list(curves) == [1, 7]
    assert curves[7][2] == STORED.bits("dense", 2048, "python", (7,))[7]


def test_a_rival_is_compared_at_equal_tokens_flops_and_seconds() -> None:
    found = STORED.at_equal("moe-16", "dense", 2048)
    assert list(found) == ["tokens", "FLOPs", "seconds"]
    assert found["tokens"].differences == STORED.paired("moe-16", "dense", 2048).differences
    lengths, curves = STORED.curve("dense")
    rival = loss_at(
        [float(n) for n in lengths], curves[3], 2048 * STORED.relative_cost("moe-16")[2]
    )
    assert found["seconds"].differences[3] == STORED.bits("moe-16", 2048)[3] - rival
    assert list(STORED.at_equal("moe-16", "dense", 8192)) == ["tokens"]  # no run is longer


def test_a_rival_is_compared_at_equal_memory() -> None:
    same = STORED.at_equal_memory("dense", ("dense", "moe-64"), 512)
    assert same.differences == (0, 0, 0, 0, 0)
    ours = STORED.at_equal_memory("moe-8", ("moe-2", "moe-64"), 512).differences[2]
    ends = [STORED.bits("moe-8", 512)[2] - STORED.bits(n, 512)[2] for n in ("moe-2", "moe-64")]
    assert min(ends) <= ours <= max(ends)
    with pytest.raises(InputError, match="lies outside"):
        STORED.at_equal_memory("moe-64", ("dense", "moe-2"), 512)


def test_the_readme_shows_what_the_rows_say() -> None:
    table = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    large = "dense as large as moe-16"
    rows = {
        "active parameters, tokens; 1 MB": STORED.paired(
            "moe-16", "dense", 2048, seeds=range(5, 10)
        ),
        "active parameters, tokens; 4 MB": STORED.paired("moe-16", "dense", 8192),
        "active parameters, seconds; 1 MB": STORED.at_equal("moe-16", "dense", 2048)["seconds"],
        "active parameters, seconds; 2 MB": STORED.at_equal("moe-16", "dense", 4096)["seconds"],
        "parameters in all, tokens; 1 MB": STORED.paired("moe-16", large, 2048),
    }
    for what, found in rows.items():
        shown = f"| {what} | {found.mean:+.3f} | {found.low:+.3f} to {found.high:+.3f} |"
        assert shown in table, shown
    assert f"{1 / STORED.relative_cost('moe-16', large)[1]:.1f} times the FLOPs" in table
