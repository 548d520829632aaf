"""Joules of a computation, estimated from its FLOPs and bytes."""

from dataclasses import dataclass

from minimoe.config import InputError


@dataclass(frozen=True)
class EnergyAssumptions:
    """What an estimate of energy is made of; `dataclasses.replace` puts in other figures.

    Attributes:
        joules_per_flop: of arithmetic, half a multiply-add.
        joules_per_byte: between memory and chip.
        source: where both are from.
    """

    joules_per_flop: float
    joules_per_byte: float
    source: str


def horowitz(itemsize: int = 4) -> EnergyAssumptions:
    """Horowitz's figures of 2014 for a chip in 45 nm at 0.9 V, the lower end for memory.

    Only the arithmetic and the transfer from DRAM: nothing for instructions, caches, leakage or
    cooling. Another chip needs other amounts, so the ratio of two estimates says more than their
    joules.

    Args:
        itemsize: bytes of a number: 4, or 2 for 16-bit floats.

    Returns:
        Joules. A multiplication of 3.7 pJ and an addition of 0.9 pJ make 2.3 pJ a FLOP in 32 bits,
        1.1 and 0.4 pJ make 0.75 pJ in 16 bits. An access of 64 bits to DRAM takes 1.3 to 2.6 nJ:
        162.5 pJ a byte at least, as much as 70 FLOPs in 32 bits.

    Raises:
        InputError: the source has no figure for that size.
    """
    joules = {4: (3.7e-12 + 0.9e-12) / 2, 2: (1.1e-12 + 0.4e-12) / 2}
    if itemsize not in joules:
        raise InputError(f"itemsize must be 2 or 4, the source has no other floats, got {itemsize}")
    return EnergyAssumptions(
        joules_per_flop=joules[itemsize],
        joules_per_byte=1.3e-9 / 8,
        source="M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014",
    )


def estimated_joules(
    flops: int | float, n_bytes: int | float, assumptions: EnergyAssumptions
) -> float:
    """An estimate, not a measurement: so much for each FLOP, and so much for each byte moved.

    Args:
        flops: 2 for each multiply-add.
        n_bytes: moved between memory and chip.
        assumptions: joules of each.

    Returns:
        Joules. By `horowitz()`, 10^12 FLOPs and 10^10 bytes take 2.3 + 1.625 = 3.925 J. One token
        of DeepSeek-V3 at 16 bit takes 11.9 J for the 73.3 * 10^9 bytes of its weights.

    Raises:
        InputError: flops or n_bytes is below 0.
    """
    for name, value in (("flops", flops), ("n_bytes", n_bytes)):
        if not value >= 0:
            raise InputError(f"{name} must be at least 0, got {value}")
    return flops * assumptions.joules_per_flop + n_bytes * assumptions.joules_per_byte
