"""One or a few labelled rows of a class: classifiers on the features of any encoder."""

from adapt.fewshot._centroid import centroid, cl2n
from adapt.fewshot._fit import fit
from adapt.fewshot._lda import lda
from adapt.fewshot._logistic import logistic
from adapt.fewshot._ridge import ridge
from adapt.fewshot._text_probe import text_probe
from adapt.fewshot.method import Inductive, Rule, Transductive, classes_of

__all__ = [
    "Inductive",
    "Rule",
    "Transductive",
    "centroid",
    "cl2n",
    "classes_of",
    "fit",
    "lda",
    "logistic",
    "ridge",
    "text_probe",
]
