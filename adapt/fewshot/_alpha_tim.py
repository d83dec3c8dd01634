"""Prototypes that make the predictions on the queries confident and varied."""

from typing import Literal

import torch
from torch import Tensor

from adapt.fewshot._centroid import means
from adapt.fewshot.method import Transductive
from losses.fine_tuning.norm import unit
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
        alpha: :math:`\alpha` of the entropies of Tsallis. 1 is Shannon's entropy: TIM, which pulls the shares of the
            classes among the queries to equal shares. A larger number pulls less: queries may be unbalanced.
        steps: of Adam.
        rate: learning rate of Adam.
        temperature: :math:`\tau`, 15 as the authors' code.
        metric: ``"cosine"`` takes :math:`p_{ik} \propto \exp(\tau \cos(x_i, w_k))` from class means of rows as they
            are, as easyfsl.
        marginal: :math:`\mu`, 1.
        conditional: :math:`\nu`, 1.

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
    cosine = metric == "cosine"

    def log_p(x: Tensor, W: Tensor) -> Tensor:
        if cosine:
            return (temperature * x @ unit(W, -1).mT).log_softmax(-1)
        return (temperature * (x @ W.mT - W.square().sum(-1).unsqueeze(-2) / 2)).log_softmax(-1)

    def entropy(p: Tensor, log: Tensor) -> Tensor:
        return -(p * log).sum(-1) if alpha == 1 else (1 - (alpha * log).exp().sum(-1)) / (alpha - 1)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        x = unit(torch.cat([S, Q], -2), -1).detach()
        s, n = S.shape[-2], Q.shape[-2]
        with torch.enable_grad():
            W = means(S.detach() if cosine else x[..., :s, :], Y).requires_grad_()
            optimizer = torch.optim.Adam([W], lr=rate)
            for _ in range(steps):
                log = log_p(x, W)
                fits = -(Y * log[..., :s, :]).sum((-2, -1)) / s
                of_query = log[..., s:, :]
                p = of_query.exp()
                shares = p.mean(-2)
                tiny = torch.finfo(p.dtype).tiny
                varied = entropy(shares, shares.clamp_min(tiny).log())
                unsure = entropy(p, of_query).sum(-1) / n
                # the sum, not the mean: an episode must not change the step of another
                loss = (fits - marginal * varied + conditional * unsure).sum()
                (W.grad,) = torch.autograd.grad(loss, W)
                optimizer.step()
        return log_p(x[..., s:, :], W.detach())

    options = {"alpha": alpha, "steps": steps, "rate": rate, "temperature": temperature, "metric": metric}
    return Transductive("alpha_tim", options | {"marginal": marginal, "conditional": conditional}, solve)
