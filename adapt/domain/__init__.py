"""The same task in another domain: methods return terms, to be added to a supervised one, or phases."""

from adapt.domain import bridge as bridge
from adapt.domain import classical as classical
from adapt.domain.adabn import adabn
from adapt.domain.adda import adda
from adapt.domain.advent import advent
from adapt.domain.afn import afn
from adapt.domain.atdoc import atdoc
from adapt.domain.bnm import bnm
from adapt.domain.bsp import bsp
from adapt.domain.ccsa import ccsa
from adapt.domain.cdan import cdan
from adapt.domain.dan import dan
from adapt.domain.dann import dann
from adapt.domain.dd import dd
from adapt.domain.deep_coral import deep_coral
from adapt.domain.deep_jdot import deep_jdot
from adapt.domain.domain_norm import DomainNorm
from adapt.domain.dsan import dsan
from adapt.domain.fixmatch import fixmatch
from adapt.domain.homm import homm
from adapt.domain.im import im
from adapt.domain.jan import jan
from adapt.domain.mcc import mcc
from adapt.domain.mcd import mcd
from adapt.domain.mdd import mdd
from adapt.domain.mean_teacher import mean_teacher
from adapt.domain.rsd import rsd
from adapt.domain.sliced import sliced
from adapt.domain.swd import swd
from adapt.domain.vada import vada, vat
from adapt.domain.wdgrl import wdgrl

__all__ = [
    "DomainNorm",
    "adabn",
    "adda",
    "advent",
    "afn",
    "atdoc",
    "bnm",
    "bsp",
    "ccsa",
    "cdan",
    "dan",
    "dann",
    "dd",
    "deep_coral",
    "deep_jdot",
    "dsan",
    "fixmatch",
    "homm",
    "im",
    "jan",
    "mcc",
    "mcd",
    "mdd",
    "mean_teacher",
    "rsd",
    "sliced",
    "swd",
    "vada",
    "vat",
    "wdgrl",
]
