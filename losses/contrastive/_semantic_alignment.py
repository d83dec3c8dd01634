"""Classification and contrastive semantic alignment (CCSA): the contrastive part."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_labels
from losses.contrastive.pairs import square_root
from losses.distances import squared_distances
from losses.options import POSITIVE, check


def semantic_alignment(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_labels: Tensor,
    *,
    margin: float = 1.0,
    global_batch: bool = True,
) -> Tensor:
    r"""Pull source and target rows of one class together, push rows of different classes a margin apart.

    .. math::
        \frac{1}{nm} \sum_{i,j} \tfrac12 \begin{cases}
            \lVert x_i - y_j \rVert^2 & \text{same class} \\
            \max(0,\; m - \lVert x_i - y_j \rVert)^2 & \text{different classes}
        \end{cases}

    over the pairs of a source row and a target row.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        source_labels: ``(n,)`` class indices.
        target_labels: ``(m,)`` class indices of the few labelled target rows.
        margin: :math:`m`, 1 as in the authors' code.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes or labels that do not fit, or a margin that is not positive.

    A class absent from one domain has no pairs to pull and is still pushed. Rows of different classes at one point
    have zero gradient: no direction leads apart. The paper sums over the pairs; the mean keeps the ratio of the two
    terms, and does not grow with the batch. The authors' code does not halve, and draws for each pair of one class at
    most three of different classes.

    Related: :func:`losses.triplet` within one set of rows.

    Motiian et al., Unified Deep Supervised Domain Adaptation and Generalization, 2017, section 4,
    https://arxiv.org/abs/1709.10190; https://github.com/samotiian/CCSA

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> semantic_alignment(x, x, torch.tensor([0, 1]), torch.tensor([1, 1]))
    tensor(0.6250)
    """
    check_clouds(source, target)
    check_labels(source_labels, source.shape[:1], name="source_labels")
    check_labels(target_labels, target.shape[:1], name="target_labels")
    check(POSITIVE, margin=margin)
    x, y, a, b = at_least_float32(source), at_least_float32(target), source_labels, target_labels
    if global_batch:
        x, y, a, b = gather(x), gather(y), gather(a), gather(b)
    D = squared_distances(x, y)
    pulled, pushed = D, (margin - square_root(D)).relu().square()
    return 0.5 * pulled.where(a[:, None] == b[None, :], pushed).mean()
