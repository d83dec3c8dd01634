"""Neighbourhood components analysis (NCA)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_labels
from losses.contrastive.pairs import mean_where, positives_and_negatives, without_self
from losses.distances import squared_distances
from losses.options import POSITIVE, check


def neighbourhood_components(
    features: Tensor, labels: Tensor, *, temperature: float = 1.0, global_batch: bool = True
) -> Tensor:
    r"""Minus the mean log-probability that a soft nearest neighbour is of the right class.

    .. math::
        \frac{1}{|I|} \sum_{i \in I} -\log p_i, \qquad p_i = \sum_{j \ne i,\ y_j = y_i}
        \frac{\exp(-\lVert z_i - z_j \rVert^2 / T)}{\sum_{k \ne i} \exp(-\lVert z_i - z_k \rVert^2 / T)}

    with :math:`I` the rows that are not alone in their class.

    Args:
        features: ``(n, d)``, as they are: not normalised.
        labels: ``(n,)`` class indices.
        temperature: :math:`T`, 1 as in the paper, which leaves the scale to the features.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: features that are not ``(n, d)``, labels that do not fit, or a temperature that is not positive.

    Where all rows are alone the value is 0. The paper maximises the sum of :math:`p_i` first, and as its second
    objective the sum of logarithms, which this is. Everything stays a logarithm: a row far from its class keeps its
    gradient. pytorch-metric-learning has 1 / T (`softmax_scale`), normalises the features unless told otherwise,
    and leaves out the rows whose :math:`p_i` underflows, which are the worst ones: NaN where all do.

    Goldberger et al., Neighbourhood Components Analysis, 2004,
    https://papers.nips.cc/paper/2566-neighbourhood-components-analysis

    >>> neighbourhood_components(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
    tensor(0.6931)
    """
    check_features("features", features)
    check_labels(labels, features.shape[:1])
    check(POSITIVE, temperature=temperature)
    x, y = at_least_float32(features), labels
    if global_batch:
        x, y = gather(x), gather(y)
    positive, _ = positives_and_negatives(y)
    log_p = without_self(-squared_distances(x) / temperature).log_softmax(1)
    right = log_p.masked_fill(~positive, torch.finfo(log_p.dtype).min).logsumexp(1)
    return mean_where(-right, positive.any(1))
