"""Another task, with labels: how much of a pretrained encoder to use, and how far to move it."""

from adapt.inductive.bss import bss
from adapt.inductive.co_tuning import co_tuning, relationship
from adapt.inductive.delta import channel_attention, delta
from adapt.inductive.develop import SourceModel, develop
from adapt.inductive.direct import direct
from adapt.inductive.feature_distillation import feature_distillation
from adapt.inductive.l2_sp import l2_sp
from adapt.inductive.ladder import Chosen, ladder
from adapt.inductive.lwf import distillation, lwf
from adapt.inductive.probe import Probe, probe
from adapt.inductive.rates import gradual, layer_decay
from adapt.inductive.strategy import strategy
from adapt.inductive.supervised import supervised
from adapt.inductive.supervised_contrastive import supervised_contrastive
from adapt.inductive.surgical import surgical
from adapt.inductive.transfer import Model, transfer

__all__ = [
    "Chosen",
    "Model",
    "Probe",
    "SourceModel",
    "bss",
    "channel_attention",
    "co_tuning",
    "delta",
    "develop",
    "direct",
    "distillation",
    "feature_distillation",
    "gradual",
    "l2_sp",
    "ladder",
    "layer_decay",
    "lwf",
    "probe",
    "relationship",
    "strategy",
    "supervised",
    "supervised_contrastive",
    "surgical",
    "transfer",
]
