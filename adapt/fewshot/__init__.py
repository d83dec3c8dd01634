"""One or a few labelled rows of a class: classifiers on the features of any encoder, and which rows to label next."""

from adapt.fewshot import strategies
from adapt.fewshot._alpha_tim import alpha_tim
from adapt.fewshot._bd_cspn import bd_cspn
from adapt.fewshot._centroid import centroid, cl2n
from adapt.fewshot._drawings import aligned_strokes, modified_hausdorff
from adapt.fewshot._episodic import episodic
from adapt.fewshot._evaluate import Evaluation, evaluate
from adapt.fewshot._fit import fit
from adapt.fewshot._label_efficiency import LabelEfficiency, label_efficiency
from adapt.fewshot._label_propagation import label_propagation
from adapt.fewshot._laplacian_shot import laplacian_shot
from adapt.fewshot._lda import lda
from adapt.fewshot._logistic import logistic
from adapt.fewshot._pt_map import pt_map
from adapt.fewshot._query import query
from adapt.fewshot._ridge import ridge
from adapt.fewshot._text_probe import text_probe
from adapt.fewshot._transduce import Answers, transduce
from adapt.fewshot._verify import Verification, similarity, verify
from adapt.fewshot._whitening import Whitening, whitening
from adapt.fewshot.method import Inductive, Rule, Transductive, classes_of
from adapt.fewshot.pool import NoProbabilities, Pool

__all__ = [
    "Answers",
    "Evaluation",
    "Inductive",
    "LabelEfficiency",
    "NoProbabilities",
    "Pool",
    "Rule",
    "Transductive",
    "Verification",
    "Whitening",
    "aligned_strokes",
    "alpha_tim",
    "bd_cspn",
    "centroid",
    "cl2n",
    "classes_of",
    "episodic",
    "evaluate",
    "fit",
    "label_efficiency",
    "label_propagation",
    "laplacian_shot",
    "lda",
    "logistic",
    "modified_hausdorff",
    "pt_map",
    "query",
    "ridge",
    "strategies",
    "text_probe",
    "similarity",
    "transduce",
    "verify",
    "whitening",
]
