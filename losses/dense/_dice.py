"""Soft Dice loss for masks."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import counted, one_hot
from losses.dense.masks import Classes, Over, anything_counts, check_mask, mean_over_classes, places
from losses.options import AT_LEAST_0, check
from losses.reduce import mean


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
            :math:`1 - s / (\sum_i w_i p_{ic}^2 + s)`, that is 1 without smoothing and then without gradient (0 where
            the class is predicted nowhere at all).
        over: ``"batch"`` sums over all places of all images. ``"image"`` gives each image its own value and takes the
            mean over the images in which something counts.
        weights: ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything.
        global_batch: sum over the images of all ranks, for ``over="batch"``. Sums are gathered, not places. (The mean
            over images is that of all ranks in any case.)

    Returns:
        A scalar in [0, 1]; 0 where nothing counts. Over the batch: sees the global batch; gradient accumulation does
        not enlarge that batch. Over images: per rank, a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; an option that does not exist; negative smoothing.

    A number that is no class is not found out: it counts as a place of no class. ``weights=labels != 255`` is an
    ``ignore_index`` of 255. Logits must be finite. Two logits ``[0, z]`` are the binary mask with the sigmoid of z.

    Related: :func:`losses.lovasz_softmax` for the Jaccard index.

    Milletari et al., V-Net, 2016, section 3, https://arxiv.org/abs/1606.04797

    >>> z = torch.tensor([[[9.0, -9.0, 9.0]], [[-9.0, 9.0, -9.0]]]).transpose(0, 1).squeeze(2)
    >>> dice(z, torch.tensor([[0, 1, 1]]))                                         # overlaps 2/3 and 2/3
    tensor(0.3333)
    """
    check_mask(logits, labels, classes, over)
    check(AT_LEAST_0, smooth=smooth)
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
