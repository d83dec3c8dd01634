"""The same task in a target without labels: label shift, shift of a stream, and adaptation without the source.

Terms of this room take ``method(head, *, encoder, dataset, target="target", name=..., weight=..., ...)`` and train on
unlabelled target rows alone.
"""

from adapt.transductive._aad import aad
from adapt.transductive._adabn import adabn
from adapt.transductive._cbst import cbst, confident_labels
from adapt.transductive._clock import Clock
from adapt.transductive._drift import Alarm, Drift
from adapt.transductive._eata import eata
from adapt.transductive._guard import Guard
from adapt.transductive._label_propagation import label_propagation
from adapt.transductive._label_shift import LabelShift, Shares
from adapt.transductive._lame import lame
from adapt.transductive._nrc import nrc
from adapt.transductive._online import Online
from adapt.transductive._rdumb import rdumb
from adapt.transductive._roid import roid
from adapt.transductive._sar import sar
from adapt.transductive._self_training import SelfTrained, self_training
from adapt.transductive._shot import centroid_labels, shot, shot_im
from adapt.transductive._source_free import source_free
from adapt.transductive._stream_classifier import StreamClassifier
from adapt.transductive._t3a import t3a
from adapt.transductive._tent import tent
from adapt.transductive._which_shift import Shift, which_shift
from adapt.transductive.arrivals import ARRIVALS, Arrival, arrivals
from adapt.transductive.method import OnlineMethod
from adapt.transductive.signs import harm

__all__ = [
    "ARRIVALS",
    "Alarm",
    "Arrival",
    "Clock",
    "Drift",
    "Guard",
    "LabelShift",
    "Online",
    "OnlineMethod",
    "SelfTrained",
    "Shares",
    "Shift",
    "StreamClassifier",
    "aad",
    "adabn",
    "arrivals",
    "cbst",
    "centroid_labels",
    "confident_labels",
    "eata",
    "harm",
    "label_propagation",
    "lame",
    "nrc",
    "rdumb",
    "roid",
    "sar",
    "self_training",
    "shot",
    "shot_im",
    "source_free",
    "t3a",
    "tent",
    "which_shift",
]
