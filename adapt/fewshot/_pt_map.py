"""Optimal transport of the queries to the classes, for known shares of the classes."""

from collections.abc import Sequence
from typing import Literal

import numpy
import torch
from torch import Tensor

from adapt.fewshot.method import Transductive, unit_rows
from losses.options import ABOVE_0, COUNT, POSITIVE, TRUTH, check, each, or_none

MOST_STEPS, EVERY, TOLERANCE, LEAST = 1000, 5, 1e-5, 1e-8


def pt_map(
    *, prior: Sequence[float] | Tensor | Literal["uniform"], power: float | None = 0.5, unit: bool = True,
    sharpness: float = 10.0, steps: int = 10, rate: float = 0.2,
) -> Transductive:  # fmt: skip
    r"""Return prototypes that follow an optimal transport of the queries to the classes, with given shares: PT-MAP.

    .. math:: P = \arg\min_{P \ge 0} \sum_{ik} P_{ik} \lVert q_i - c_k \rVert^2 + \frac1\lambda \sum_{ik} P_{ik}
        \log P_{ik} \quad \text{with} \sum_k P_{ik} = 1, \; \sum_i P_{ik} = n \pi_k, \qquad
        c_k \leftarrow c_k + \alpha \left( \frac{\sum_{S_k} x + \sum_i P_{ik} q_i}{|S_k| + n \pi_k} - c_k \right)

    Args:
        prior: :math:`\pi`, the shares of the classes among the queries, in the order of :func:`classes_of`; or
            ``"uniform"``. The transport keeps these shares exactly: with other true shares the result is often worse
            than :func:`centroid`. Give the shares, or take :func:`alpha_tim`.
        power: features become ``(relu(f) + 1e-6) ** power`` first, 0.5 as in the paper, for features from 0 on. None
            leaves features with a sign as they are.
        unit: whether rows then get unit length, as in the paper.
        sharpness: :math:`\lambda`, 10 as in the paper.
        steps: updates of the prototypes, 10; the authors' code takes 20.
        rate: :math:`\alpha`, 0.2 as in the paper for one row of a class.

    Computed in log space: no cost is too large, and there may be fewer queries than classes. A look at the shares every
    five iterations is a host synchronisation; the iterations end at a relative error of 1e-5, or after 1,000.

    Raises:
        ValueError: shares that are not ``(classes,)`` positive numbers; options outside of the ranges.

    The authors' code also subtracts the mean of the support from the support and the mean of the queries from the
    queries, and takes the unit length again. With unequal shares the two means differ, so the step is left out here.
    easyfsl leaves the unit length out, takes exp of the cost (which underflows), and gives NaN for fewer queries than
    classes.

    Hu et al., Leveraging the Feature Distribution in Transfer-based Few-Shot Learning, 2020,
    https://arxiv.org/abs/2006.03806
    """
    check(or_none(POSITIVE), power=power)
    check(POSITIVE, sharpness=sharpness)
    check(COUNT, steps=steps)
    check(ABOVE_0, rate=rate)
    check(TRUTH, unit=unit)
    prior = prior.tolist() if isinstance(prior, Tensor | numpy.ndarray) else prior
    shares = None
    if not (isinstance(prior, str) and prior == "uniform"):
        check(each(POSITIVE), "give 'uniform', or a share for each class", prior=prior)
        shares = torch.tensor(prior, dtype=torch.float64)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        s, n, classes = S.shape[-2], Q.shape[-2], Y.shape[-1]
        if shares is not None and len(shares) != classes:
            raise ValueError(
                f"`prior` must have a share for each of {classes} classes, got {len(shares)}: the order is "
                "`fewshot.classes_of(labels)`."
            )
        wanted = Q.new_full((classes,), 1 / classes) if shares is None else (shares / shares.sum()).to(Q)
        x = torch.cat([S, Q], -2)
        x = x if power is None else x.clamp_(min=0).add_(1e-6).pow_(power)
        x = unit_rows(x) if unit else x
        x -= x[..., :s, :].mean(-2, keepdim=True)  # changes no distance, and the numbers that cancel stay small
        # The prototypes are A @ x. Their products with the queries are enough: the length of a query is equal for all
        # classes, and the potential of a class takes up the length of the prototype.
        q, twice = x[..., s:, :].mT, 2 * sharpness
        xq = twice * (x @ q) if s + n < x.shape[-1] else None  # fewer numbers than x
        member, g = Y.mT, torch.zeros_like(x[..., :1, :1])
        last, taken = g, 0
        A = torch.cat([member / Y.sum(-2).unsqueeze(-1), member.new_zeros(*member.shape[:-1], n)], -1)
        for step in range(steps + 1):
            z = twice * ((A @ x) @ q) if xq is None else A @ xq
            # the way that is left gets shorter by `rate` in each update: the guess saves a third of the iterations
            guess = g + (1 - rate) * (g - last) if taken < MOST_STEPS else g
            last = g
            g, P, taken = transport(z, n * wanted[:, None], guess)
            if step < steps:
                weight = torch.cat([member, P], -1)
                A = A.lerp(weight / weight.sum(-1, keepdim=True), rate)
        return (z + g).log_softmax(-2).mT

    options = {"prior": prior, "power": power, "unit": unit, "sharpness": sharpness, "steps": steps, "rate": rate}
    return Transductive("pt_map", options, solve)


def transport(z: Tensor, wanted: Tensor, g: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return g so that P = softmax(z + g) over the classes has given sums over the queries, P, and the iterations.

    Args:
        z: ``(..., classes, n)``. Classes first: a softmax over the last axis takes several times as long where the
            classes are few.
        wanted: ``(classes, 1)``, the sums.
        g: ``(..., classes, 1)`` potential to start from.
    """
    P = z
    for i in range(MOST_STEPS + 1):
        # the softmax takes most of the time: four of five iterations go on from the last one, which loses few digits
        P = (z + g).softmax(-2) if i % EVERY == 0 else P / P.sum(-2, keepdim=True)
        excess = (P.sum(-1, keepdim=True) / wanted).clamp_min(LEAST)  # a sum that underflows comes back step by step
        if i % EVERY == 0 and (i == MOST_STEPS or bool(((excess - 1).abs() < TOLERANCE).all())):
            break
        P, g = P / excess, g - excess.log()
    return g, P, i
