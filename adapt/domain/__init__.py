"""The same task in another domain: methods return terms, to be added to a supervised one."""

from adapt.domain.dan import dan
from adapt.domain.dann import dann
from adapt.domain.deep_coral import deep_coral
from adapt.domain.fishr import fishr
from adapt.domain.group_dro import group_dro
from adapt.domain.irm import irm
from adapt.domain.iwan import iwan
from adapt.domain.m3sda import m3sda
from adapt.domain.mcc import mcc
from adapt.domain.mdan import mdan
from adapt.domain.mixup import mixup
from adapt.domain.osbp import osbp
from adapt.domain.ovanet import ovanet
from adapt.domain.pada import pada
from adapt.domain.pairwise_coral import pairwise_coral
from adapt.domain.vrex import vrex

__all__ = [
    "dan",
    "dann",
    "deep_coral",
    "fishr",
    "group_dro",
    "irm",
    "iwan",
    "m3sda",
    "mcc",
    "mdan",
    "mixup",
    "osbp",
    "ovanet",
    "pada",
    "pairwise_coral",
    "vrex",
]
