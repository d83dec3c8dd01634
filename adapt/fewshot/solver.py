"""Multinomial logistic regression of many episodes at once."""

import torch
from torch import Tensor

MOST_STEPS, EVERY = 2000, 10


def logistic_weights(X: Tensor, Y: Tensor, penalty: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Return the weights ``(..., classes, d)`` and the biases ``(..., classes)`` of a logistic regression.

    .. math:: \min_{W, b} \sum_i -\log \mathrm{softmax}(W x_i + b)_{y_i} + \tfrac12 \sum_k \lambda_k
        \lVert w_k - t_k \rVert^2

    The solution lies in t plus the span of the rows: the search has min(s, d) numbers for each class, along the
    principal axes of the rows. Each number has a step of its own, the inverse of Böhning's bound of the curvature, and
    Nesterov's momentum with a restart for each episode. No learning rate, no seed.

    Args:
        X: ``(..., s, d)``.
        Y: ``(..., s, classes)`` of 0 and 1.
        penalty: ``(..., classes)`` :math:`\lambda`, positive.
        start: ``(..., classes, d)`` t; None is 0. Without t a bias is fitted, which no penalty pulls; with t there is
            no bias.

    The search ends when the gradient of each episode, in units of the steps, is below 1e-5 of the gradient at the start
    (1e-9 in float64), or after 2,000 steps. A look at the gradient every ten steps is a host synchronisation.

    Böhning, Multinomial Logistic Regression Algorithm, 1992, https://doi.org/10.1007/BF00048682; O'Donoghue and
    Candès, Adaptive Restart for Accelerated Gradient Schemes, 2015, https://arxiv.org/abs/1204.3982
    """
    middle = X.mean(-2, keepdim=True) if start is None else torch.zeros_like(X[..., :1, :])
    x = X - middle
    Z, axes = principal(x)
    offset = 0 if start is None else X @ start.mT
    curvature = Z.square().sum(-2).unsqueeze(-1) / 2 + penalty.unsqueeze(-2)
    pull = penalty.unsqueeze(-2).expand_as(curvature)
    if start is None:  # a column of ones, orthogonal to the others, without penalty
        Z = torch.cat([Z, torch.ones_like(Z[..., :1])], -1)
        curvature = torch.cat([curvature, torch.full_like(curvature[..., :1, :], X.shape[-2] / 2)], -2)
        pull = torch.cat([pull, torch.zeros_like(pull[..., :1, :])], -2)

    def gradient(B: Tensor) -> Tensor:
        return Z.mT @ ((Z @ B + offset).softmax(-1) - Y) + pull * B

    B = V = torch.zeros_like(curvature)
    t = torch.ones_like(curvature[..., :1, :1])
    first, tolerance = None, 1e-9 if X.dtype == torch.float64 else 1e-5
    for step in range(MOST_STEPS):
        G = gradient(V)
        if step % EVERY == 0:
            size = (G.square() / curvature).sum((-2, -1))
            first = size if first is None else first
            if bool((size <= tolerance**2 * first + torch.finfo(X.dtype).tiny).all()):
                break
        new = V - G / curvature
        t = torch.where((G * (new - B)).sum((-2, -1), keepdim=True) > 0, 1, t)
        ahead = (1 + (1 + 4 * t.square()).sqrt()) / 2
        V = new + (t - 1) / ahead * (new - B)
        B, t = new, ahead
    W = (axes @ B[..., : axes.shape[-1], :]).mT
    if start is not None:
        return start + W, torch.zeros_like(penalty.expand(W.shape[:-1]))
    return W, B[..., -1, :] - (W @ middle.mT).squeeze(-1)


def principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates ``(..., s, r)`` of rows along their principal axes, and the axes ``(..., d, r)``.

    r is min(s, d). Axes along which the rows do not differ are zeros. In float64 inside.
    """
    wide = x.double()
    s, d = x.shape[-2:]
    values, vectors = torch.linalg.eigh(wide @ wide.mT if s < d else wide.mT @ wide)
    there = values > 1e-12 * values[..., -1:].clamp_min(1e-300)
    length = torch.where(there, values, 1).sqrt().unsqueeze(-2)
    axes = (wide.mT @ vectors / length if s < d else vectors) * there.unsqueeze(-2)
    return (wide @ axes).to(x), axes.to(x)
