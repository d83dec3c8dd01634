"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition is computed from `frozen`, a copy of the arguments.
"""

import math

import numpy as np

from tests.losses.arithmetic import softmax


def images_of(z, y, w, over):
    """Groups of places that are summed together: lists of (logits, label, weight)."""
    images = []
    for i in range(len(z)):
        image = []
        for at in np.ndindex(y.shape[1:]):
            image.append((z[(i, slice(None), *at)], y[(i, *at)], 1.0 if w is None else w[(i, *at)]))
        images.append(image)
    return images if over == "image" else [[place for image in images for place in image]]


def taken(places, classes, number):
    if classes == "all":
        return range(number)
    if classes == "present":
        return sorted({int(label) for _, label, weight in places if weight > 0})
    return classes


def dice(z, y, w=None, *, squared=True, smooth=0.0, classes="present", over="batch", frozen=None):
    values = []
    for image in images_of(z, y, w, over):
        each = []
        for c in taken(image, classes, z.shape[1]):
            above, below = smooth, smooth
            for row, label, weight in image:
                p, g = softmax(row)[c], float(label == c)
                above += 2 * weight * p * g
                below += weight * (p**2 + g**2 if squared else p + g)
            each.append(1 - above / below)
        values.append(sum(each) / len(each))
    return sum(values) / len(values)


def jaccard_loss(wrong, truth, sizes):
    """Size of the wrong places over the size of those that are wrong or true; places are numbers."""
    union = sum(sizes[i] for i in truth | wrong)
    return sum(sizes[i] for i in wrong) / union if wrong else 0.0


def extension(errors, truth, sizes):
    """Sum over the levels of the errors: the integral over t of the loss of the places with an error above t."""
    levels = sorted({0.0, *errors})
    total = 0.0
    for low, high in zip(levels[:-1], levels[1:], strict=True):
        above = {i for i, e in enumerate(errors) if e >= high}
        total += (high - low) * jaccard_loss(above, truth, sizes)
    return total


def lovasz_softmax(z, y, w=None, *, classes="present", over="batch", frozen=None):
    values = []
    for image in images_of(z, y, w, over):
        each = []
        for c in taken(image, classes, z.shape[1]):
            p = [softmax(row)[c] for row, _, _ in image]
            truth = {i for i, (_, label, _) in enumerate(image) if label == c}
            errors = [1 - v if i in truth else v for i, v in enumerate(p)]
            each.append(extension(errors, truth, [weight for _, _, weight in image]))
        values.append(sum(each) / len(each))
    return sum(values) / len(values)


def lovasz_hinge(z, y, w=None, *, over="batch", frozen=None):
    values = []
    for image in images_of(z[:, None], y, w, over):
        truth = {i for i, (_, label, _) in enumerate(image) if label == 1}
        errors = [max(0.0, 1 - (row[0] if label == 1 else -row[0])) for row, label, _ in image]
        values.append(extension(errors, truth, [weight for _, _, weight in image]))
    return sum(values) / len(values)


def quantile(predictions, y, w=None, *, quantiles, frozen=None):
    above = below = 0.0
    for at in np.ndindex(y.shape):
        weight = 1.0 if w is None else w[at]
        for k, q in enumerate(quantiles):
            miss = y[at] - predictions[(*at, k)]
            above += weight * (q * miss if miss >= 0 else (1 - q) * -miss)
            below += weight
    return above / below


def gaussian_likelihood(means, s, y, w=None, *, beta=0.0, frozen=None):
    above = below = 0.0
    for at in np.ndindex(y.shape):
        weight = 1.0 if w is None else w[at]
        sigma = math.sqrt(math.exp(s[at]))
        density = math.exp(-(((y[at] - means[at]) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
        held = math.exp((frozen[1] if frozen else s)[at])
        above -= weight * held**beta * math.log(density)
        below += weight
    return above / below
