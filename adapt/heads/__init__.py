"""Heads: modules that map the encoder's features to the outputs of a task.

A head that :func:`adapt.supervised` and ``Trainer.evaluate`` take has four methods beside `forward`: ``loss(output,
labels)``, ``measure(output, labels)``, ``score(measures)`` and ``check(labels)``. An evaluation keeps the measures, one
entry per row, and never the outputs of all rows. :func:`wrap` makes a head of any module.

A class of -1 and a number of NaN are missing: they count neither in the loss nor in the score, and the loss is the mean
over the labels of all ranks that are there. A head of your own does the same where it has ``present(labels)``, booleans
of the shape of the labels."""

from adapt.heads._bleu import bleu, bleu_signature
from adapt.heads._boxes import Boxes
from adapt.heads._centred import Centred
from adapt.heads._chrf import chrf
from adapt.heads._copy_rows import copy_rows
from adapt.heads._dense import Dense
from adapt.heads._detector import Detector
from adapt.heads._discriminator import Discriminator
from adapt.heads._multi_label import MultiLabel
from adapt.heads._one_vs_all import OneVsAll
from adapt.heads._ordinal import Ordinal
from adapt.heads._regressor import Regressor
from adapt.heads._sequence import Sequence
from adapt.heads._span_f1 import Spans, SpanScores, span_f1
from adapt.heads._wrap import wrap
from adapt.heads.classifier import Classifier, class_cross_entropy, confusion
from adapt.heads.score import Score, average, proportion, ratio
from adapt.heads.task_layers import Attention, Bottleneck, Experts, Gated, WithTaskLayers
from adapt.heads.token_classifier import TokenClassifier

__all__ = [
    "Attention",
    "Bottleneck",
    "Boxes",
    "Centred",
    "Classifier",
    "Dense",
    "Detector",
    "Discriminator",
    "Experts",
    "Gated",
    "MultiLabel",
    "OneVsAll",
    "Ordinal",
    "Regressor",
    "Score",
    "Sequence",
    "SpanScores",
    "Spans",
    "TokenClassifier",
    "WithTaskLayers",
    "average",
    "bleu",
    "bleu_signature",
    "chrf",
    "class_cross_entropy",
    "confusion",
    "copy_rows",
    "proportion",
    "ratio",
    "span_f1",
    "wrap",
]
