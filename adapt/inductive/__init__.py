"""Another task, with labels: how much of a pretrained encoder to use, and how far to move the encoder."""

from adapt.inductive._bss import bss
from adapt.inductive._co_tuning import co_tuning, relationship
from adapt.inductive._delta import channel_attention, delta
from adapt.inductive._develop import Developed, develop
from adapt.inductive._direct import direct
from adapt.inductive._feature_distillation import feature_distillation
from adapt.inductive._interpolated_fine_tuning import Interpolated, interpolated_fine_tuning
from adapt.inductive._l2_sp import l2_sp
from adapt.inductive._lwf import distillation, lwf
from adapt.inductive._probe import Probe, probe
from adapt.inductive._strategy import strategy
from adapt.inductive._supervised_contrastive import supervised_contrastive
from adapt.inductive._surgical import surgical
from adapt.inductive._transfer import transfer
from adapt.inductive.rates import gradual, layer_decay

__all__ = [
    "Developed",
    "Interpolated",
    "Probe",
    "bss",
    "channel_attention",
    "co_tuning",
    "delta",
    "develop",
    "direct",
    "distillation",
    "feature_distillation",
    "gradual",
    "interpolated_fine_tuning",
    "l2_sp",
    "layer_decay",
    "lwf",
    "probe",
    "relationship",
    "strategy",
    "supervised_contrastive",
    "surgical",
    "transfer",
]
