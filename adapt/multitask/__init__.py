"""Several tasks, one encoder: how they are balanced, and what they share beyond it."""

from adapt.multitask.aligned_mtl import aligned_mtl
from adapt.multitask.auxiliary import auxiliary
from adapt.multitask.cagrad import cagrad
from adapt.multitask.columns import columns
from adapt.multitask.config import config
from adapt.multitask.dwa import dwa
from adapt.multitask.equal import equal
from adapt.multitask.famo import famo
from adapt.multitask.from_torchjd import torchjd
from adapt.multitask.gramian import FromGramian
from adapt.multitask.imtl_g import imtl_g
from adapt.multitask.log_sum import gls, imtl_l
from adapt.multitask.mgda import mgda
from adapt.multitask.nash_mtl import fairgrad, nash_mtl
from adapt.multitask.pcgrad import pcgrad
from adapt.multitask.protocol import Balance
from adapt.multitask.rlw import rlw
from adapt.multitask.stch import stch
from adapt.multitask.task import only, task
from adapt.multitask.through import Attention, Bottleneck, Experts, Gated, Through
from adapt.multitask.uncertainty import uncertainty
from adapt.multitask.upgrad import dualproj, upgrad
from adapt.multitask.uw_so import uw_so

__all__ = [
    "Attention",
    "Balance",
    "Bottleneck",
    "Experts",
    "FromGramian",
    "Gated",
    "Through",
    "aligned_mtl",
    "auxiliary",
    "cagrad",
    "columns",
    "config",
    "dualproj",
    "dwa",
    "equal",
    "fairgrad",
    "famo",
    "gls",
    "imtl_g",
    "imtl_l",
    "mgda",
    "nash_mtl",
    "only",
    "pcgrad",
    "rlw",
    "stch",
    "task",
    "torchjd",
    "uncertainty",
    "upgrad",
    "uw_so",
]
