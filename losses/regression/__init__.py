"""Regression with a spread: quantiles and a Gaussian likelihood."""

from losses.regression._gaussian_likelihood import gaussian_likelihood
from losses.regression._quantile import quantile

__all__ = ["gaussian_likelihood", "quantile"]
