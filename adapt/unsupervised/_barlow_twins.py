"""Redundancy reduction: Barlow Twins."""

from functools import partial

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, dim_of
from adapt.unsupervised.views import PairsOfViews, projector
from losses.options import AT_LEAST_0, COUNT, check


def barlow_twins(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "barlow_twins",
    weight: float | Schedule = 1.0,
    hidden: int = 512,
    projection: int = 512,
    redundancy: float = 0.0051,
) -> Term:
    r"""Bring the cross-correlation of the features of two views near the identity: Barlow Twins.

    .. math:: \frac{1}{|P|} \sum_{(a, b) \in P} \sum_k (1 - C^{ab}_{kk})^2 + \lambda \sum_{k \ne l} (C^{ab}_{kl})^2

    over the pairs P of views, with the correlation C of the projected views.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream with two or more views; no labels are used.
        name: of the term.
        weight: of the term. The value grows with `projection`; the authors' learning rates are for 8,192.
        hidden, projection: sizes of the projector of three linear layers. 512 is our choice for features of about a
            hundred numbers; the paper has 8,192 for 2,048 features.
        redundancy: :math:`\lambda`, 0.0051 as in the authors' code.

    Several ranks: the correlation over the rows of all ranks. Accumulation does not enlarge the batch: each micro-batch
    has its own correlation. The projector normalises all views in one call; the authors normalise each view.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.barlow_twins`.

    Zbontar et al., Barlow Twins, 2021, https://arxiv.org/abs/2103.03230
    """
    dim = dim_of(encoder)
    check(COUNT, hidden=hidden, projection=projection)
    check(AT_LEAST_0, redundancy=redundancy)
    loss = partial(losses.barlow_twins, redundancy=redundancy)
    return Term(name, PairsOfViews(projector(dim, hidden, hidden, projection), on, loss, name), weight, streams=[on])
