"""Which rows to label next: each strategy is a function from a :class:`adapt.fewshot.Pool` to row numbers."""

from adapt.fewshot.strategies._badge import badge
from adapt.fewshot.strategies._clue import clue
from adapt.fewshot.strategies._k_centre import k_centre
from adapt.fewshot.strategies._max_herding import max_herding
from adapt.fewshot.strategies._random import random
from adapt.fewshot.strategies._typiclust import typiclust
from adapt.fewshot.strategies._uncertainty import entropy, least_confident, margin

__all__ = [
    "badge",
    "clue",
    "entropy",
    "k_centre",
    "least_confident",
    "margin",
    "max_herding",
    "random",
    "typiclust",
]
