"""No labelled row of a class: names, descriptions and attributes as classifiers, on the features of any encoder."""

from adapt.zeroshot._dap import dap
from adapt.zeroshot._eszsl import eszsl
from adapt.zeroshot._fit import fit
from adapt.zeroshot._fit_signatures import fit_signatures
from adapt.zeroshot._generalised import Generalised, generalised
from adapt.zeroshot._mixture import Mixture, mixture
from adapt.zeroshot._sae import sae
from adapt.zeroshot._vectors import vectors
from adapt.zeroshot.semantic import Semantic

__all__ = [
    "Generalised",
    "Mixture",
    "Semantic",
    "dap",
    "eszsl",
    "fit",
    "fit_signatures",
    "generalised",
    "mixture",
    "sae",
    "vectors",
]
