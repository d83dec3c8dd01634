"""Prototypes that make the predictions on the queries confident and varied."""

import math
from typing import Literal

import torch
from torch import Tensor

from adapt.fewshot._centroid import means
from adapt.fewshot.method import Transductive, unit_rows
from losses.options import AT_LEAST_0, COUNT, POSITIVE, check


def alpha_tim(
    *, alpha: float = 2.0, steps: int = 50, rate: float = 1e-3, temperature: float = 15.0,
    metric: Literal["squared_euclidean", "cosine"] = "squared_euclidean", marginal: float = 1.0,
    conditional: float = 1.0,
) -> Transductive:  # fmt: skip
    r"""Return prototypes W tuned for a large mutual information between queries and predictions: TIM and alpha-TIM.

    .. math:: \min_W -\frac1s \sum_{i \in S} \log p_{i y_i} - \mu H_\alpha\Bigl( \frac1n \sum_{i \in Q} p_i \Bigr)
        + \nu \frac1n \sum_{i \in Q} H_\alpha(p_i), \qquad H_\alpha(p) = \frac{1 - \sum_k p_k^\alpha}{\alpha - 1},

    .. math:: p_{ik} \propto \exp(-\tfrac\tau2 \lVert x_i - w_k \rVert^2)

    with rows x of unit length, W from the class means of the support on, by Adam.

    Args:
        alpha: :math:`\alpha` of the entropies of Tsallis, 2 as the authors' code for one row of a class; the code takes
            7 from five rows of a class on. 1 is Shannon's entropy: TIM, which pulls the shares of the classes among
            the queries to equal shares. A larger number pulls less: queries may be unbalanced.
        steps: of Adam, 50; the authors' code takes 1,000 with a `rate` of 1e-4.
        rate: learning rate of Adam, 1e-3.
        temperature: :math:`\tau`, 15 as the authors' code.
        metric: ``"cosine"`` takes :math:`p_{ik} \propto \exp(\tau \cos(x_i, w_k))` from class means of rows as they
            are, as easyfsl.
        marginal: :math:`\mu`, 1 as the authors' code of alpha-TIM; the weights of TIM's authors have the ratio of 10.
        conditional: :math:`\nu`, 1 as both.

    All episodes are one tensor and share the steps; no episode changes another. No gradient goes through the result.

    Raises:
        ValueError: options outside of the ranges, an unknown metric.

    Veilleux et al., Realistic Evaluation of Transductive Few-Shot Learning, 2021, https://arxiv.org/abs/2204.11181;
    Boudiaf et al., Transductive Information Maximization for Few-Shot Learning, 2020, https://arxiv.org/abs/2008.11297
    """
    check(POSITIVE, alpha=alpha, rate=rate, temperature=temperature)
    check(COUNT, steps=steps)
    check(AT_LEAST_0, marginal=marginal, conditional=conditional)
    if metric not in ("squared_euclidean", "cosine"):
        raise ValueError(f'`metric` must be "squared_euclidean" or "cosine", got {metric!r}.')
    cosine, least = metric == "cosine", math.log(torch.finfo(torch.float32).tiny)

    def log_p(x: Tensor, W: Tensor) -> Tensor:
        """Return ``(..., classes, rows)``: the other order of the two takes up to twice as long."""
        if cosine:
            return (temperature * unit_rows(W) @ x.mT).log_softmax(-2)
        return (temperature * (W @ x.mT - W.square().sum(-1, keepdim=True) / 2)).log_softmax(-2)

    def slope(log: Tensor) -> Tensor:
        """The derivative of the entropy with respect to the probabilities, up to a number for each row."""
        if alpha == 1:
            return -log
        log = log.clamp_min(least)  # for alpha below 1 the slope grows without end where a probability goes to 0
        return -alpha / (alpha - 1) * ((alpha - 1) * log).expm1()  # minus 1: right for alpha close to 1 too

    def gradient(x: Tensor, Y: Tensor, W: Tensor) -> Tensor:
        s = Y.shape[-1]
        log = log_p(x, W)
        G = log.exp()
        n, p = x.shape[-2] - s, G[..., s:]
        shares = p.mean(-1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny).log()
        v = (conditional * slope(log[..., s:]) - marginal * slope(shares)) / n
        G[..., s:] = p * (v - (p * v).sum(-2, keepdim=True))
        G[..., :s] = (G[..., :s] - Y) / s
        D = temperature * G @ x
        if not cosine:
            return D - temperature * G.sum(-1, keepdim=True) * W
        length, w = W.norm(dim=-1, keepdim=True), unit_rows(W)
        return (D - w * (w * D).sum(-1, keepdim=True)) / torch.where(length > 0, length, 1)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        x = unit_rows(torch.cat([S, Q], -2)).detach()
        W = means(S.detach() if cosine else x[..., : S.shape[-2], :], Y).contiguous()
        optimizer = torch.optim.Adam([W], lr=rate, fused=True)
        with torch.no_grad():
            for _ in range(steps):
                W.grad = gradient(x, Y.mT, W)
                optimizer.step()
            return log_p(x[..., S.shape[-2] :, :], W).mT

    options = {"alpha": alpha, "steps": steps, "rate": rate, "temperature": temperature, "metric": metric}
    return Transductive("alpha_tim", options | {"marginal": marginal, "conditional": conditional}, solve)
