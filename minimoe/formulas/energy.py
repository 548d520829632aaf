"""Energy of a computation, estimated from its FLOPs and bytes."""

from dataclasses import dataclass

from minimoe.config import InputError


@dataclass(frozen=True)
class EnergyAssumptions:
    """Joules of one FLOP (a multiply-add is two) and of one byte moved between memory and chip."""

    joules_per_flop: float
    joules_per_byte: float
    source: str


def horowitz(itemsize: int = 4) -> EnergyAssumptions:
    """Horowitz's figures of 2014 for a 45 nm chip at 0.9 V, the lower end for memory.

    They cover arithmetic and DRAM transfers. They leave out instructions, caches, leakage and
    cooling. Other chips need other amounts: trust the ratio of two estimates, not their joules.

    Args:
        itemsize: bytes of a number, 2 or 4.

    Returns:
        Joules. In 32 bits a multiplication takes 3.7 pJ and an addition 0.9 pJ: 2.3 pJ a FLOP. In
        16 bits they take 1.1 pJ and 0.4 pJ: 0.75 pJ a FLOP. Reading 64 bits from DRAM takes
        1.3 nJ: 162.5 pJ a byte, as much as 70 FLOPs in 32 bits.
    """
    joules = {4: (3.7e-12 + 0.9e-12) / 2, 2: (1.1e-12 + 0.4e-12) / 2}
    if itemsize not in joules:
        raise InputError(f"itemsize must be 2 or 4, the floats of the source, got {itemsize}")
    return EnergyAssumptions(
        joules_per_flop=joules[itemsize],
        joules_per_byte=1.3e-9 / 8,
        source="M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014",
    )


def estimated_joules(
    flops: int | float, n_bytes: int | float, assumptions: EnergyAssumptions
) -> float:
    """Estimate the energy of FLOPs and moved bytes. This is not a measurement.

    Returns:
        Joules. With `horowitz()`, 10^12 FLOPs and 10^10 bytes take 2.3 + 1.625 = 3.925 J. In 16
        bits, DeepSeek-V3 reads 73.3 * 10^9 bytes of weights for one token: 11.9 J.
    """
    for name, value in (("flops", flops), ("n_bytes", n_bytes)):
        if not value >= 0:
            raise InputError(f"{name} must be at least 0, got {value}")
    return flops * assumptions.joules_per_flop + n_bytes * assumptions.joules_per_byte
