"""Contrastive domain discrepancy: classes together across domains, different classes apart."""

from collections.abc import Sequence

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_labels, full_precision
from losses.discrepancy._local_mmd import class_weights, gaussian_kernels
from losses.discrepancy.kernels import Bandwidth
from losses.options import COUNT, check


def contrastive_domain_discrepancy(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_labels: Tensor,
    *,
    classes: int,
    scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: Bandwidth = "mean",
    global_batch: bool = True,
) -> Tensor:
    r"""Mean squared MMD between the domains' rows of one class, less that between rows of different classes (CDD).

    .. math::
        \frac{1}{M} \sum_{c} D_{cc} - \frac{1}{M (M - 1)} \sum_{c} \sum_{c' \neq c} D_{cc'}, \qquad
        D_{cc'} = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y)

    with :math:`x, x'` the source rows of class c, :math:`y, y'` the target rows of class c', a row with itself
    included, and k the kernel of :func:`losses.mmd`. Both rows of every pair are of the class that is asked for. The M
    classes are those with a row in both domains, found on the device; the others are left out. One class leaves the
    first term, none leaves 0.

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        source_labels: ``(n,)`` class indices.
        target_labels: ``(m,)`` class indices: pseudo-labels, in the paper from clustering the target. A row whose label
            is no class (such as -1: left out as ambiguous) enters the default bandwidth only.
        classes: their number.
        scales: the kernel's, as in :func:`losses.mmd`.
        bandwidth: the kernel's, as in :func:`losses.mmd`, from all rows whatever their class, without gradient.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar; negative where classes are further apart than domains. Sees the global batch; gradient accumulation
        does not enlarge that batch. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels that are no whole numbers; fewer than one class; a bandwidth or a
            scale that is not positive.

    Definitions differ: CAN's code sums the five kernels where the mean is taken here, takes a bandwidth for each pair
    of classes, and needs every class in both domains (its sampler sees to that). skada's masks the kernels within a
    domain on one axis only, so that pairs of rows of different classes enter them; divides the sum between the domains
    by the squared number of pairs; sums half of the pairs of classes and divides by all; and its kernel takes the
    distance, not its square.

    Related: :func:`losses.local_mmd`, the first term with soft target labels.

    Kang et al., Contrastive Adaptation Network for Unsupervised Domain Adaptation, 2019, eq. 3-5,
    https://arxiv.org/abs/1901.00976

    >>> x, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    >>> options = {"classes": 2, "bandwidth": 1.0, "scales": [1.0]}
    >>> contrastive_domain_discrepancy(x, x, labels, labels, **options)            # 0 - 2 (1 - exp(-1))
    tensor(-1.2642)
    """
    check_clouds(source, target)
    check_labels(source_labels, (source.shape[0],), name="source_labels")
    check_labels(target_labels, (target.shape[0],), name="target_labels")
    check(COUNT, classes=classes)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y, source_labels, target_labels = gather(x), gather(y), gather(source_labels), gather(target_labels)
    w, in_source = class_weights(source_labels, classes, x)
    v, in_target = class_weights(target_labels, classes, y)
    Kxx, Kyy, Kxy = gaussian_kernels(x, y, scales, bandwidth)
    with full_precision(x):
        within_x, within_y = (Kxx @ w * w).sum(0), (Kyy @ v * v).sum(0)
        D = within_x[:, None] + within_y[None, :] - 2 * w.T @ Kxy @ v
    here = (in_source & in_target).to(D.dtype)
    M, same = here.sum(), (D.diagonal() * here).sum()
    different = (D * here[:, None] * here[None, :]).sum() - same
    return same / M.clamp_min(1) - different / (M * (M - 1)).clamp_min(1)
