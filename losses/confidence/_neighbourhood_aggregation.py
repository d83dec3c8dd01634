"""Pseudo-labels from the neighbours in feature space (ATDOC)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_logits, full_precision
from losses.confidence.memory import write
from losses.options import COUNT, POSITIVE, check
from losses.reduce import mean


def neighbourhood_aggregation(
    features: Tensor,
    logits: Tensor,
    bank_features: Tensor,
    bank_probabilities: Tensor,
    index: Tensor | None = None,
    *,
    neighbours: int = 5,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy with the class that the nearest neighbours in a bank predict, weighted by their confidence.

    .. math::
        \frac{\sum_i \hat q_{i \hat c_i} \bigl(-\log p_{i \hat c_i}\bigr)}{\sum_i \hat q_{i \hat c_i}}, \qquad
        \hat q_i = \frac1k \sum_{j \in N_k(i)} q_j, \quad \hat c_i = \arg\max_c \hat q_{ic}, \quad
        p = \mathrm{softmax}(z)

    with :math:`N_k(i)` the k rows of the bank that have the largest cosine with the features of row i, itself left out.

    Args:
        features: ``(n, d)`` of the batch; no gradient goes there.
        logits: ``(n, classes)``, :math:`z`.
        bank_features: ``(N, d)``.
        bank_probabilities: ``(N, classes)``, :math:`q_j`, sharpened: see :class:`losses.NeighbourhoodBank`. A row of
            zeros is an empty place and nobody's neighbour.
        index: ``(n,)``, the place in the bank of each row of the batch. None where the batch is not in the bank.
        neighbours: :math:`k`, 5 as in the authors' code.
        weights: ``(n,)``, multiplied with the confidence; booleans are a mask.

    Returns:
        A scalar. Per rank: a weighted mean over rows. All weights zero (an empty bank) give 0. float32 inside, whatever
        comes in.

    Raises:
        ValueError: shapes that do not fit, fewer places in the bank than neighbours.

    The paper divides by n; the authors' code by the sum of the confidences, as here.

    With fewer than k other rows in the bank the mean is over those. Features of length zero have cosine 0 with
    everything.

    Related: :func:`losses.pseudo_label` takes the row's own prediction.

    Liang et al., Domain Adaptation with Auxiliary Target Domain-Oriented Classifier, 2021,
    https://arxiv.org/abs/2007.04171

    >>> bank = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
    >>> q = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    >>> neighbourhood_aggregation(bank[:1], torch.zeros(1, 2), bank, q, torch.tensor([0]), neighbours=1)
    tensor(0.6931)
    """
    check_features("features", features)
    check_logits("logits", logits)
    (n, d), classes, size = features.shape, logits.shape[1], bank_features.shape[0]
    if logits.shape[0] != n or bank_features.shape != (size, d) or bank_probabilities.shape != (size, classes):
        raise ValueError(
            f"`logits` must be (n, classes), `bank_features` (N, d) and `bank_probabilities` (N, classes) with n = "
            f"{n} and d = {d}, got {tuple(logits.shape)}, {tuple(bank_features.shape)} and "
            f"{tuple(bank_probabilities.shape)}."
        )
    if index is not None and index.shape != (n,):
        raise ValueError(f"`index` must hold one place of the bank for each row, ({n},), got {tuple(index.shape)}.")
    check(COUNT, neighbours=neighbours)
    if neighbours > size:
        raise ValueError(f"`neighbours` must be between 1 and the size of the bank, {size}, got {neighbours}.")
    q = neighbour_probabilities(features, bank_features, bank_probabilities, index, neighbours)
    confidence, label = q.max(1)
    loss = -at_least_float32(logits).log_softmax(1).gather(1, label[:, None]).squeeze(1)
    return mean(loss, confidence if weights is None else confidence * weights)


