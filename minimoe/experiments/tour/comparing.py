"""Comparison of the tour's two models at equal FLOPs or equal seconds, paired by seed."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Literal

import numpy as np

from minimoe.measure.comparison import paired
from minimoe.show.comparison import Comparison, Contender, Point


def compare(dense: Contender, moe: Contender, unit: Literal["flops", "seconds"]) -> Comparison:
    """Compare at the largest amount of FLOPs or seconds that all runs have used.

    Each run is read there on its own curve. The differences are MoE minus dense of one seed.
    """
    spent = min(getattr(run.curve[-1], unit) for model in (dense, moe) for run in model.runs)
    dense_at, moe_at = (
        tuple(_at(run.curve, unit, spent) for run in model.runs) for model in (dense, moe)
    )
    differences = tuple(m.bits - d.bits for m, d in zip(moe_at, dense_at, strict=True))
    if len(differences) == 1:
        return Comparison(unit, spent, dense_at, moe_at, differences, differences[0], None)
    found = paired([point.bits for point in moe_at], [point.bits for point in dense_at])
    interval = (found.low, found.high)
    return Comparison(unit, spent, dense_at, moe_at, found.differences, found.mean, interval)


def _at(curve: Sequence[Point], unit: str, spent: float) -> Point:
    """Where a run stood after `spent` FLOPs or seconds, on the line between two evaluations."""
    x = [getattr(point, unit) for point in curve]

    def read(name: str) -> float:
        return float(np.interp(spent, x, [getattr(point, name) for point in curve]))

    return Point(**{field.name: read(field.name) for field in fields(Point)})
