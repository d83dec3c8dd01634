"""InfoNCE, the contrastive loss of CPC, and its symmetric form in CLIP."""

import torch
from torch import Tensor

from losses._gather import first_row, gather
from losses.checks import at_least_float32, check_features, check_same_shape
from losses.contrastive.pairs import similarities, unit_rows
from losses.options import POSITIVE, check


def info_nce(
    queries: Tensor,
    keys: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.07,
    symmetric: bool = False,
    cosine: bool = True,
    global_batch: bool = True,
) -> Tensor:
    r"""Cross-entropy of finding each query's own key among the keys of all rows.

    .. math::
        \frac1n \sum_i -\log \frac{\exp(s(q_i, k_i) / T)}{\sum_j \exp(s(q_i, k_j) / T)}

    with :math:`s` the cosine or the inner product, and j over all keys and all `negatives`.

    Args:
        queries: ``(n, d)`` features :math:`q`.
        keys: ``(n, d)`` features :math:`k`; row i belongs to query i.
        negatives: ``(m, d)`` further keys that belong to no query, such as a bank; the same on every rank, not
            gathered.
        temperature: :math:`T`, 0.07 as in MoCo and as CLIP's start; a tensor may be learned and is not checked.
        symmetric: the mean of this and of finding each key's query among the queries, as in CLIP.
        cosine: compare by cosine; ``False`` takes the inner product of the features as they are.
        global_batch: the keys of all ranks are candidates.

    Returns:
        A scalar, not negative up to rounding. Sees the global batch; gradient accumulation does not enlarge that batch.
        Each rank has the mean over its own queries: the mean over the ranks is the global value, at a share of the
        memory. float32 inside, whatever comes in.

    Raises:
        ValueError: queries and keys that differ in shape; negatives of another feature size, or with
            ``symmetric=True``, where they have no counterpart; a temperature that is not positive.

    One row without negatives has the value 0. A row of zeros has cosine 0 with everything, and no gradient.
    MoCo's loss has only the bank in the denominator beside the own key; here the batch's other keys are in it too.
    The gradient reaches keys and negatives: detach what a slow encoder made.

    Related: :func:`losses.nt_xent` draws its candidates from both views; :func:`losses.supervised_contrastive` has
    labels.

    van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, equation 4,
    https://arxiv.org/abs/1807.03748;
    Radford et al. (CLIP), 2021, figure 3, https://arxiv.org/abs/2103.00020

    >>> info_nce(torch.eye(2), torch.eye(2), temperature=1.0)
    tensor(0.3133)
    """
    check_features("queries", queries)
    check_same_shape(queries=queries, keys=keys)
    if not isinstance(temperature, Tensor):
        check(POSITIVE, temperature=temperature)
    q, k = at_least_float32(queries), at_least_float32(keys)
    bank = None
    if negatives is not None:
        check_features("negatives", negatives)
        if symmetric or negatives.shape[1] != q.shape[1]:
            raise ValueError(
                f"`negatives` must have the feature size {q.shape[1]} and symmetric=False (they are keys without a "
                f"query), got {negatives.shape[1]} and symmetric={symmetric}."
            )
        bank = negatives.to(k.dtype)
    if cosine:
        q, k = unit_rows(q), unit_rows(k)
        bank = None if bank is None else unit_rows(bank)
    found = _own_among_all(q, k, bank, temperature, global_batch)
    return (found + _own_among_all(k, q, None, temperature, global_batch)) / 2 if symmetric else found


def _own_among_all(q: Tensor, k: Tensor, bank: Tensor | None, T: float | Tensor, global_batch: bool) -> Tensor:
    candidates = gather(k) if global_batch else k
    if bank is not None:
        candidates = torch.cat([candidates, bank])
    S = similarities(q, candidates) / T  # this rank's queries only
    return (S.logsumexp(1) - S.diagonal(first_row(q.shape[0]) if global_batch else 0)).mean()
