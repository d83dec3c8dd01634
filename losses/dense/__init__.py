"""Masks and other outputs with many places per row."""

from losses.dense._dice import dice
from losses.dense.lovasz import lovasz_hinge, lovasz_softmax

__all__ = ["dice", "lovasz_hinge", "lovasz_softmax"]
