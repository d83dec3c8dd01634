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
from adapt.domain.fishr import fishr
from adapt.domain.fixmatch import fixmatch
from adapt.domain.group_dro import group_dro
from adapt.domain.homm import homm
from adapt.domain.im import im
from adapt.domain.irm import irm
from adapt.domain.iwan import iwan
from adapt.domain.jan import jan
from adapt.domain.m3sda import m3sda
from adapt.domain.mcc import mcc
from adapt.domain.mcd import mcd
from adapt.domain.mdan import mdan
from adapt.domain.mdd import mdd
from adapt.domain.mean_teacher import mean_teacher
from adapt.domain.mixup import mixup
from adapt.domain.osbp import osbp
from adapt.domain.ovanet import ovanet
from adapt.domain.pada import pada
from adapt.domain.pairwise_coral import pairwise_coral
from adapt.domain.rsd import rsd
from adapt.domain.sliced import sliced
from adapt.domain.swd import swd
from adapt.domain.vada import vada, vat
from adapt.domain.vrex import vrex
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
