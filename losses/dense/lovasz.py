"""Lovasz losses: the convex surrogate of the Jaccard index, for classes and for one mask."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import check_binary, counted, one_hot
from losses.dense.masks import Classes, Over, anything_counts, check_mask, mean_over_classes, places
from losses.reduce import mean


def lovasz_softmax(
    logits: Tensor,
    labels: Tensor,
    *,
    classes: Classes = "present",
    over: Over = "batch",
    weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Lovasz extension of the Jaccard loss of each class, averaged over classes.

    .. math::
        \frac{1}{|K|} \sum_{c \in K} \overline{\Delta_{J_c}}(m_c), \qquad m_{ic} = |g_{ic} - p_{ic}|, \qquad
        \overline{\Delta}(m) = \sum_i m_{\pi_i} \bigl( \Delta(\{\pi_1, \dots, \pi_i\})
        - \Delta(\{\pi_1, \dots, \pi_{i-1}\}) \bigr)

    with :math:`\pi` the order of decreasing errors m, :math:`p_i = \mathrm{softmax}(z_i)`, :math:`g` the one-hot
    labels, and :math:`\Delta_{J_c}(M) = |M| / |\{g_c = 1\} \cup M|`, the Jaccard loss when the places M are wrong. For
    predictions of 0 and 1 the value is one minus the mean Jaccard index.

    Args:
        logits: ``(n, classes, ...)``; ``(n, classes)`` is one place a row.
        labels: ``(n, ...)`` class indices.
        classes: the set K. ``"present"`` takes the classes that the labels hold, as the authors' code does, ``"all"``
            takes all, a list of class numbers those. A class taken without a place of its own costs its largest error.
        over: ``"batch"`` takes the places of all images together. ``"image"`` gives each image its own value and takes
            the mean over the images in which something counts.
        weights: ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything. Other numbers
            are the sizes of the places: sets are measured by them.
        global_batch: gather the places of all ranks first, for ``over="batch"``: all logits travel. (The mean over
            images is that of all ranks in any case.)

    Returns:
        A scalar in [0, 1]; 0 where nothing counts. Over the batch: sees the global batch; gradient accumulation does
        not enlarge that batch. Over images: per rank, a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; an option that does not exist.

    A number that is no class is not found out: it counts as a place of no class. ``weights=labels != 255`` is an
    ``ignore_index`` of 255. Logits must be finite. The differences above are computed in closed form, so that they keep
    their digits when there are millions of places.

    Related: :func:`losses.lovasz_hinge` for one mask; :func:`losses.dice`.

    Berman et al., The Lovasz-Softmax Loss, 2018, https://arxiv.org/abs/1705.08790

    >>> lovasz_softmax(torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]))
    tensor(0.5000)
    """
    check_mask(logits, labels, classes, over)
    z, y, w = places(logits, counted(labels, weights), weights)
    if over == "batch" and global_batch:
        z, y, w = gather(z), gather(y), gather(w)
    truth = one_hot(y, z.shape[1], like=z).movedim(-1, 1)
    errors, w = (truth - z.softmax(1)).abs(), w[:, None].expand_as(truth)
    if over == "batch":
        errors, truth, w = as_one_image(errors), as_one_image(truth), as_one_image(w)
    values = mean_over_classes(extension(errors, truth, w), (w * truth).sum(2), classes)
    return values.squeeze(0) if over == "batch" else mean(values, anything_counts(w, weights))


def lovasz_hinge(
    logits: Tensor,
    labels: Tensor,
    *,
    over: Over = "batch",
    weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Lovasz extension of the Jaccard loss of one mask, with hinge errors.

    .. math:: \overline{\Delta_J}(m), \qquad m_i = \max(0,\; 1 - (2 y_i - 1)\, z_i)

    with the extension of :func:`losses.lovasz_softmax`.

    Args:
        logits: ``(n, ...)``; ``(n,)`` is one place a row.
        labels: the same shape, 0 or 1, whole numbers or booleans.
        over: ``"batch"`` takes the places of all images together. ``"image"`` gives each image its own value and takes
            the mean over the images in which something counts.
        weights: the same shape, not negative; booleans are a mask. Where it is 0 a label may be anything. Other numbers
            are the sizes of the places: sets are measured by them.
        global_batch: gather the places of all ranks first, for ``over="batch"``. (The mean over images is that of
            all ranks in any case.)

    Returns:
        A scalar, 0 or more; 0 where nothing counts. Over the batch: sees the global batch; gradient accumulation does
        not enlarge that batch. Over images: per rank, a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels in floating point; an option that does not exist.

    A number that is neither 0 nor 1 is not found out: anything but 1 counts as 0. ``weights=labels != 255`` is an
    ``ignore_index`` of 255. Logits must be finite. A mask without a single 1 costs its largest error. The authors' code
    takes ``over="image"`` here, and the batch for :func:`losses.lovasz_softmax`.

    Related: :func:`losses.lovasz_softmax` for several classes.

    Berman et al., The Lovasz-Softmax Loss, 2018, https://arxiv.org/abs/1705.08790

    >>> lovasz_hinge(torch.tensor([[2.0, 0.5]]), torch.tensor([[1, 1]]))
    tensor(0.2500)
    """
    check_binary("labels", labels, tuple(logits.shape))
    if over not in ("batch", "image"):
        raise ValueError(f'`over` must be "batch" or "image", got {over!r}.')
    z, y, w = places(logits[:, None], counted(labels, weights) == 1, weights)
    truth, w = y.to(z.dtype)[:, None], w[:, None]
    if over == "batch":
        if global_batch:
            z, truth, w = gather(z), gather(truth), gather(w)
        z, truth, w = as_one_image(z), as_one_image(truth), as_one_image(w)
    errors = (1 - (2 * truth - 1) * z).clamp_min(0)
    values = extension(errors, truth, w)[:, 0]
    return values.squeeze(0) if over == "batch" else mean(values, anything_counts(w, weights))


def as_one_image(x: Tensor) -> Tensor:
    """``(1, classes, n * places)`` of ``(n, classes, places)``."""
    return x.transpose(0, 1).flatten(1)[None]


def extension(errors: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    r"""Lovasz extension of the Jaccard loss at `errors`, along the last dimension; `truth` is 0 or 1.

    With the errors in decreasing order, :math:`I` the truth not yet passed and :math:`U` the truth and what has been
    passed beside it, the loss is :math:`1 - I / U`. Passing a place of size w raises it by :math:`w / U` where the
    place is true (I falls), and by :math:`(w / U) (I / U')` where it is not (U grows from U'). Without any truth, the
    first place raises it from 0 to 1: there :math:`I / U'` stands for 1.
    """
    errors, order = errors.sort(dim=-1, descending=True)
    g, w = truth.gather(-1, order), weights.gather(-1, order)
    hit, miss = w * g, w * (1 - g)
    inside = hit.sum(-1, keepdim=True) - hit.cumsum(-1)  # I
    union = hit.sum(-1, keepdim=True) + miss.cumsum(-1)  # U
    before = union - miss
    share = torch.where(before > 0, inside / torch.where(before > 0, before, 1), 1)
    steps = torch.where(g > 0, 1, share) * w / torch.where(union > 0, union, 1)
    return (errors * steps).sum(-1)
