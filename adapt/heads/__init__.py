"""What is plugged onto features.

A head is any module. One that `adapt.supervised` and `Trainer.evaluate` can use has three methods beside `forward`:
`loss(output, labels)`, `score(output, labels)` and `check(labels)`. One with several labels a row, some of which may be missing, has an attribute
`missing`, their value, and its loss is the mean over those that are there, of all ranks.
"""

from adapt.heads._discriminator import Discriminator
from adapt.heads._multi_label import MultiLabel
from adapt.heads._one_vs_all import OneVsAll
from adapt.heads._regressor import Regressor
from adapt.heads.classifier import Classifier, confusion
from adapt.heads.score import Score, average, proportion, ratio
from adapt.heads.task_layers import Attention, Bottleneck, Experts, Gated, WithTaskLayers
from adapt.heads.token_classifier import TokenClassifier, token_cross_entropy

__all__ = [
    "Attention",
    "Bottleneck",
    "Classifier",
    "Discriminator",
    "Experts",
    "Gated",
    "MultiLabel",
    "OneVsAll",
    "Regressor",
    "Score",
    "TokenClassifier",
    "WithTaskLayers",
    "average",
    "confusion",
    "proportion",
    "ratio",
    "token_cross_entropy",
]
