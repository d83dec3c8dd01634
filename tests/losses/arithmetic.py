"""Arithmetic that several references share: plain Python on lists of numbers."""

import math


def softmax(z):
    shifted = [math.exp(v - max(z)) for v in z]
    return [v / sum(shifted) for v in shifted]


def shannon(p):
    return -sum(v * math.log(v) for v in p if v > 0)
