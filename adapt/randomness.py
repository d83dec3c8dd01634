"""Order and randomness as functions of a key, not states."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch


def keyed_seed(*parts: int | str) -> int:
    """A 63-bit number that depends on all `parts` and on nothing else (not on the process, as `hash` does)."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def permutation(rows: int, *parts: int | str) -> torch.Tensor:
    """A permutation of ``range(rows)`` keyed by `parts`."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(keyed_seed(*parts)))


def seed_cpu(number: int) -> None:
    """Seed what transforms draw from: torch on the CPU, numpy and python.

    ``torch.manual_seed`` would also seed every accelerator, at a hundred times the cost.
    """
    torch.default_generator.manual_seed(number)
    numpy.random.seed(number & 0xFFFFFFFF)
    random.seed(number)


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave the CPU's global random states as they were found."""
    states = torch.get_rng_state(), numpy.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        numpy.random.set_state(states[1])
        random.setstate(states[2])
