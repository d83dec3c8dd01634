"""Uniformity: how evenly rows are spread over the sphere."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features
from losses.contrastive.pairs import unit_rows, without_self
from losses.distances import squared_distances
from losses.options import POSITIVE, check


def uniformity(features: Tensor, *, scale: float = 2.0, global_batch: bool = True) -> Tensor:
    r"""Logarithm of the mean Gaussian kernel between different rows, each of length one.

    .. math::
        \log \frac{1}{n (n - 1)} \sum_{i \ne j}
        \exp\Bigl( -t\, \Bigl\lVert \frac{x_i}{\lVert x_i \rVert} - \frac{x_j}{\lVert x_j \rVert} \Bigr\rVert^2 \Bigr)

    Args:
        features: ``(n, d)`` features :math:`x`; they are brought to length one here.
        scale: :math:`t`, 2 as in the paper's experiments.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar in [-4 t, 0], up to rounding. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: features that are not ``(n, d)``, fewer than two rows, or a scale that is not positive.

    Equal rows have the value 0. A row of zeros stays zero and gets no gradient. Everything stays a logarithm: no
    underflow at a large scale.

    Related: :func:`losses.alignment`; the paper takes the mean of two views' uniformities.

    Wang and Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere, 2020, section 4.1, https://arxiv.org/abs/2005.10242

    >>> uniformity(torch.eye(3)).round(decimals=3)  # all squared distances are 2
    tensor(-4.)
    """
    check_features("features", features)
    check(POSITIVE, scale=scale)
    x = at_least_float32(features)
    if global_batch:
        x = gather(x)
    n = x.shape[0]
    if n < 2:
        raise ValueError(f"`features` must have at least 2 rows to compare, got {n}; give larger batches.")
    log_k = without_self(-scale * squared_distances(unit_rows(x)))
    pairs = x.new_full((), n * (n - 1))  # `math.log` would hold one size in an exported loss
    return log_k.flatten().logsumexp(0) - pairs.log()
