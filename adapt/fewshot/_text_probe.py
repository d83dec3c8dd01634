"""A linear probe that starts from given class vectors and is pulled to the vectors."""

from typing import Literal

import torch
from torch import Tensor

from adapt.fewshot.method import Inductive, Rule, prepared, unit_rows
from adapt.fewshot.solver import logistic_weights
from losses.checks import at_least_float32, check_real
from losses.options import POSITIVE, check


def text_probe(
    vectors: Tensor, *, scale: float = 100.0, pull: float = 1.0, weighting: Literal["equal", "clap"] = "clap"
) -> Inductive:
    r"""Return a linear probe on cosines that starts at class vectors such as encoded names, with a pull to the vectors.

    .. math:: \log p(q) = \log \mathrm{softmax}(\alpha W x(q)), \qquad
        W = \arg\min_W \sum_i -\log \mathrm{softmax}(\alpha W x_i)_{y_i} +
        \frac{\alpha^2}{2} \sum_k \lambda_k \lVert w_k - t_k \rVert^2

    with rows x and class vectors t of unit length. Without a support row of any class the vectors alone decide: the
    zero-shot classifier is the point of this probe with 0 labels.

    Args:
        vectors: ``(classes, d)`` :math:`t`, one for each class; labels are row numbers of `vectors`. A class needs no
            support row.
        scale: :math:`\alpha`, 100 as the encoders of CLIP have learned. For sentence encoders take 10 to 20.
        pull: a factor on all :math:`\lambda_k`, 1.
        weighting: ``"clap"``: :math:`\lambda_k` is the mean probability of the right class that the vectors alone give
            to the support rows of class k, at most 1 and at least 1 / classes: good vectors are kept, poor vectors may
            move. ``"equal"``: :math:`\lambda_k = 1`.

    No validation set chooses anything. No gradient goes through the solution.

    Raises:
        ValueError: vectors that are not ``(classes, d)`` finite numbers; numbers that are not positive, an unknown
            `weighting`; at a call, labels outside of the classes.

    The paper weights by the multipliers of a first step of an augmented Lagrangian and takes 300 steps of SGD; the
    problem here is solved.

    Silva-Rodriguez et al., A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models (CLAP, ZS-LP),
    2024, https://arxiv.org/abs/2312.12730

    >>> vectors = torch.eye(3)  # the third class has no support row
    >>> probe = text_probe(vectors)
    >>> probe(torch.tensor([[1.0, 0.1, 0.0]]), torch.tensor([0]), vectors).argmax(-1)
    tensor([0, 1, 2])
    """
    check_real("vectors", vectors)
    if vectors.ndim != 2 or len(vectors) == 0 or not vectors.isfinite().all():
        raise ValueError(
            f"`vectors` must be (classes, d) finite numbers, got {tuple(vectors.shape)}: one vector for each class."
        )
    check(POSITIVE, scale=scale, pull=pull)
    if weighting not in ("equal", "clap"):
        raise ValueError(f'`weighting` must be "equal" or "clap", got {weighting!r}.')
    fixed = unit_rows(at_least_float32(vectors.detach()))

    def solve(support: Tensor, Y: Tensor) -> Rule:
        if fixed.shape[-1] != support.shape[-1]:
            raise ValueError(
                f"`vectors` must have the size of the features, got {fixed.shape[-1]} and {support.shape[-1]}: encode "
                "names and rows with one model."
            )
        x, t = scale * prepared(support, None, True).detach(), fixed.to(support)
        t = t.expand(*x.shape[:-2], *t.shape)
        if x.shape[-2] == 0:
            return Rule(scale * t, torch.zeros_like(t[..., 0]), unit=True)
        weight = torch.ones_like(Y[..., 0, :])
        if weighting == "clap":
            rows = Y.sum(-2)
            right = ((x @ t.mT).softmax(-1) * Y).sum(-2) / rows.clamp_min(1)
            weight = torch.where(rows > 0, right, 1).clamp_min(1 / len(fixed))
        # in units of the scale: the cosines times the scale are the features
        W, b = logistic_weights(x, Y, scale**2 * pull * weight, t)
        return Rule(scale * W, b, unit=True)

    options = {"vectors": vectors, "scale": scale, "pull": pull, "weighting": weighting}
    return Inductive("text_probe", options, solve, columns=len(vectors))
