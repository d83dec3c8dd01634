"""Local maximum mean discrepancy: class by class."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_labels, check_logits, full_precision, one_hot
from losses.discrepancy.kernels import Bandwidth, bandwidth_of, check_bandwidth, check_scales, matrix


def local_mmd(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_logits: Tensor,
    *,
    scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: Bandwidth = "mean",
    present: Literal["source", "both"] = "source",
    global_batch: bool = True,
) -> Tensor:
    r"""Mean over classes of the squared MMD between a class's source rows and its softly assigned target rows (LMMD).

    .. math::
        \frac{1}{|P|} \sum_{c \in P} \Bigl\lVert \sum_i w_{ic}\, \phi(x_i) - \sum_j v_{jc}\, \phi(y_j) \Bigr\rVert^2,
        \qquad w_{ic} = \frac{1[l_i = c]}{\sum_{i'} 1[l_{i'} = c]}, \quad v_{jc} = \frac{p_{jc}}{\sum_{j'} p_{j'c}}

    with :math:`\langle \phi(a), \phi(b) \rangle` the kernel of :func:`losses.mmd`, :math:`p` the softmax of
    `target_logits`, and :math:`P` the classes `present`. All pairs count, a row with itself included (biased
    estimator).

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        source_labels: ``(n,)`` class indices :math:`l`. A row whose label is no class (such as -1) has no weight in
            any.
        target_logits: ``(m, classes)``. The weights :math:`v` carry no gradient, as in DSAN's code.
        scales: the kernel's, as in :func:`losses.mmd`.
        bandwidth: the kernel's, as in :func:`losses.mmd`, from all rows whatever their class, without gradient.
        present: the classes that are compared, found on the device. ``"source"``: those with a row in the source batch;
            every class has some probability in the target. ``"both"``: of these, the ones that are also the most
            probable class of a target row, as in DSAN's code. The others are left out, and the mean is over the rest;
            where none is left the value is 0.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels that are no whole numbers; a bandwidth or a scale that is not
            positive.

    :math:`v` is a softmax over rows of log-probabilities, so it is right for logits of any size, also where a class's
    probabilities are all too small to be added.

    Definitions differ: the paper divides by all classes. DSAN's code sums the five kernels where the mean is taken
    here, and its bandwidth leaves out the pairs of a row with itself; its value is 5 times this one at
    ``present="both"`` and a bandwidth larger by N / (N - 1), N = n + m.

    Related: :func:`losses.contrastive_domain_discrepancy`, with hard labels and a term that separates the classes.

    Zhu et al., Deep Subdomain Adaptation Network for Image Classification, 2021, https://arxiv.org/abs/2106.09388

    >>> x, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    >>> local_mmd(x, x, labels, torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(0.)
    >>> local_mmd(x, x, labels, torch.zeros(2, 2), bandwidth=1.0, scales=[1.0])    # (1 - exp(-1)) / 2
    tensor(0.3161)
    """
    check_clouds(source, target)
    check_labels(source_labels, (source.shape[0],), name="source_labels")
    check_logits("target_logits", target_logits)
    if target_logits.shape[0] != target.shape[0]:
        raise ValueError(
            f"`target_logits` must hold one row for each of `target`, {target.shape[0]}, got {target_logits.shape[0]}."
        )
    if present not in ("source", "both"):
        raise ValueError(f'`present` must be "source" or "both", got {present!r}.')
    x, y, z = at_least_float32(source), at_least_float32(target), at_least_float32(target_logits).detach()
    if global_batch:
        x, y, source_labels, z = gather(x), gather(y), gather(source_labels), gather(z)
    classes = z.shape[1]
    w, seen = class_weights(source_labels, classes, x)
    v = z.log_softmax(1).softmax(0).to(y.dtype)
    if present == "both":
        seen = seen & class_weights(z.argmax(1), classes, y)[1]
    w, v = w * seen, torch.where(seen, v, 0)  # a class that is masked by -inf has no v
    Kxx, Kyy, Kxy = gaussian_kernels(x, y, scales, bandwidth)
    with full_precision(x):
        within = (w @ w.T * Kxx).sum() + (v @ v.T * Kyy).sum()
        between = (w @ v.T * Kxy).sum()
    return (within - 2 * between) / seen.sum().clamp_min(1)


def class_weights(labels: Tensor, classes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """``(n, classes)`` weights that average the rows of a class, and ``(classes,)``: has it any row?"""
    members = one_hot(labels, classes, like)
    counts = members.sum(0)
    return members / counts.clamp_min(1), counts > 0


def gaussian_kernels(
    x: Tensor, y: Tensor, scales: Sequence[float], bandwidth: Bandwidth
) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel of :func:`losses.mmd` between the rows of `x`, between those of `y`, and between `x` and `y`."""
    check_scales(scales)
    check_bandwidth(bandwidth)
    h = bandwidth_of(x, y, bandwidth)
    pairs: tuple[tuple[Tensor, Tensor | None], ...] = ((x, None), (y, None), (x, y))
    Kxx, Kyy, Kxy = (matrix(a, b, "gaussian", scales, h) for a, b in pairs)
    return Kxx, Kyy, Kxy
