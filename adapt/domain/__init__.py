"""The same task in another domain: methods return terms, to be added to a supervised one, or phases."""

from adapt.domain._adabn import adabn
from adapt.domain._adda import adda
from adapt.domain._advent import advent
from adapt.domain._afn import afn
from adapt.domain._atdoc import atdoc
from adapt.domain._bnm import bnm
from adapt.domain._bsp import bsp
from adapt.domain._ccsa import ccsa
from adapt.domain._cdan import cdan
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
    "bsp",
    "ccsa",
    "cdan",
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
