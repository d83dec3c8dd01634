"""Whitening of features within the classes of other data."""

from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt.fewshot._centroid import means
from adapt.fewshot._evaluate import labelled_rows
from adapt.fewshot.method import unit_rows
from adapt.fewshot.pool import finite_rows
from adapt.fewshot.solver import principal
from losses.checks import check_real, one_hot
from losses.options import ABOVE_0, check


class Whitening(nn.Module):
    """The module of :func:`whitening`: ``(n, d)`` features to ``(n, d)`` float32 features."""

    centre: Tensor
    axes: Tensor
    lengths: Tensor
    length: Tensor

    def __init__(self, centre: Tensor, axes: Tensor, lengths: Tensor, length: Tensor):
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("axes", axes)
        self.register_buffer("lengths", lengths)  # of the axes in the result, less the length of all other directions
        self.register_buffer("length", length)

    def forward(self, features: Tensor) -> Tensor:
        check_real("features", features)
        if features.ndim != 2 or features.shape[1] != len(self.centre):
            raise ValueError(
                f"`features` must be (n, {len(self.centre)}), as the features that the whitening was made of, got "
                f"{tuple(features.shape)}: take features of the same encoder."
            )
        z = unit_rows(features.double()).to(self.centre) - self.centre  # squares of 1e20 fit in float64
        return self.length * z + (z @ self.axes * self.lengths) @ self.axes.mT


def whitening(features: TensorDataset, *, shrinkage: float = 0.5) -> Whitening:
    r"""Return a linear layer that makes the differences within a class equally large in all directions.

    .. math:: x \mapsto \Sigma^{-1/2} (x - m), \qquad \Sigma = (1 - \gamma) S + \gamma \frac{\mathrm{tr}\, S}{d} I,
        \qquad S = \frac1n \sum_i (x_i - c_{y_i})(x_i - c_{y_i})^\top

    What differs between two photographs of one person, such as the light, then counts less. S comes from other classes
    than the classes to tell apart later: the people or the characters that an encoder was trained on.

    ``encoders.wrap(nn.Sequential(encoder, fewshot.whitening(engine.features(encoder, train))), dim=encoder.dim)``

    Args:
        features: ``(n, d)`` features x with ``(n,)`` classes y, as :func:`adapt.engine.features` gives; a row with the
            class -1 is left out. The rows get unit length first, here and in the layer.
        shrinkage: :math:`\gamma` in (0, 1], 0.5 as in :func:`lda`.

    Returns:
        A module in closed form, with m, the mean of x, and S in buffers: nothing learns. The squared distance after the
        layer is the distance of Mahalanobis: :func:`centroid` then equals :func:`lda` with the ``covariance`` S. The
        cosine of :func:`verify` and of ``centroid(metric="cosine")`` is another classifier.

    In float64 inside. The result stays on the device of the features. Every rank computes for itself.

    Raises:
        ValueError: a shrinkage outside of (0, 1]; features that are not ``(n, d)`` finite numbers with classes; classes
            of one row, or of equal rows alone.

    Hatch, Kajarekar and Stolcke, Within-Class Covariance Normalization for SVM-based Speaker Recognition, 2006,
    https://doi.org/10.21437/Interspeech.2006-183

    >>> x, y = torch.tensor([[3.0, 4.0], [4.0, 3.0], [-3.0, 4.0], [-4.0, 3.0]]), torch.tensor([0, 0, 1, 1])
    >>> z = whitening(TensorDataset(x, y))(x)
    >>> (z[0] - z[1]).norm(), (z[0] - z[3]).norm()
    (tensor(2.8284), tensor(14.1421))
    """
    check(ABOVE_0, shrinkage=shrinkage)
    rows, y = labelled_rows(features)
    x, _, _ = finite_rows("features", rows[(y >= 0).to(rows.device)], "d")
    x = unit_rows(x.double())
    classes = y[y >= 0].unique(return_inverse=True)[1].to(x.device)
    Y = one_hot(classes, int(classes.max()) + 1, x)
    Z, axes = principal(x - Y @ means(x, Y))
    values = Z.square().mean(0)
    level = shrinkage * values.sum() / x.shape[1]
    if not level > 1e-20:  # of rows of length 1
        raise ValueError(
            "`features` must have a class with two rows that differ: the whitening learns from differences within a "
            "class."
        )
    length = level.rsqrt()
    lengths = (level + (1 - shrinkage) * values).rsqrt() - length
    return Whitening(*(part.float() for part in (x.mean(0), axes, lengths, length)))
