"""The same task in a target without labels: label shift, shift of a stream, and adaptation without the source."""

from adapt.transductive._label_shift import LabelShift, Shares

__all__ = ["LabelShift", "Shares"]
