"""The supervised contrastive loss (SupCon)."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_labels
from losses.contrastive.pairs import mean_where, positives_and_negatives, similarities, unit_rows, without_self
from losses.options import POSITIVE, check


def supervised_contrastive(
    features: Tensor, labels: Tensor, *, temperature: float = 0.1, global_batch: bool = True
) -> Tensor:
    r"""Cross-entropy of finding the rows of one's own class among all other rows, by cosine.

    .. math::
        \frac{1}{|I|} \sum_{i \in I} \frac{-1}{|P(i)|} \sum_{p \in P(i)}
        \log \frac{\exp(\cos(z_i, z_p) / T)}{\sum_{a \ne i} \exp(\cos(z_i, z_a) / T)}

    with :math:`P(i)` the other rows of i's class and :math:`I` the rows that have any. It is the paper's
    :math:`L_{out}`, the mean outside the logarithm.

    Args:
        features: ``(n, d)``. Two views of a batch go in as ``torch.cat([first, second])`` with ``labels.repeat(2)``.
        labels: ``(n,)`` class indices.
        temperature: :math:`T`, 0.1 as in the paper's experiments; the authors' code has 0.07.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: features that are not ``(n, d)``, labels that do not fit, or a temperature that is not positive.

    A row alone in its class has no positive and is left out of the mean; where all are alone the value is 0. A row of
    zeros has cosine 0 with everything, and no gradient. The authors' code multiplies by
    temperature / 0.07, and its first versions divide by zero where a row is alone.
    pytorch-metric-learning leaves out of its mean the rows whose loss is exactly zero too, and is zero where there is
    one class only.

    Related: :func:`losses.nt_xent` is this with a class for each row; :func:`losses.neighbourhood_components` takes
    the positives' sum inside the logarithm, by distance.

    Khosla et al., Supervised Contrastive Learning, 2020, equation 2, https://arxiv.org/abs/2004.11362

    >>> supervised_contrastive(torch.eye(3), torch.tensor([0, 0, 1]))
    tensor(0.6931)
    """
    check_features("features", features)
    check_labels(labels, features.shape[:1])
    check(POSITIVE, temperature=temperature)
    x, y = at_least_float32(features), labels
    if global_batch:
        x, y = gather(x), gather(y)
    z = unit_rows(x)
    positive, _ = positives_and_negatives(y)
    log_p = without_self(similarities(z, z) / temperature).log_softmax(1)
    P = positive.sum(1)
    return mean_where(-log_p.masked_fill(~positive, 0).sum(1) / P.clamp_min(1), P > 0)
