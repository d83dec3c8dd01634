"""Gramians, tame and hostile; every method."""

import numpy
import torch

from adapt import multitask

FROM_GRAMIAN = {
    "mgda": multitask.mgda,
    "pcgrad": multitask.pcgrad,
    "cagrad": multitask.cagrad,
    "imtl_g": multitask.imtl_g,
    "nash_mtl": multitask.nash_mtl,
    "fairgrad": multitask.fairgrad,
    "aligned_mtl": multitask.aligned_mtl,
    "upgrad": multitask.upgrad,
    "dualproj": multitask.dualproj,
    "conflict_free": multitask.conflict_free,
}
FROM_LOSSES = {
    "equal": multitask.equal,
    "uncertainty": multitask.uncertainty,
    "gls": multitask.gls,
    "imtl_l": multitask.imtl_l,
    "uw_so": multitask.uw_so,
    "rlw": multitask.rlw,
    "dwa": lambda: multitask.dwa(window=3),
    "stch": multitask.stch,
    "famo": multitask.famo,
}
METHODS = FROM_LOSSES | FROM_GRAMIAN | {"auxiliary": multitask.auxiliary}


def jacobians(count=200, *, spread=4.0, seed=0, low=2, high=12, dimensions=50):
    """Rows are gradients whose norms differ by factors of up to e^(2 spread)."""
    rng = numpy.random.default_rng(seed)
    for _ in range(count):
        T = int(rng.integers(low, high))
        J = rng.normal(size=(T, dimensions)) + rng.normal() * rng.normal(size=dimensions)
        yield J * numpy.exp(rng.uniform(-spread, spread, size=(T, 1)))


def weigh(balance, J, losses=None):
    G = torch.from_numpy(J @ J.T)
    losses = torch.ones(len(J), dtype=torch.float64) if losses is None else losses
    return balance(losses, G).numpy()
