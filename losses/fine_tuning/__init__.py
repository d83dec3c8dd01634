"""What a pretrained network should keep."""

from losses.fine_tuning._batch_spectral_shrinkage import batch_spectral_shrinkage
from losses.fine_tuning._co_tuning import calibrate_temperature, co_tuning, learn_relationship
from losses.fine_tuning._delta import delta
from losses.fine_tuning._distillation import distillation
from losses.fine_tuning._feature_distillation import attention_transfer, feature_distillation
from losses.fine_tuning._l2_sp import l2_sp
from losses.fine_tuning._relational_distillation import relational_distillation
from losses.fine_tuning.feature_norm import hard_feature_norm, stepwise_feature_norm

__all__ = [
    "attention_transfer",
    "batch_spectral_shrinkage",
    "calibrate_temperature",
    "co_tuning",
    "delta",
    "distillation",
    "feature_distillation",
    "hard_feature_norm",
    "l2_sp",
    "learn_relationship",
    "relational_distillation",
    "stepwise_feature_norm",
]
