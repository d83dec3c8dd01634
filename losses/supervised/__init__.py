"""Labels, hard, soft, weighted or mixed."""

from losses.supervised._balanced_class_weights import balanced_class_weights
from losses.supervised._binary_focal import binary_focal
from losses.supervised._focal import focal
from losses.supervised._logit_adjusted_cross_entropy import logit_adjusted_cross_entropy
from losses.supervised._mixup import draw_mixup, mixup, mixup_cross_entropy
from losses.supervised._weighted_cross_entropy import weighted_cross_entropy

__all__ = [
    "balanced_class_weights",
    "binary_focal",
    "draw_mixup",
    "focal",
    "logit_adjusted_cross_entropy",
    "mixup",
    "mixup_cross_entropy",
    "weighted_cross_entropy",
]
