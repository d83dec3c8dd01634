"""Several tasks, one encoder: terms of tasks, and balancers of the tasks at the encoder."""

from adapt.multitask._aligned_mtl import aligned_mtl
from adapt.multitask._auxiliary import auxiliary
from adapt.multitask._cagrad import cagrad
from adapt.multitask._columns import columns
from adapt.multitask._conflict_free import conflict_free
from adapt.multitask._dwa import dwa
from adapt.multitask._equal import equal
from adapt.multitask._famo import famo
from adapt.multitask._from_gramian import FromGramian
from adapt.multitask._imtl_g import imtl_g
from adapt.multitask._mgda import mgda
from adapt.multitask._nash_mtl import fairgrad, nash_mtl
from adapt.multitask._pcgrad import pcgrad
from adapt.multitask._rlw import rlw
from adapt.multitask._stch import stch
from adapt.multitask._task import rows_with_label, task
from adapt.multitask._uncertainty import uncertainty
from adapt.multitask._upgrad import dualproj, upgrad
from adapt.multitask._uw_so import uw_so
from adapt.multitask.log_sum import gls, imtl_l

__all__ = [
    "FromGramian",
    "aligned_mtl",
    "auxiliary",
    "cagrad",
    "columns",
    "conflict_free",
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
    "pcgrad",
    "rlw",
    "rows_with_label",
    "stch",
    "task",
    "uncertainty",
    "upgrad",
    "uw_so",
]
