"""Triplet losses over all triplets of a batch, the hardest ones, or the semi-hard ones."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_labels
from losses.contrastive.pairs import mean_where, positives_and_negatives, square_root
from losses.distances import squared_distances
from losses.options import POSITIVE, check


def triplet(
    features: Tensor,
    labels: Tensor,
    *,
    margin: float | None = 0.2,
    mining: Literal["all", "hard", "semihard"] = "all",
    squared: bool = False,
    average: Literal["active", "all"] = "active",
    global_batch: bool = True,
) -> Tensor:
    r"""How much rows of another class are nearer than rows of one's own, up to a margin.

    .. math::
        \ell(a, p, n) = \max\bigl( 0,\; D_{ap} - D_{an} + m \bigr), \qquad D_{ij} = \lVert z_i - z_j \rVert,
        \qquad y_a = y_p \ne y_n,\ a \ne p

    Args:
        features: ``(n, d)``, as they are: not normalised.
        labels: ``(n,)`` class indices.
        margin: :math:`m`, 0.2 as in FaceNet, whose features have length one and whose distances are squared. ``None``
            is the soft margin of Hermans et al., :math:`\log(1 + \exp(D_{ap} - D_{an}))`.
        mining: ``"all"`` every triplet; ``"hard"`` for each anchor its furthest positive and its nearest negative;
            ``"semihard"`` the triplets with :math:`D_{ap} < D_{an} < D_{ap} + m`, chosen without gradient.
        squared: :math:`D` is the squared distance.
        average: ``"active"`` the mean over the triplets whose loss is not zero, which with a soft margin are all of
            them; ``"all"`` over every mined triplet.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in. ``"all"`` and ``"semihard"`` need memory for n x n x n numbers.

    Raises:
        ValueError: features that are not ``(n, d)``, labels that do not fit, a margin that is not positive, semi-hard
            triplets without a margin, or an unknown word.

    No triplet gives 0. Equal rows have distance 0, up to the
    rounding of a matrix product (3e-4 of the rows' radius in float32), and gradient 0. In the names of Hermans et al.,
    ``mining="all"`` is their batch all with ``average="all"`` and its better form over the non-zero losses with
    ``"active"``; their batch hard averages over all anchors: ``mining="hard", average="all"``. pytorch-metric-learning
    normalises the features unless told otherwise, has margin 0.05 and averages over the active triplets; its semi-hard
    miner takes the triplets that are taken here. torch's ``triplet_margin_loss`` is for triplets that are given.

    Schroff et al., FaceNet, 2015, equation 1 and section 3.2, https://arxiv.org/abs/1503.03832;
    Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, https://arxiv.org/abs/1703.07737

    >>> x = torch.tensor([[0.0], [1.0], [1.5]])
    >>> triplet(x, torch.tensor([0, 0, 1]))
    tensor(0.7000)
    """
    check_features("features", features)
    check_labels(labels, features.shape[:1])
    if margin is not None:
        check(POSITIVE, margin=margin)
    elif mining == "semihard":
        raise ValueError('mining="semihard" needs a `margin`, got None: the margin says which triplets are semi-hard.')
    if mining not in ("all", "hard", "semihard"):
        raise ValueError(f'`mining` must be "all", "hard" or "semihard", got {mining!r}.')
    if average not in ("active", "all"):
        raise ValueError(f'`average` must be "active" or "all", got {average!r}.')
    x, y = at_least_float32(features), labels
    if global_batch:
        x, y = gather(x), gather(y)
    D = squared_distances(x) if squared else square_root(squared_distances(x))
    positive, negative = positives_and_negatives(y)

    if mining == "hard":
        D_ap, D_an = D.masked_fill(~positive, -torch.inf).amax(1), D.masked_fill(~negative, torch.inf).amin(1)
        mined = positive.any(1) & negative.any(1)
    else:
        D_ap, D_an = D[:, :, None], D[:, None, :]
        mined = positive[:, :, None] & negative[:, None, :]
    if mining == "semihard" and margin is not None:
        mined = mined & ~(D_ap >= D_an) & ~(D_an >= D_ap + margin)  # NaN is mined
    loss = F.softplus(D_ap - D_an) if margin is None else (D_ap - D_an + margin).relu()
    if average == "active" and margin is not None:  # the soft margin is zero by underflow only
        mined = mined & (loss != 0)
    return mean_where(loss, mined)
