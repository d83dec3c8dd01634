"""What predictions on unlabelled rows should look like."""

from losses.confidence.batch_frobenius_norm import batch_frobenius_norm
from losses.confidence.batch_nuclear_norm import batch_nuclear_norm
from losses.confidence.consistency import consistency
from losses.confidence.diversity import diversity
from losses.confidence.entropy import entropy
from losses.confidence.fast_batch_nuclear_norm import fast_batch_nuclear_norm
from losses.confidence.fixmatch import fixmatch
from losses.confidence.flexmatch import FlexMatch
from losses.confidence.information_maximization import information_maximization
from losses.confidence.minimum_class_confusion import minimum_class_confusion
from losses.confidence.neighbourhood_aggregation import NeighbourhoodBank, neighbourhood_aggregation
from losses.confidence.pseudo_label import pseudo_label
from losses.confidence.virtual_adversarial import virtual_adversarial

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
