"""The same task in another domain: each method returns terms, beside a supervised term, or phases.

All methods have one signature,
``method(first, *, source="source", target="target", name=..., weight=..., level=..., ...)``. The first argument is the
head for methods that use predictions, the encoder (or its feature size) for other methods with parameters, and nothing
for the rest.
"""

from typing import NoReturn

from adapt.domain._adabn import adabn
from adapt.domain._adda import adda
from adapt.domain._advent import advent
from adapt.domain._afn import afn
from adapt.domain._atdoc import atdoc
from adapt.domain._bnm import bnm
from adapt.domain._box_teacher import box_teacher
from adapt.domain._bsp import bsp
from adapt.domain._ccsa import ccsa
from adapt.domain._cdan import cdan
from adapt.domain._class_mix import class_mix
from adapt.domain._class_thresholds import class_thresholds
from adapt.domain._dan import dan
from adapt.domain._dann import dann
from adapt.domain._dd import dd
from adapt.domain._deep_coral import deep_coral
from adapt.domain._deep_jdot import deep_jdot
from adapt.domain._domain_norm import DomainNorm
from adapt.domain._dsan import dsan
from adapt.domain._fishr import fishr
from adapt.domain._fixmatch import fixmatch
from adapt.domain._group_dro import group_dro
from adapt.domain._homm import homm
from adapt.domain._im import im
from adapt.domain._irm import irm
from adapt.domain._iwan import iwan
from adapt.domain._jan import jan
from adapt.domain._m3sda import m3sda
from adapt.domain._masked_consistency import masked_consistency
from adapt.domain._mcc import mcc
from adapt.domain._mcd import mcd
from adapt.domain._mdan import mdan
from adapt.domain._mdd import mdd
from adapt.domain._mean_teacher import mean_teacher
from adapt.domain._mixup import mixup
from adapt.domain._osbp import osbp
from adapt.domain._ovanet import ovanet
from adapt.domain._pada import pada
from adapt.domain._pairwise_coral import pairwise_coral
from adapt.domain._rsd import rsd
from adapt.domain._sliced import sliced
from adapt.domain._swd import swd
from adapt.domain._vada import vada, vat
from adapt.domain._vrex import vrex
from adapt.domain._wdgrl import wdgrl

__all__ = [
    "DomainNorm",
    "adabn",
    "adda",
    "advent",
    "afn",
    "atdoc",
    "bnm",
    "box_teacher",
    "bsp",
    "ccsa",
    "cdan",
    "class_mix",
    "class_thresholds",
    "dan",
    "dann",
    "dd",
    "deep_coral",
    "deep_jdot",
    "dsan",
    "fishr",
    "fixmatch",
    "group_dro",
    "homm",
    "im",
    "irm",
    "iwan",
    "jan",
    "m3sda",
    "masked_consistency",
    "mcc",
    "mcd",
    "mdan",
    "mdd",
    "mean_teacher",
    "mixup",
    "osbp",
    "ovanet",
    "pada",
    "pairwise_coral",
    "rsd",
    "sliced",
    "swd",
    "vada",
    "vat",
    "vrex",
    "wdgrl",
]

# names in other libraries and in papers, and where to find the same here
ELSEWHERE = {
    **dict.fromkeys(
        ("mmd", "mk_mmd", "mkmmd", "ddc"), "`domain.dan` (multi-kernel MMD of features), or the loss `losses.mmd`"
    ),
    **dict.fromkeys(("jmmd", "joint_mmd"), "`domain.jan`, or the loss `losses.joint_mmd`"),
    **dict.fromkeys(("lmmd", "local_mmd"), "`domain.dsan`, or the loss `losses.local_mmd`"),
    **dict.fromkeys(("coral", "deepcoral", "d_coral"), "`domain.deep_coral`, or the loss `losses.coral`"),
    **dict.fromkeys(
        ("entropy", "entropy_minimization", "min_entropy", "minent"),
        "`domain.im` (entropy and diversity), or the loss `losses.entropy` in a term of your own",
    ),
    **dict.fromkeys(("information_maximization", "itl", "shot_im"), "`domain.im`"),
    **dict.fromkeys(("wasserstein", "wdgrl_critic"), "`domain.wdgrl` (a critic) or `domain.sliced` (no critic)"),
    **dict.fromkeys(("swdist", "sliced_wasserstein"), "`domain.sliced`, or the loss `losses.sliced_wasserstein`"),
    **dict.fromkeys(("ot", "optimal_transport", "deepjdot", "jdot"), "`domain.deep_jdot`"),
    **dict.fromkeys(("grl", "revgrad", "domain_adversarial", "gradient_reversal"), "`domain.dann`"),
    **dict.fromkeys(("cdan_e", "cdane", "cdan_ne", "dann_e", "danne"), "`domain.cdan(head, entropy=True)`"),
    **dict.fromkeys(("safn", "adaptive_feature_norm"), "`domain.afn`"),
    **dict.fromkeys(("batch_nuclear_norm", "fbnm"), "`domain.bnm`"),
    **dict.fromkeys(("self_ensembling", "meanteacher", "ema_teacher"), "`domain.mean_teacher`"),
    **dict.fromkeys(
        ("pseudo_label", "pseudo_labels", "self_training", "cbst"),
        "`domain.class_thresholds`, `domain.fixmatch` or `domain.atdoc`",
    ),
    "unbiased_teacher": "`domain.box_teacher`",
    **dict.fromkeys(("classmix", "dacs"), "`domain.class_mix`"),
    **dict.fromkeys(("mic", "masked_image_consistency"), "`domain.masked_consistency`"),
    **dict.fromkeys(("dsbn", "domain_specific_batch_norm"), "`domain.DomainNorm`"),
    **dict.fromkeys(("ada_bn", "adaptive_batch_norm"), "`domain.adabn`"),
    **dict.fromkeys(("moment_matching", "msda"), "`domain.m3sda` (several sources) or `domain.homm` (third moments)"),
    **dict.fromkeys(("dro", "groupdro"), "`domain.group_dro`"),
    **dict.fromkeys(("rex", "v_rex"), "`domain.vrex`"),
    **dict.fromkeys(("irmv1", "invariant_risk_minimization"), "`domain.irm`"),
    "virtual_adversarial": "`domain.vat`, or the loss `losses.virtual_adversarial`",
    "erm": "`adapt.supervised` on each source",
}


def __getattr__(name: str) -> NoReturn:
    there = f": take {ELSEWHERE[name]}." if name in ELSEWHERE else "."
    raise AttributeError(f"module `adapt.domain` has no `{name}`{there}")
