"""Labels for the most confident rows of each class."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.heads.labels import MISSING
from adapt.protocols import MapStyle, classes_of
from adapt.transductive.options import check_options
from adapt.transductive.whole_target import INSTEAD, PseudoLabels
from losses.options import ABOVE_0, check


def cbst(
    head: nn.Module,
    *,
    encoder: nn.Module,
    dataset: MapStyle,
    target: str = "target",
    name: str = "cbst",
    weight: float | Schedule = 1.0,
    first: float = 0.2,
    more: float = 0.05,
    last: float = 0.5,
) -> Term:
    """Learn the labels of the most confident rows of each class: class-balanced self-training, CBST.

    Args:
        head: the classifier.
        encoder: of the trainer, with ``(n, d)`` features.
        dataset: all rows of the stream `target`, without augmentation; labels are not read.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.
        first, more, last: share of each predicted class with a label: `first` in the first epoch, `more` in each
            further epoch, at most `last`; 0.2, 0.05 and 0.5 as in the paper.

    :func:`confident_labels` labels the rows at the start of each epoch, in evaluation mode and float32. The labels are
    a buffer: a run resumed in the middle of an epoch is exact. The loss is a mean over the rows of all ranks with a
    label. The term goes beside ``adapt.supervised`` on the source, or alone on a source model.

    Related: :func:`self_training` does the same around a classifier of scikit-learn; :func:`adapt.domain.fixmatch` has
    one threshold for all classes.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value; a stream with another number of rows.

    Zou et al., Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training, 2018,
    https://arxiv.org/abs/1810.07911
    """
    classes_of(head, "cbst", INSTEAD)
    check_options(target=target, name=name, weight=weight, first=first, more=more, last=last)
    label = partial(labels_of_epoch, first=first, more=more, last=last)
    return Term(name, PseudoLabels(head, encoder, dataset, target, name, label), weight, streams=[target])


def labels_of_epoch(
    features: Tensor, probabilities: Tensor, epoch: int, *, first: float, more: float, last: float
) -> Tensor:
    """Return :func:`confident_labels` with the share of the epoch."""
    return confident_labels(probabilities, min(first + more * epoch, max(first, last)))


def confident_labels(probabilities: Tensor, share: float) -> Tensor:
    r"""Return the class of the most confident rows of each class, and -1 for all other rows.

    .. math:: \hat y_i = \arg\max_k \frac{p_{ik}}{\lambda_k} \text{ where } \max_k \frac{p_{ik}}{\lambda_k} \ge 1

    with :math:`\lambda_k` the smallest :math:`p_{ik}` among the most confident `share` of the rows that are predicted
    as class k: each class labels the same share of its rows, whatever the confidence of the class.

    Args:
        probabilities: ``(n, classes)``.
        share: in (0, 1]; at least one row of each predicted class.

    A class without a predicted row labels no row.

    >>> confident_labels(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55]]), share=0.5)
    tensor([ 0, -1,  1, -1])
    """
    check(ABOVE_0, share=share)
    p = probabilities.double()
    top, predicted = p.max(1)
    limit = torch.full_like(p[0], torch.inf)
    for k in predicted.unique().tolist():
        own = top[predicted == k].sort(descending=True).values
        limit[k] = own[math.ceil(share * len(own) - 1e-9) - 1]  # 0.1 * 30 rounds up to more than 3
    ratio, labels = (p / limit).max(1)
    return torch.where(ratio >= 1, labels, MISSING)
