"""Masks, forecasts and other outputs with many places a row."""

from losses.dense.dice import dice
from losses.dense.gaussian_likelihood import gaussian_likelihood
from losses.dense.lovasz import lovasz_hinge, lovasz_softmax
from losses.dense.quantile import quantile

__all__ = ["dice", "gaussian_likelihood", "lovasz_hinge", "lovasz_softmax", "quantile"]
