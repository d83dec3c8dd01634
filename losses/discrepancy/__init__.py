"""Distances between two clouds of features: kernels, moments, subspaces."""

from losses.discrepancy._batch_spectral_penalization import batch_spectral_penalization
from losses.discrepancy._central_moment_discrepancy import central_moment_discrepancy
from losses.discrepancy._contrastive_domain_discrepancy import contrastive_domain_discrepancy
from losses.discrepancy._coral import coral
from losses.discrepancy._higher_order_moment_matching import higher_order_moment_matching
from losses.discrepancy._joint_mmd import joint_mmd
from losses.discrepancy._local_mmd import local_mmd
from losses.discrepancy._mmd import mmd
from losses.discrepancy._representation_subspace_distance import representation_subspace_distance

__all__ = [
    "batch_spectral_penalization",
    "central_moment_discrepancy",
    "contrastive_domain_discrepancy",
    "coral",
    "higher_order_moment_matching",
    "joint_mmd",
    "local_mmd",
    "mmd",
    "representation_subspace_distance",
]
