"""The mean intersection over union of classes of pixels, from one table of pairs for all images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from adapt.heads.score import Score, Z


def mean_overlap(tables: Sequence[Tensor], names: Sequence[str], units: Tensor | None = None) -> Score:
    r"""Return the mean over classes of the intersection over union, each from sums over all images: mIoU.

    .. math:: R_c = \frac{\sum_i I_{ic}}{\sum_i U_{ic}}, \qquad R = \frac{1}{|K|} \sum_{c \in K} R_c, \qquad
        R \pm 1.96 \sqrt{\frac{n}{n - 1} \sum_i \Bigl( \frac{1}{|K|} \sum_{c \in K}
        \frac{I_{ic} - R_c U_{ic}}{\sum_j U_{jc}} \Bigr)^2}

    :math:`I_{ic}` counts the pixels of image i with true and predicted class c, :math:`U_{ic}` the pixels with true or
    predicted class c. K holds the classes with a true or a predicted pixel. The other classes are left out of the mean,
    and each is named by a further value "absence of NAME" of 1. The mean of the IoU of single images is another number.
    The interval is the interval of a ratio of sums, :func:`adapt.heads.ratio`, for a mean of ratios; one image has an
    infinite interval.

    Further values: the pixel accuracy, and the IoU of each class in K.

    Args:
        tables: ``(m, 3)`` of each image: true class, predicted class, number of pixels.
        names: of the classes.
        units: ``(n,)``, the unit of each image, such as a sequence; None: each image is a unit.

    Raises:
        ValueError: no pixel has a class; `units` without one entry per image.

    Everingham et al., The Pascal Visual Object Classes Challenge, 2015, https://doi.org/10.1007/s11263-014-0733-5
    """
    if units is not None and len(units) != len(tables):
        raise ValueError(
            f"`units` must have one entry for each of the {len(tables)} images, got {len(units)}: give every image the "
            "number of the unit."
        )
    true, guessed, counts = torch.cat(list(tables)).long().T
    if not len(counts):
        raise ValueError("`labels` are all missing: a score needs at least one pixel with a class.")
    image = torch.arange(len(tables)) if units is None else units.unique(return_inverse=True)[1]
    unit = image.repeat_interleave(torch.tensor([len(table) for table in tables]))
    number, hit, classes = counts.double(), true == guessed, len(names)

    def total(index: Tensor, values: Tensor) -> Tensor:
        return torch.zeros(classes, dtype=torch.float64).index_add(0, index, values)

    inside = total(true[hit], number[hit])
    union = total(true, number) + total(guessed, number) - inside
    there = union > 0
    overlap = torch.where(there, inside / union, 0)
    value = overlap[there].mean().item()
    # a hit adds to intersection and union of its class, a miss to the unions of two classes
    share = torch.where(there, 1 / union, 0)
    part = torch.where(hit, 1 - overlap[true], -overlap[true]) * share[true] - ~hit * overlap[guessed] * share[guessed]
    seen = unit.unique()  # units with a labelled pixel
    moved = torch.zeros(int(unit.max()) + 1, dtype=torch.float64).index_add(0, unit, number * part) / int(there.sum())
    n = len(seen)
    half = Z * (n / (n - 1) * moved.square().sum()).sqrt().item() if n > 1 else float("inf")
    further = {"pixel accuracy": (number[hit].sum() / number.sum()).item()}
    for name, known, found in zip(names, there.tolist(), overlap.tolist(), strict=True):
        further |= {f"IoU of {name}": found} if known else {f"absence of {name}": 1.0}
    return Score("mIoU", value, value - half, value + half, n, further=further)
