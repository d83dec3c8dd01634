"""Nearest centroids: the mean of the support rows of each class."""

from typing import Literal

import torch
from torch import Tensor

from adapt.fewshot.method import Inductive, Rule, centre_like, check_centre, prepared, unit_rows
from losses.options import POSITIVE, check, or_none


def centroid(
    *, metric: Literal["squared_euclidean", "cosine"] = "squared_euclidean", temperature: float | None = None
) -> Inductive:
    r"""Return the classifier by the nearest mean of the support rows: prototypical networks, without training.

    .. math:: \log p_k(q) = -d(q, c_k) / T - \log \sum_j \exp(-d(q, c_j) / T), \qquad
        c_k = \frac1{|S_k|} \sum_{x \in S_k} x

    Args:
        metric: ``"squared_euclidean"``, :math:`d = \lVert q - c_k \rVert^2`, as in the paper; or ``"cosine"``,
            :math:`d = -\cos(q, c_k)`.
        temperature: :math:`T`. None is 1 for squared distances, as in the paper, and 0.1 for cosines. Squared distances
            of features that were not trained for them are too confident with 1: a larger number makes softer
            probabilities and changes no prediction. No temperature is right for all encoders (benchmarks/fewshot.md).

    Raises:
        ValueError: an unknown metric, a temperature that is not positive.

    easyfsl takes the distance where the paper takes its square. A vector of zeros has cosine 0 with everything.

    Related: :func:`losses.prototypical` trains an encoder with the same classifier; :func:`cl2n`.

    Snell et al., Prototypical Networks for Few-shot Learning, 2017, https://arxiv.org/abs/1703.05175

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> centroid()(x, torch.tensor([3, 7]), torch.tensor([[1.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """
    check(or_none(POSITIVE), temperature=temperature)
    if metric not in ("squared_euclidean", "cosine"):
        raise ValueError(f'`metric` must be "squared_euclidean" or "cosine", got {metric!r}.')
    cosine = metric == "cosine"
    T = float(temperature or (0.1 if cosine else 1.0))

    def solve(x: Tensor, Y: Tensor) -> Rule:
        if cosine:
            return Rule(unit_rows(means(x, Y)) / T, x.new_zeros(*Y.shape[:-2], Y.shape[-1]), unit=True)
        m = x.mean(-2, keepdim=True)  # changes no distance, and the numbers that cancel stay small
        return by_distance(means(x - m, Y), T, m, unit=False)

    return Inductive("centroid", {"metric": metric, "temperature": T}, solve)


def cl2n(centre: Tensor | None = None, *, temperature: float = 0.1) -> Inductive:
    r"""Return the nearest centroid on features that are centred and have unit length: SimpleShot with CL2N.

    .. math:: \log p_k(q) \propto -\lVert x(q) - c_k \rVert^2 / T, \qquad
        x(f) = \frac{f - m}{\lVert f - m \rVert}, \qquad c_k = \frac1{|S_k|} \sum_{f \in S_k} x(f)

    Args:
        centre: ``(d,)`` :math:`m`. The paper takes the mean of the features that the encoder was trained on; the mean
            of unlabelled rows serves too. None takes the mean of the support rows of each episode.
        temperature: :math:`T`, 0.1; the paper has no probabilities. With one row of a class 0.1 was 22 to 44 points too
            confident (benchmarks/fewshot.md); a larger number changes no prediction.

    Raises:
        ValueError: a centre that is not ``(d,)`` finite numbers; a temperature that is not positive.

    With one class and ``centre=None`` all support rows may lie at the centre: give a centre.

    Wang et al., SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning, 2019,
    https://arxiv.org/abs/1911.04623

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> cl2n(torch.zeros(2))(x, torch.tensor([0, 1]), torch.tensor([[5.0, 5.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """
    check_centre(centre)
    check(POSITIVE, temperature=temperature)
    T = float(temperature)

    def solve(x: Tensor, Y: Tensor) -> Rule:
        m = x.mean(-2, keepdim=True) if centre is None else centre_like(centre, x)
        return by_distance(means(prepared(x, m, True), Y), T, m, unit=True)

    return Inductive("cl2n", {"centre": centre, "temperature": T}, solve)


def means(x: Tensor, Y: Tensor) -> Tensor:
    """Return ``(..., classes, d)``, the mean of the rows of each class."""
    return Y.mT @ x / Y.sum(-2).clamp_min(1).unsqueeze(-1)


def by_distance(c: Tensor, temperature: float, centre: Tensor | None, *, unit: bool) -> Rule:
    """Return minus the squared distance from ``(..., classes, d)`` centroids over the temperature, as linear logits."""
    square = torch.full(c.shape[:-2], 1 / temperature, dtype=c.dtype, device=c.device)
    return Rule(c * (2 / temperature), -c.square().sum(-1) / temperature, square, centre=centre, unit=unit)
