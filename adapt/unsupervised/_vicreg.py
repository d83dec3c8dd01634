"""Variance, invariance and covariance: VICReg."""

from functools import partial

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, dim_of
from adapt.unsupervised.views import PairsOfViews, projector
from losses.options import AT_LEAST_0, COUNT, check


def vicreg(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "vicreg",
    weight: float | Schedule = 1.0,
    hidden: int = 512,
    projection: int = 512,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Term:
    r"""Make views equal, spread each feature, and remove correlations between features: VICReg.

    .. math:: \frac{1}{|P|} \sum_{(a, b) \in P} \mathrm{VICReg}\bigl(g(z^a), g(z^b)\bigr)

    over the pairs P of views, with the expander g of three linear layers, batch normalisation and ReLU between.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream with two or more views; no labels are used.
        name: of the term.
        weight: of the term.
        hidden, projection: sizes of the expander. 512 is our choice for features of about a hundred numbers; the paper
            has 8,192 for 2,048 features.
        invariance, variance, covariance: weights of the parts; 25, 25 and 1 as in the paper.

    Several ranks: the covariance of the rows of all ranks. Accumulation does not enlarge the batch: each micro-batch
    has its own covariance. The expander normalises all views in one call; the authors normalise each view.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.vicreg`.

    Bardes et al., VICReg, 2022, https://arxiv.org/abs/2105.04906
    """
    dim = dim_of(encoder)
    check(COUNT, hidden=hidden, projection=projection)
    check(AT_LEAST_0, invariance=invariance, variance=variance, covariance=covariance)
    loss = partial(losses.vicreg, invariance=invariance, variance=variance, covariance=covariance)
    return Term(name, PairsOfViews(projector(dim, hidden, hidden, projection), on, loss, name), weight, streams=[on])