@torch.no_grad()
def neighbour_probabilities(
    features: Tensor, bank_features: Tensor, bank_probabilities: Tensor, index: Tensor | None, neighbours: int
) -> Tensor:
    """``(n, classes)`` mean of the bank's rows over the neighbours of each row, itself left out."""
    x, bank, q = (at_least_float32(v) for v in (features, bank_features, bank_probabilities))
    with full_precision(x):
        cosine = x @ F.normalize(bank, dim=1).to(x.dtype).T  # times the length of x, which does not change the order
    out = (q == 0).all(1)[None]
    if index is not None:
        out = out | (index[:, None] == torch.arange(bank.shape[0], device=index.device))
    nearest = cosine.masked_fill(out, -torch.inf).topk(neighbours, dim=1)
    there = torch.where(nearest.values == -torch.inf, 0, 1 + 0 * nearest.values).to(q.dtype)  # NaN stays NaN
    return (there[..., None] * q[nearest.indices]).sum(1) / there.sum(1, keepdim=True).clamp_min(1)


class NeighbourhoodBank(nn.Module):
    r"""Features and sharpened predictions of a dataset, for :func:`losses.neighbourhood_aggregation`.

    .. math::
        q_{ic} = \frac{p_{ic}^{1/T}}{\sum_j p_{jc}^{1/T}}\ \text{(balanced)} \qquad \text{or} \qquad
        q_{ic} = \frac{p_{ic}^{1/T}}{\sum_{c'} p_{ic'}^{1/T}}, \qquad p = \mathrm{softmax}(z)

    where j runs over the rows of the batch that is written.

    Args:
        size: :math:`N`, the number of examples of the dataset.
        dim: :math:`d` of the features.
        classes: how many there are.
        temperature: :math:`T`, 0.5 as in the authors' code.
        balanced: divide by the sum over the rows of the batch, as the authors' code does: a class that the batch
            predicts often counts less. The values then depend on the batch and its size: write batches of one size.
            One row alone has 1 for every class. False divides by the sum over the classes and does not depend on the
            batch.

    Buffers, in the state_dict: ``features`` ``(N, d)`` and ``probabilities`` ``(N, classes)``, zero where nothing was
    written. The rows of all ranks are gathered before they are written, so that every rank holds the same bank. A row
    that is written replaces the old one. The authors write after the step of the optimizer, from a forward pass in eval
    mode, and begin with random features and equal probabilities instead of an empty bank.

    Liang et al., 2021, https://arxiv.org/abs/2007.04171

    >>> bank = NeighbourhoodBank(3, 2, 2, balanced=False)
    >>> bank.update(torch.tensor([2]), torch.ones(1, 2), torch.tensor([[1.0, 0.0]]))
    >>> bank.probabilities[2]
    tensor([0.8808, 0.1192])
    """

    features: Tensor
    probabilities: Tensor

    def __init__(self, size: int, dim: int, classes: int, *, temperature: float = 0.5, balanced: bool = True) -> None:
        super().__init__()
        check(POSITIVE, temperature=temperature)
        check(COUNT, size=size, dim=dim, classes=classes)
        self.temperature, self.balanced = temperature, balanced
        self.register_buffer("features", torch.zeros(size, dim))
        self.register_buffer("probabilities", torch.zeros(size, classes))

    @torch.no_grad()
    def update(self, index: Tensor, features: Tensor, logits: Tensor) -> None:
        """Write rows of all ranks at the places `index`, ``(n,)``; where a place comes twice its last row is written.

        A place must lie in [0, size): a negative one counts from the end, which is not checked, as it would wait for
        the device.
        """
        n, d, classes = index.shape[0], self.features.shape[1], self.probabilities.shape[1]
        if index.shape != (n,) or features.shape != (n, d) or logits.shape != (n, classes):
            raise ValueError(
                f"`index`, `features` and `logits` must be (n,), (n, {d}) and (n, {classes}), "
                f"got {tuple(index.shape)}, {tuple(features.shape)} and {tuple(logits.shape)}."
            )
        index, features, logits = gather(index), gather(features), gather(at_least_float32(logits))
        sharpened = logits.log_softmax(1) / self.temperature
        write(self.features, index, features)
        write(self.probabilities, index, sharpened.softmax(0 if self.balanced else 1))
