"""What is plugged onto features.

A head is any module. One that `inductive.supervised` and `Trainer.evaluate` can use has three methods beside `forward`:
`loss(output, labels)`, `score(output, labels)` and `check(labels)`.
"""

from adapt.heads.classifier import Classifier, confusion
from adapt.heads.discriminator import Discriminator
from adapt.heads.multi_label import MultiLabel
from adapt.heads.one_vs_all import OneVsAll
from adapt.heads.regressor import Regressor
from adapt.heads.score import Score, average, proportion

__all__ = [
    "Classifier",
    "Discriminator",
    "MultiLabel",
    "OneVsAll",
    "Regressor",
    "Score",
    "average",
    "confusion",
    "proportion",
]
