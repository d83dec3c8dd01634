"""The average precision of boxes as COCO defines it, from the matches of each image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.heads.score import Score, Z

THRESHOLDS = numpy.linspace(0.5, 0.95, 10)
RECALLS = numpy.linspace(0, 1, 101)
GROUPS = 50  # of units that are left out in turn, at most


def overlaps(one: numpy.ndarray, other: numpy.ndarray, *, regions: bool = False) -> numpy.ndarray:
    """Return ``(n, m)``, intersection over union of boxes; for regions intersection over the area of `one`."""
    low, high = numpy.maximum(one[:, None, :2], other[:, :2]), numpy.minimum(one[:, None, 2:], other[:, 2:])
    inside = (high - low).clip(0).prod(-1)
    first, second = ((b[:, 2:] - b[:, :2]).prod(-1) for b in (one, other))
    whole = first[:, None] if regions else first[:, None] + second - inside
    return numpy.divide(inside, whole, out=numpy.zeros_like(inside), where=whole > 0)


def matches(found: Mapping[str, Tensor], boxes: Tensor, classes: Tensor, *, kinds: int) -> dict[str, Any]:
    """Return the measures of an image: which found boxes are right, at each of ten thresholds of the overlap.

    The found boxes of a class come in the order of their scores. Each takes the free box of the class with the largest
    overlap, where the overlap reaches the threshold. A found box without a match does not count where it lies in a
    region of unknown content: where the intersection divided by its own area reaches the threshold.

    Args:
        found: ``boxes`` ``(d, 4)``, ``scores`` ``(d,)`` and ``classes`` ``(d,)``.
        boxes, classes: the objects of the image, ``(k, 4)`` and ``(k,)``; class -1 is a region of unknown content.
        kinds: the number of classes.

    Returns:
        ``scores`` and ``classes`` ``(d,)``, ``hits`` and ``ignored`` ``(d, 10)``, ``counts`` ``(kinds,)``.
    """
    every, guess = (x.detach().cpu().double().numpy() for x in (boxes, found["boxes"]))
    true, kind = (x.detach().cpu().numpy() for x in (classes, found["classes"]))
    scores = found["scores"].detach().cpu()
    hits, ignored = (numpy.zeros((len(guess), len(THRESHOLDS)), bool) for _ in range(2))
    inside = overlaps(guess, every[true < 0], regions=True).max(1, initial=0)[:, None] >= THRESHOLDS
    for k in numpy.unique(kind):
        mine, objects = numpy.flatnonzero(kind == k), every[true == k]
        mine = mine[numpy.argsort(-scores.numpy()[mine], kind="stable")]
        overlap = overlaps(guess[mine], objects)
        taken = numpy.zeros((len(THRESHOLDS), len(objects)), bool)
        for row, d in zip(overlap, mine, strict=True):
            free = numpy.where(~taken & (row >= THRESHOLDS[:, None]), row, -1.0)
            # of equal overlaps the last, as in COCO
            best = len(objects) - 1 - free[:, ::-1].argmax(1) if len(objects) else numpy.zeros(len(THRESHOLDS), int)
            hits[d] = free[numpy.arange(len(THRESHOLDS)), best] >= 0 if len(objects) else False
            taken[hits[d], best[hits[d]]] = True
        ignored[mine] = inside[mine] & ~hits[mine]
    counts = torch.from_numpy(numpy.bincount(true[true >= 0], minlength=kinds))
    return {
        "scores": scores, "classes": torch.from_numpy(kind), "hits": torch.from_numpy(hits),
        "ignored": torch.from_numpy(ignored), "counts": counts,
    }  # fmt: skip


def precision_areas(measures: Sequence[Mapping[str, Tensor]], weights: numpy.ndarray) -> numpy.ndarray:
    r"""Return ``(B, classes, 10)``, the average precision of each class at each threshold, for B weightings of images.

    .. math:: \mathrm{AP} = \frac{1}{101} \sum_{r \in \{0, 0.01, \dots, 1\}} \max_{r' \ge r} \mathrm{precision}(r')

    NaN where no image with weight has a box of the class.

    Args:
        measures: of all images.
        weights: ``(B, images)``.
    """
    counts = numpy.stack([m["counts"].numpy() for m in measures]).astype(float)
    image = numpy.repeat(numpy.arange(len(measures)), [len(m["scores"]) for m in measures])
    scores, kind, hits, ignored = (
        torch.cat([m[name] for m in measures]).numpy() for name in ("scores", "classes", "hits", "ignored")
    )
    found = numpy.full((len(weights), counts.shape[1], len(THRESHOLDS)), numpy.nan)
    for k in range(counts.shape[1]):
        mine = numpy.flatnonzero(kind == k)
        mine = mine[numpy.argsort(-scores[mine], kind="stable")]
        w, objects = weights[:, image[mine]], weights @ counts[:, k]
        for t in range(len(THRESHOLDS)):
            counted = ~ignored[mine, t]
            right = (w * (hits[mine, t] & counted)).cumsum(1)
            wrong = (w * (~hits[mine, t] & counted)).cumsum(1)
            # an end with precision 0 stands for recalls that are never reached
            ratio = numpy.divide(right, right + wrong, out=numpy.zeros_like(right), where=right + wrong > 0)
            ratio = numpy.pad(numpy.maximum.accumulate(ratio[:, ::-1], 1)[:, ::-1], ((0, 0), (0, 1)))
            for b in numpy.flatnonzero(objects):
                found[b, k, t] = ratio[b, numpy.searchsorted(right[b] / objects[b], RECALLS)].mean()
    return found


def average_precision(
    measures: Sequence[Mapping[str, Tensor]], names: Sequence[str], units: Tensor | None = None
) -> Score:
    r"""Return the mAP50:95 of COCO: the mean over classes and over ten thresholds of the average precision.

    The interval is a jackknife over images: :math:`\theta \pm 1.96 \sqrt{\frac{G - 1}{G} \sum_g (\theta_g -
    \bar\theta)^2}` with :math:`\theta_g` the value without group g. The units are dealt in turn to G groups, at most
    50. One unit has an infinite interval.

    Further values: mAP50 and mAP75, and for each class "AP of NAME" (the mean over thresholds) and "AP50 of NAME". A
    class without a box in the labels is left out of the means, and named by "absence of NAME" of 1.

    Args:
        measures: of :func:`matches`, for each image.
        names: of the classes.
        units: ``(n,)``, the unit of each image, such as a patient; None: each image is a unit.

    Raises:
        ValueError: no image has a box; `units` without one entry per image.

    Lin et al., Microsoft COCO, 2014, https://arxiv.org/abs/1405.0312
    Efron and Stein, The Jackknife Estimate of Variance, 1981, https://doi.org/10.1214/aos/1176345462
    """
    if units is not None and len(units) != len(measures):
        raise ValueError(
            f"`units` must have one entry for each of the {len(measures)} images, got {len(units)}: give every image "
            "the number of the unit."
        )
    if not any(int(m["counts"].sum()) for m in measures):
        raise ValueError("`labels` hold no box: a score needs at least one image with a box.")
    unit = numpy.arange(len(measures)) if units is None else units.unique(return_inverse=True)[1].numpy()
    n = int(unit.max()) + 1
    groups = min(n, GROUPS)
    left_out = unit % groups == numpy.arange(groups)[:, None]
    everything = numpy.ones((1, len(measures)))
    weights = numpy.concatenate([everything, ~left_out]) if n > 1 else everything
    areas = precision_areas(measures, weights)
    there = ~numpy.isnan(areas[0, :, 0])
    kept = numpy.ma.masked_invalid(areas.mean(2)).mean(1)  # over the classes that are left
    value = float(areas[0, there].mean())
    spread = (groups - 1) / groups * numpy.square(kept[1:] - kept[1:].mean()).sum()
    half = Z * float(numpy.sqrt(spread)) if n > 1 and not numpy.ma.is_masked(kept) else float("inf")
    further = {"mAP50": float(areas[0, there, 0].mean()), "mAP75": float(areas[0, there, 5].mean())}
    for name, known, area in zip(names, there, areas[0], strict=True):
        further |= (
            {f"AP of {name}": float(area.mean()), f"AP50 of {name}": float(area[0])}
            if known
            else {f"absence of {name}": 1.0}
        )
    return Score("mAP50:95", value, value - half, value + half, n, further=further)
