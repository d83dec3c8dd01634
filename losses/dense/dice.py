"""Soft Dice loss for masks."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_labels, counted, one_hot
from losses.gather import gather
from losses.reduce import mean

Classes = Literal["present", "all"] | Sequence[int]
Over = Literal["batch", "image"]


def dice(
    logits: Tensor,
    labels: Tensor,
    *,
    squared: bool = True,
    smooth: float = 0.0,
    classes: Classes = "present",
    over: Over = "batch",
    weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""One minus the overlap of predicted and true mask, averaged over classes.

    .. math::
        \frac{1}{|K|} \sum_{c \in K} \Bigl( 1 - \frac{2 \sum_i w_i\, p_{ic}\, g_{ic} + s}
        {\sum_i w_i\, p_{ic}^2 + \sum_i w_i\, g_{ic}^2 + s} \Bigr), \qquad p_i = \mathrm{softmax}(z_i)

    with :math:`g` the one-hot labels and i running over places.

    Args:
        logits: ``(n, classes, ...)``; ``(n, classes)`` is one place a row.
        labels: ``(n, ...)`` class indices.
        squared: the paper's denominator, above. ``False`` leaves out the squares, as several toolkits do.
        smooth: :math:`s \ge 0`, in places; none in the paper.
        classes: the set K. ``"present"`` takes the classes that the labels hold, ``"all"`` takes all, a list of
            class numbers those (``[1]`` is the paper's foreground). A class taken without a place of its own costs
            :math:`1 - s / (\sum_i w_i p_{ic}^2 + s)`, that is 1 without smoothing and then without gradient.
        over: ``"batch"`` sums over all places of all images. ``"image"`` gives each image its own value and takes the
            mean over the images in which something counts.
        weights: ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything.
        global_batch: sum over the images of all ranks, for ``over="batch"``. Sums are gathered, not places. (The mean
            over images is that of all ranks in any case.)

    Returns:
        A scalar in [0, 1]; 0 where nothing counts. Over the batch: sees the global batch; gradient accumulation does not
        enlarge that batch. Over images: per rank, a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; an option that does not exist; negative smoothing.

    Logits must be finite. Two logits ``[0, z]`` are the binary mask with the sigmoid of z.

    Related: :func:`losses.lovasz_softmax` for the Jaccard index.

    Milletari et al., V-Net, 2016, section 3, https://arxiv.org/abs/1606.04797

    >>> z = torch.tensor([[[9.0, -9.0, 9.0]], [[-9.0, 9.0, -9.0]]]).transpose(0, 1).squeeze(2)
    >>> dice(z, torch.tensor([[0, 1, 1]]))                                         # overlaps 2/3 and 2/3
    tensor(0.3333)
    """
    check_mask(logits, labels, classes, over)
    if not smooth >= 0:
        raise ValueError(f"`smooth` must not be negative, got {smooth}.")
    z, y, w = places(logits, counted(labels, weights), weights)
    p, w = z.softmax(1), w[:, None]
    g = one_hot(y, p.shape[1], like=p).movedim(-1, 1)
    power = 2 if squared else 1
    both, size, truth = (w * p * g).sum(2), (w * (p**power + g)).sum(2), (w * g).sum(2)  # g^2 = g
    if over == "batch":
        sums = torch.stack([both, size, truth]).sum(1)[None]
        both, size, truth = (gather(sums) if global_batch else sums).sum(0)[:, None]
    lower = size + smooth
    overlap = torch.where(lower == 0, 1, (2 * both + smooth) / torch.where(lower == 0, 1, lower))
    values = mean_over_classes(1 - overlap, truth, classes)
    if over == "batch":
        return values.squeeze(0)
    return mean(values, anything_counts(w, weights))


def check_mask(logits: Tensor, labels: Tensor, classes: Classes, over: Over) -> None:
    """Raise unless the arguments that mask losses share fit together."""
    check_dense_logits("logits", logits)
    check_labels(labels, (logits.shape[0], *logits.shape[2:]))
    if over not in ("batch", "image"):
        raise ValueError(f'`over` must be "batch" or "image", got {over!r}.')
    if isinstance(classes, str):
        if classes not in ("present", "all"):
            raise ValueError(f'`classes` must be "present", "all" or a list of class numbers, got {classes!r}.')
    elif not classes or min(classes) < 0 or max(classes) >= logits.shape[1]:
        raise ValueError(f"`classes` must hold numbers from 0 to {logits.shape[1] - 1}, got {list(classes)}.")


def places(logits: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``(n, classes, places)`` logits, ``(n, places)`` labels and ``(n, places)`` weights, 1 unless given."""
    z = at_least_float32(logits).reshape(*logits.shape[:2], -1)
    y = labels.reshape(labels.shape[0], -1)
    w = torch.ones_like(z[:, 0]) if weights is None else weights.to(z.dtype).reshape(y.shape)
    return z, y, w


def anything_counts(w: Tensor, weights: Tensor | None) -> Tensor | None:
    """``(n,)``: whether an image has a place that counts, from ``(n, 1, places)`` weights; None where all do."""
    return None if weights is None else (w > 0).any(2)[:, 0]


def mean_over_classes(values: Tensor, truth: Tensor, classes: Classes) -> Tensor:
    """``(n,)`` means of ``(n, classes)`` values over the classes asked for; `truth` is what each class has of places."""
    if classes == "all":
        return values.mean(1)
    if classes != "present":
        return values[:, list(classes)].mean(1)
    present = truth > 0
    return torch.where(present, values, 0).sum(1) / present.sum(1).clamp_min(1)
