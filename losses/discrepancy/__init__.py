"""Distances between two clouds of features: kernels, moments, subspaces."""

from losses.discrepancy.coral import coral
from losses.discrepancy.joint_mmd import joint_mmd
from losses.discrepancy.mmd import mmd

__all__ = ["coral", "joint_mmd", "mmd"]
