"""A source model alone: confident and diverse predictions, and labels from centroids of the target."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import MapStyle, classes_of
from adapt.transductive.options import check_options
from adapt.transductive.whole_target import INSTEAD, PseudoLabels
from losses.checks import one_hot


def shot_im(
    head: nn.Module,
    *,
    encoder: nn.Module | None = None,
    dataset: MapStyle | None = None,
    target: str = "target",
    name: str = "shot_im",
    weight: float | Schedule = 1.0,
) -> Term:
    r"""Maximise the information in the predictions on the target, and freeze the head: SHOT-IM.

    .. math:: \frac1n \sum_i H(p_i) - H(\bar p)

    Args:
        head: the classifier of the source model. The head is frozen in place: the hypothesis of the source stays.
        encoder, dataset: not read; all methods of :func:`source_free` take the same arguments.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.

    Sees the global batch. :func:`adapt.domain.im` is the same term beside the source, with a head that learns.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Liang et al., Do We Really Need to Access the Source Data?, 2020, https://arxiv.org/abs/2002.08546
    """
    classes_of(head, "shot_im", INSTEAD)
    check_options(target=target, name=name, weight=weight)
    head.requires_grad_(False)
    return Term(name, partial(information, head=head, target=target), weight, streams=[target], modules=[head])


def information(step: Step, *, head: nn.Module, target: str) -> Tensor:
    """Return the loss of :func:`shot_im`."""
    return losses.information_maximization(step.output(head, target))


def shot(
    head: nn.Module,
    *,
    encoder: nn.Module,
    dataset: MapStyle,
    target: str = "target",
    name: str = "shot",
    weight: float | Schedule = 1.0,
    labels_weight: float | Schedule = 0.3,
    rounds: int = 1,
) -> list[Term]:
    """Maximise the information in the predictions, learn labels from centroids, and freeze the head: SHOT.

    Args:
        head: the classifier of the source model. The head is frozen in place.
        encoder: of the trainer, with ``(n, d)`` features.
        dataset: all rows of the stream `target`, without augmentation; labels are not read.
        target: stream; no labels are used.
        name: of the terms: ``"<name>_im"`` and ``"<name>_labels"``.
        weight: of :func:`shot_im`; 1 as in the paper.
        labels_weight: of the cross-entropy with the labels; 0.3 as in the paper, which takes 0.1 for digits.
        rounds: how often the centroids are computed again from their own labels; 1 as in the paper.

    At the start of each epoch of the stream, :func:`centroid_labels` labels all rows, in evaluation mode and float32.
    The labels are a buffer: a run resumed in the middle of an epoch is exact.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value; a stream with another number of rows; features that are not
            ``(n, d)`` finite numbers.

    Liang et al., 2020, https://arxiv.org/abs/2002.08546
    """
    check_options(name=name, target=target, labels_weight=labels_weight, rounds=rounds)
    im = shot_im(head, target=target, name=f"{name}_im", weight=weight)
    label = partial(labels_of_epoch, rounds=rounds)
    learned = PseudoLabels(head, encoder, dataset, target, f"{name}_labels", label)
    return [im, Term(f"{name}_labels", learned, labels_weight, streams=[target])]


def labels_of_epoch(features: Tensor, probabilities: Tensor, epoch: int, *, rounds: int) -> Tensor:
    """Return :func:`centroid_labels`, in every epoch alike."""
    return centroid_labels(features, probabilities, rounds=rounds)


def centroid_labels(features: Tensor, probabilities: Tensor, *, rounds: int = 1) -> Tensor:
    r"""Return the class with the nearest centroid for each row, by cosine.

    .. math:: c_k = \frac{\sum_i w_{ik} x_i}{\sum_i w_{ik}}, \qquad \hat y_i = \arg\max_k \cos(x_i, c_k), \qquad
        w = p \text{ first, and then } w_{ik} = \mathbb 1[\hat y_i = k]

    with :math:`x_i` the features and a 1 as last entry, of length 1.

    Args:
        features: ``(n, d)``.
        probabilities: ``(n, classes)``.
        rounds: how often the centroids are computed again; 1 as in the paper.

    Returns:
        ``(n,)`` numbers of classes. A class that lost all rows gets no row again. (The authors' code for digits gives
        *all* rows to an empty class, because a centroid of zeros has the distance NaN.)

    >>> features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> centroid_labels(features, torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]))
    tensor([0, 0, 1])
    """
    check_options(rounds=rounds)
    x = F.normalize(F.pad(features.double(), (0, 1), value=1.0), dim=1)
    w = probabilities.double()
    for _ in range(rounds + 1):
        centroids = F.normalize(w.T @ x, dim=1)  # the division by the sum of w changes no cosine
        cosine = (x @ centroids.T).masked_fill(w.sum(0) == 0, -2.0)
        labels = cosine.argmax(1)
        w = one_hot(labels, w.shape[1], w)
    return labels
