"""Distances between two clouds of features: kernels, moments, subspaces."""

from losses.discrepancy.batch_spectral_penalization import batch_spectral_penalization
from losses.discrepancy.central_moment_discrepancy import central_moment_discrepancy
from losses.discrepancy.contrastive_domain_discrepancy import contrastive_domain_discrepancy
from losses.discrepancy.coral import coral
from losses.discrepancy.higher_order_moment_matching import higher_order_moment_matching
from losses.discrepancy.joint_mmd import joint_mmd
from losses.discrepancy.local_mmd import local_mmd
from losses.discrepancy.mmd import mmd
from losses.discrepancy.representation_subspace_distance import representation_subspace_distance

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
