"""What CDAN's discriminator looks at: features and predictions together."""

import math

import torch
from torch import Tensor, nn

from losses.checks import at_least_float32, check_features, check_logits, full_precision
from losses.options import COUNT, check


def multilinear_map(features: Tensor, logits: Tensor, *, detach: bool = True) -> Tensor:
    r"""Outer product of each row's features and class probabilities, the input of a conditional discriminator (CDAN).

    .. math:: T_\otimes(f, g) = g \otimes f, \qquad g = \mathrm{softmax}(z)

    A discriminator on it compares joint distributions of features and classes; one on the features alone sees only
    their marginals. The loss is then :func:`losses.domain_adversarial`::

        h = losses.reverse(losses.multilinear_map(features, logits), strength)

    Args:
        features: ``(n, d)``, :math:`f`.
        logits: ``(n, classes)``, :math:`z`. The softmax is taken here: raw logits in the product are a known mistake.
        detach: no gradient through the probabilities, as in the authors' code and tllib. ``False`` lets it through.

    Returns:
        ``(n, classes * d)``: the features scaled by the first class's probability, then by the second's, and so on
        (tllib's order). A row's entries sum to the sum of its features. Per rank: row by row. float32 inside, whatever
        comes in.

    Raises:
        ValueError: shapes that do not fit.

    AdaTime and skada put raw logits in the place of the probabilities.

    Related: :class:`losses.RandomMultilinearMap` where classes * d is too large (the paper: above 4096),
    :func:`losses.entropy_weights`.

    Long et al., Conditional Adversarial Domain Adaptation, 2018, https://arxiv.org/abs/1705.10667

    >>> multilinear_map(torch.tensor([[2.0, 6.0]]), torch.zeros(1, 2))
    tensor([[1., 3., 1., 3.]])
    """
    f, g = _features_and_probabilities(features, logits, detach)
    together = torch.promote_types(f.dtype, g.dtype)
    with full_precision(f):
        return torch.bmm(g[:, :, None].to(together), f[:, None, :].to(together)).flatten(1)


class RandomMultilinearMap(nn.Module):
    r"""CDAN's multilinear map in fewer dimensions, by two fixed random matrices.

    .. math:: T_\odot(f, g) = \frac1{\sqrt D}\, (R_f f) \odot (R_g g), \qquad g = \mathrm{softmax}(z)

    with independent standard normal entries: in expectation over the matrices, inner products are those of the outer
    product, :math:`\langle T(f, g), T(f', g') \rangle = \langle f, f' \rangle \langle g, g' \rangle`.

    Args:
        feature_dim: d.
        classes: number of classes.
        output_dim: :math:`D`; 1024, as in the authors' code.
        generator: from which the matrices are drawn, once, here. Ranks need equal matrices: give equal seeds.
        detach: no gradient through the probabilities, as in :func:`losses.multilinear_map`.

    Called with ``(n, d)`` features and ``(n, classes)`` logits; returns ``(n, output_dim)``, at least float32.

    The matrices are buffers: they are saved, loaded and moved with the module, and get no gradient. (tllib keeps them
    as plain tensors, so a resumed run has others; skada draws them in every forward after setting the global seed.)

    Raises:
        ValueError: sizes below one, inputs of other sizes.

    Long et al., Conditional Adversarial Domain Adaptation, 2018, https://arxiv.org/abs/1705.10667

    >>> conditioned = RandomMultilinearMap(256, 65, generator=torch.Generator().manual_seed(0))
    >>> conditioned(torch.ones(3, 256), torch.zeros(3, 65)).shape
    torch.Size([3, 1024])
    """

    feature_matrix: Tensor
    class_matrix: Tensor

    def __init__(
        self,
        feature_dim: int,
        classes: int,
        output_dim: int = 1024,
        *,
        generator: torch.Generator,
        detach: bool = True,
    ) -> None:
        super().__init__()
        check(COUNT, feature_dim=feature_dim, classes=classes, output_dim=output_dim)
        self.detach = detach
        matrix = torch.randn(feature_dim + classes, output_dim, generator=generator, device=generator.device).cpu()
        self.register_buffer("feature_matrix", matrix[:feature_dim].clone())
        self.register_buffer("class_matrix", matrix[feature_dim:].clone())

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        f, g = _features_and_probabilities(features, logits, self.detach)
        (d, D), (C, _) = self.feature_matrix.shape, self.class_matrix.shape
        if (f.shape[1], g.shape[1]) != (d, C):
            raise ValueError(
                f"`features` and `logits` must be (n, {d}) and (n, {C}), got {tuple(f.shape)} and {tuple(g.shape)}."
            )
        with full_precision(f):
            return (f @ self.feature_matrix.to(f.dtype)) * (g @ self.class_matrix.to(g.dtype)) / math.sqrt(D)


def _features_and_probabilities(features: Tensor, logits: Tensor, detach: bool) -> tuple[Tensor, Tensor]:
    check_features("features", features)
    check_logits("logits", logits)
    if features.shape[0] != logits.shape[0]:
        raise ValueError(
            f"`features` and `logits` must have the same number of rows, got {features.shape[0]} and {logits.shape[0]}."
        )
    g = at_least_float32(logits).softmax(1)
    return at_least_float32(features), g.detach() if detach else g
