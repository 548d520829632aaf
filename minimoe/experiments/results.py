"""Stored results of a plan: bits by seed, paired comparisons, tuning, and costs beside dense."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from minimoe.experiments.costs import stored_costs
from minimoe.experiments.rows import bits_of, stored_rows
from minimoe.experiments.sparse_pays import LENGTH
from minimoe.measure.comparison import Paired, at_cost, paired_by_seed
from minimoe.measure.timing import Timing

SEEDS = range(5)  # of a comparison, unless others are named


@dataclass(frozen=True)
class Results:
    """The rows and the costs of a plan, as they come with the package: `Results("sparse-pays")`."""

    plan: str

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each run."""
        return stored_rows(self.plan)

    @cached_property
    def costs(self) -> Mapping[str, Any]:
        """By name: seconds of each round, bytes of parameters and of activations."""
        steps: Mapping[str, Any] = stored_costs(self.plan)["steps"]
        return steps

    @property
    def domains(self) -> tuple[str, ...]:
        """The kinds of text that each row is judged on; "all" joins them."""
        return tuple(self.rows[0]["bits"])

    def steps(self, name: str, seeds: Iterable[int] = SEEDS) -> tuple[int, ...]:
        """The lengths of training that a model has for every one of these seeds, rising."""
        by_seed = [
            {row["steps"] for row in self.rows if (row["name"], row["seed"]) == (name, seed)}
            for seed in seeds
        ]
        return tuple(sorted(set.intersection(*by_seed)))

    def bits(
        self, name: str, steps: int, domain: str = "all", seeds: Iterable[int] = SEEDS
    ) -> dict[int, float]:
        """Bits per byte of validation text, by seed.

        Raises:
            InputError: there is no such row.
        """
        wanted = set(seeds)
        found = bits_of(self.rows, name, steps, domain)
        return {seed: bits for seed, bits in found.items() if seed in wanted}

    def paired(
        self, name: str, rival: str, steps: int, domain: str = "all", seeds: Iterable[int] = SEEDS
    ) -> Paired:
        """One model minus another, seed by seed, after as many steps."""
        wanted = tuple(seeds)
        return paired_by_seed(
            self.bits(name, steps, domain, wanted), self.bits(rival, steps, domain, wanted)
        )

    def curve(
        self, name: str, domain: str = "all", seeds: Iterable[int] = SEEDS
    ) -> tuple[tuple[int, ...], dict[int, list[float]]]:
        """The lengths that all these seeds have, and by seed the bits per byte at each of them."""
        wanted = tuple(seeds)
        lengths = self.steps(name, wanted)
        columns = [self.bits(name, n, domain, wanted) for n in lengths]
        return lengths, {seed: [column[seed] for column in columns] for seed in wanted}

    def at_equal(
        self,
        name: str,
        rival: str,
        steps: int,
        domain: str = "all",
        seeds: Iterable[int] = SEEDS,
    ) -> dict[str, Paired]:
        """One model after these steps minus a rival: at equal tokens, FLOPs and seconds.

        The rival is read off between its stored lengths. What lies outside of them is left out.
        """
        wanted = tuple(seeds)
        lengths, curves = self.curve(rival, domain, wanted)
        ours = self.bits(name, steps, domain, wanted)
        _, flops, seconds, _ = self.relative_cost(name, rival)
        ratios = {"tokens": 1.0, "FLOPs": flops, "seconds": seconds}
        return {
            what: at_cost(lengths, curves, ours, steps * ratio)
            for what, ratio in ratios.items()
            if lengths[0] <= steps * ratio <= lengths[-1]
        }

    def at_equal_memory(
        self,
        name: str,
        rivals: Iterable[str],
        steps: int,
        domain: str = "all",
        seeds: Iterable[int] = SEEDS,
    ) -> Paired:
        """One model minus a rival that holds as much memory, between rivals of rising size.

        Raises:
            InputError: the model holds less memory than the first rival, or more than the last.
        """
        wanted = tuple(seeds)
        sizes = {rival: self.memory(rival) for rival in rivals}
        columns = [self.bits(rival, steps, domain, wanted) for rival in sizes]
        curves = {seed: [column[seed] for column in columns] for seed in wanted}
        ours = self.bits(name, steps, domain, wanted)
        return at_cost(tuple(sizes.values()), curves, ours, self.memory(name))

    def size(self, name: str) -> tuple[str, int, int, int]:
        """Name, parameters, active parameters, and training FLOPs of a token."""
        row = next(row for row in self.rows if row["name"] == name)
        return name, row["total"], row["active"], row["flops"] // row["tokens"]

    def tuned(self, name: str, rate: float, windows: int, steps: int) -> float | None:
        """Mean bits per byte over the seeds of the tuning, with so many windows a step, or None."""
        label = re.compile(rf"tuning {re.escape(name)}(, batch \d+|, \d+ steps)?, rate {rate:g}")
        tokens = LENGTH * windows * steps
        found = {
            row["seed"]: row["bits"]["all"]
            for row in self.rows
            if label.fullmatch(row["name"]) and (row["steps"], row["tokens"]) == (steps, tokens)
        }
        return mean(found.values()) if found else None

    def relative_cost(self, name: str, base: str = "dense") -> tuple[float, float, float, float]:
        """Parameters, FLOPs of a token, seconds of a step and memory, over those of another.

        Memory is what a training step holds: parameters with gradients and moments, activations.
        FLOPs are NaN for a model that has costs and no rows.
        """
        ours, theirs = self.costs[name], self.costs[base]
        seconds = Timing(tuple(theirs["seconds"])).ratio(Timing(tuple(ours["seconds"])))
        return (
            ours["parameter_bytes"] / theirs["parameter_bytes"],
            self._flops(name) / self._flops(base),
            seconds.median,
            self.memory(name) / self.memory(base),
        )

    def memory(self, name: str) -> int:
        """Bytes that a training step holds."""
        cost = self.costs[name]
        held: int = cost["parameter_bytes"] + cost["activation_bytes"]
        return held

    def _flops(self, name: str) -> float:
        known = any(row["name"] == name for row in self.rows)
        return float(self.size(name)[3]) if known else float("nan")
