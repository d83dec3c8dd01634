"""What is plugged onto features.

A head is any module. One that `inductive.supervised` and `Trainer.evaluate` can use has three methods beside `forward`:
`loss(output, labels)`, `score(output, labels)` and `check(labels)`. One with several labels a row, some of which may be missing, has an attribute
`missing`, their value, and its loss is the mean over those that are there, of all ranks.
"""

from adapt.heads.classifier import Classifier, confusion
from adapt.heads.discriminator import Discriminator
from adapt.heads.multi_label import MultiLabel
from adapt.heads.one_vs_all import OneVsAll
from adapt.heads.regressor import Regressor
from adapt.heads.score import Score, average, proportion, ratio
from adapt.heads.token_classifier import TokenClassifier, token_cross_entropy

__all__ = [
    "Classifier",
    "Discriminator",
    "MultiLabel",
    "OneVsAll",
    "Regressor",
    "Score",
    "TokenClassifier",
    "average",
    "confusion",
    "proportion",
    "ratio",
    "token_cross_entropy",
]
