"""Choosing without target labels: validators, a collapse detector, and a choice that prefers no adaptation to harm."""

from adapt.select._candidate import Candidate
from adapt.select._choose import Choice, choose
from adapt.select._class_ami import class_ami
from adapt.select._collapse import collapse, effective_classes
from adapt.select._neighbourhood import soft_neighbourhood_density
from adapt.select._rank_me import lidar, rank_me
from adapt.select._reverse_validation import reverse_validation
from adapt.select._source_accuracy import source_accuracy
from adapt.select.agreement import ensemble_agreement, seed_agreement, weighted_vote
from adapt.select.confidence import batch_nuclear_norm, diversity, entropy, information_maximization
from adapt.select.density_ratio import dev, effective_rows, importance_weighted, importance_weights
from adapt.select.numbers import label_distance, reverse_regression

__all__ = [
    "Candidate",
    "Choice",
    "batch_nuclear_norm",
    "choose",
    "class_ami",
    "collapse",
    "dev",
    "diversity",
    "effective_classes",
    "effective_rows",
    "ensemble_agreement",
    "entropy",
    "importance_weighted",
    "importance_weights",
    "information_maximization",
    "label_distance",
    "lidar",
    "rank_me",
    "reverse_regression",
    "reverse_validation",
    "seed_agreement",
    "soft_neighbourhood_density",
    "source_accuracy",
    "weighted_vote",
]
