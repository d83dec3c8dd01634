"""Order and randomness as functions of a key, without a state."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch


def keyed_seed(*parts: int | str) -> int:
    """Return a 63-bit number that depends on all `parts` alone; python's ``hash`` depends on the process too."""
    plain = tuple(p if isinstance(p, str) else int(p) for p in parts)  # a number of numpy has another repr
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def permutation(rows: int, *parts: int | str) -> torch.Tensor:
    """Return a permutation of ``range(rows)`` keyed by `parts`."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(keyed_seed(*parts)))


def keyed_numbers(key: int, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Return ``(n, count)`` 64-bit numbers, spread evenly: each depends on `key`, the number of the row and the place.

    Args:
        rows: ``(n,)`` whole numbers. The numbers of a row do not depend on the other rows, nor on the device.

    The numbers are those of SplitMix64: Steele et al., Fast Splittable Pseudorandom Number Generators, 2014,
    https://doi.org/10.1145/2714064.2660195
    """
    start = mixed(rows.long() ^ key)[:, None]
    return mixed(start + (torch.arange(count, device=rows.device) + 1) * (0x9E3779B97F4A7C15 - 2**64))


def mixed(x: torch.Tensor) -> torch.Tensor:
    """Return the output function of SplitMix64 on int64 numbers: a bijection."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ ((x >> shift) & (2 ** (64 - shift) - 1))) * (factor - 2**64)  # a shift without the sign
    return x ^ ((x >> 31) & (2**33 - 1))


def seed_cpu(number: int) -> None:
    """Seed the global generators of torch on the CPU, of numpy and of python: transforms draw from them.

    ``torch.manual_seed`` would also seed every accelerator, at a hundred times the cost.
    """
    torch.default_generator.manual_seed(number)
    numpy.random.seed(number & 0xFFFFFFFF)
    random.seed(number)


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Put the global random states of the CPU back after the block."""
    states = torch.get_rng_state(), numpy.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        numpy.random.set_state(states[1])
        random.setstate(states[2])
