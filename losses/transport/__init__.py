"""Distances between two clouds of features by optimal transport."""

from losses.transport._exact_transport import exact_transport
from losses.transport._gaussian_wasserstein import gaussian_wasserstein
from losses.transport._joint_transport import joint_transport
from losses.transport._sinkhorn_divergence import sinkhorn_divergence
from losses.transport._sliced_wasserstein import max_sliced_wasserstein, sliced_wasserstein

__all__ = [
    "exact_transport",
    "gaussian_wasserstein",
    "joint_transport",
    "max_sliced_wasserstein",
    "sinkhorn_divergence",
    "sliced_wasserstein",
]
