"""The same task in a target without labels: label shift, shift of a stream, and adaptation without the source.

Terms of this room take ``method(head, *, encoder, dataset, target="target", name=..., weight=..., ...)`` and train on
unlabelled target rows alone.
"""

from adapt.transductive._aad import aad
from adapt.transductive._cbst import cbst, confident_labels
from adapt.transductive._label_propagation import label_propagation
from adapt.transductive._label_shift import LabelShift, Shares
from adapt.transductive._nrc import nrc
from adapt.transductive._self_training import SelfTrained, self_training
from adapt.transductive._shot import centroid_labels, shot, shot_im
from adapt.transductive._source_free import source_free
from adapt.transductive.signs import harm

__all__ = [
    "LabelShift",
    "SelfTrained",
    "Shares",
    "aad",
    "cbst",
    "centroid_labels",
    "confident_labels",
    "harm",
    "label_propagation",
    "nrc",
    "self_training",
    "shot",
    "shot_im",
    "source_free",
]
