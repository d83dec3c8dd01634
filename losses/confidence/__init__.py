"""What predictions on unlabelled rows should look like."""

from losses.confidence._batch_frobenius_norm import batch_frobenius_norm
from losses.confidence._batch_nuclear_norm import batch_nuclear_norm
from losses.confidence._consistency import consistency
from losses.confidence._diversity import diversity
from losses.confidence._entropy import entropy
from losses.confidence._fast_batch_nuclear_norm import fast_batch_nuclear_norm
from losses.confidence._fixmatch import fixmatch
from losses.confidence._flexmatch import FlexMatch
from losses.confidence._information_maximization import information_maximization
from losses.confidence._minimum_class_confusion import minimum_class_confusion
from losses.confidence._neighbourhood_aggregation import NeighbourhoodBank, neighbourhood_aggregation
from losses.confidence._pseudo_label import pseudo_label
from losses.confidence._virtual_adversarial import virtual_adversarial

__all__ = [
    "FlexMatch",
    "NeighbourhoodBank",
    "batch_frobenius_norm",
    "batch_nuclear_norm",
    "consistency",
    "diversity",
    "entropy",
    "fast_batch_nuclear_norm",
    "fixmatch",
    "information_maximization",
    "minimum_class_confusion",
    "neighbourhood_aggregation",
    "pseudo_label",
    "virtual_adversarial",
]
