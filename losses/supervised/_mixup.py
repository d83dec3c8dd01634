"""Mixup: convex combinations of rows and of their labels."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_labels, counted
from losses.options import COUNT, POSITIVE, SHARE, check
from losses.reduce import mean
from losses.supervised._weighted_cross_entropy import at_label


def mixup(rows: Tensor, order: Tensor, mixing: float | Tensor) -> Tensor:
    r"""Each row mixed with its partner.

    .. math:: \tilde x_i = \lambda_i\, x_i + (1 - \lambda_i)\, x_{\pi(i)}

    Args:
        rows: ``(n, ...)`` inputs, features or soft labels, floating point.
        order: ``(n,)`` row numbers: the partner of each row.
        mixing: :math:`\lambda` in [0, 1], one number, or ``(n,)``, one a row.

    Returns:
        ``(n, ...)`` in the type of `rows`, mixed in float32. Not a loss. Per rank: partners are rows of one rank.

    Raises:
        ValueError: rows in whole numbers; shapes that do not fit; a number outside [0, 1].

    Related: :func:`losses.draw_mixup` draws `order` and `mixing`, :func:`losses.mixup_cross_entropy` is the loss.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412

    >>> mixup(torch.tensor([[0.0], [1.0]]), torch.tensor([1, 0]), 0.75)
    tensor([[0.2500],
            [0.7500]])
    """
    if not rows.is_floating_point() or rows.ndim == 0:
        raise ValueError(f"`rows` must be (n, ...) in floating point, got {rows.dtype} of shape {tuple(rows.shape)}.")
    if order.dtype == torch.bool or order.is_floating_point():
        raise ValueError(f"`order` must be whole numbers (row numbers), got dtype {order.dtype}.")
    if order.shape != rows.shape[:1]:
        raise ValueError(f"`order` must hold one row number a row, shape ({rows.shape[0]},), got {tuple(order.shape)}.")
    x = at_least_float32(rows)
    share = per_row(mixing, x)
    return (share * x + (1 - share) * x[order]).to(rows.dtype)


def draw_mixup(
    n: int, *, alpha: float, generator: torch.Generator, device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    r"""A random partner and a random mixing number for each of n rows.

    .. math:: \pi \text{ a uniform permutation}, \qquad \lambda_i \sim \mathrm{Beta}(\alpha, \alpha)

    Args:
        n: rows.
        alpha: :math:`\alpha > 0`; the paper uses 0.1 to 0.4 on ImageNet and 1 on CIFAR.
        generator: the source of all randomness; the numbers are drawn on its device.
        device: where the numbers are moved to.

    Returns:
        `order`, ``(n,)`` row numbers, and `mixing`, ``(n,)`` in float32, for :func:`losses.mixup`. The authors' code
        takes one mixing number for the whole batch: ``mixing[0]``. MixMatch keeps each row the larger share:
        ``torch.maximum(mixing, 1 - mixing)``. Per rank: give each rank a generator of its own.

    Raises:
        ValueError: alpha that is not positive; n below one.

    The Beta variable is the quotient of two Gamma variables, taken in the log domain: no alpha gives 0 / 0.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412

    >>> order, mixing = draw_mixup(3, alpha=0.2, generator=torch.Generator().manual_seed(0))
    >>> order.sort().values, mixing.shape
    (tensor([0, 1, 2]), torch.Size([3]))
    """
    check(POSITIVE, alpha=alpha)
    check(COUNT, n=n)
    g = generator
    order = torch.randperm(n, generator=g, device=g.device)
    shape = torch.full((2, n), alpha + 1, dtype=torch.float64, device=g.device)
    gamma = torch._standard_gamma(shape, generator=g)  # what torch.distributions draws, with a generator
    uniform = 1 - torch.rand(2, n, generator=g, dtype=torch.float64, device=g.device)  # (0, 1]
    log_gamma = gamma.log() + uniform.log() / alpha  # G(alpha) = G(alpha + 1) U^(1 / alpha)
    mixing = torch.sigmoid(log_gamma[0] - log_gamma[1])
    return order.to(device), mixing.float().to(device)


def mixup_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    partner_labels: Tensor,
    mixing: float | Tensor,
    *,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of mixed rows with the mixture of their two labels.

    .. math:: \frac1n \sum_i \lambda_i\, (-\log p_{i y_i}) + (1 - \lambda_i)\, (-\log p_{i y_{\pi(i)}})

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``, the network's output on :func:`losses.mixup`'s rows.
        labels: ``(n,)`` or ``(n, ...)`` class indices.
        partner_labels: the same of the partners, ``labels[order]``.
        mixing: :math:`\lambda`, one number, or ``(n,)``, one a row.
        weights: ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything.

    Returns:
        A scalar. Per rank: a weighted mean over rows and places. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels that are not whole numbers; a number outside [0, 1].

    Logits must be finite. The same value as :func:`losses.weighted_cross_entropy` with ``mixup(one_hot, order,
    mixing)`` as soft labels; the cross-entropy is linear in the label.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412

    >>> mixup_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([1, 0]), 0.3)
    tensor(0.6931)
    """
    check_dense_logits("logits", logits)
    places = (logits.shape[0], *logits.shape[2:])
    check_labels(labels, places)
    check_labels(partner_labels, places, name="partner_labels")
    log_p = at_least_float32(logits).log_softmax(1)
    own, partner = (-at_label(log_p, counted(y, weights)) for y in (labels, partner_labels))
    share = per_row(mixing, own)
    return mean(share * own + (1 - share) * partner, weights)


def per_row(mixing: float | Tensor, rows: Tensor) -> float | Tensor:
    """`mixing`, one number or one a row, in a shape and precision that multiplies ``(n, ...)`` `rows`."""
    if not isinstance(mixing, Tensor):
        check(SHARE, mixing=mixing)
        return mixing
    if mixing.ndim == 0:
        return mixing.to(rows.dtype)
    if mixing.shape != rows.shape[:1]:
        raise ValueError(f"`mixing` must be one number or ({rows.shape[0]},), one a row, got {tuple(mixing.shape)}.")
    return mixing.view(-1, *[1] * (rows.ndim - 1)).to(rows.dtype)
