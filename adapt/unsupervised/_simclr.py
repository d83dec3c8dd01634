"""Contrast between rows: SimCLR."""

from functools import partial

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, dim_of
from adapt.unsupervised.views import PairsOfViews, projector
from losses.options import COUNT, POSITIVE, check


def simclr(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "simclr",
    weight: float | Schedule = 1.0,
    hidden: int | None = None,
    projection: int = 128,
    temperature: float = 0.5,
) -> Term:
    r"""Find the other view of each row among all views of the batch: SimCLR.

    .. math:: \frac{1}{|P|} \sum_{(a, b) \in P} \mathrm{NT\text{-}Xent}\bigl(g(z^a), g(z^b)\bigr)

    over the pairs P of views, with the projector g: linear, batch normalisation, ReLU, linear.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream with two or more views; no labels are used.
        name: of the term.
        weight: of the term.
        hidden: units of the projector; None takes the feature size, as in the paper.
        projection: output size of the projector; 128 as in the paper.
        temperature: 0.5, the paper's best on CIFAR-10.

    The batch gives the negatives: large batches help (the paper has 256 to 8,192 rows). Several ranks: the rows of all
    ranks. Accumulation does not enlarge the batch: each micro-batch has its own negatives.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.nt_xent`.

    Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020,
    https://arxiv.org/abs/2002.05709
    """
    dim = dim_of(encoder)
    hidden = dim if hidden is None else hidden
    check(COUNT, hidden=hidden, projection=projection)
    check(POSITIVE, temperature=temperature)
    loss = partial(losses.nt_xent, temperature=temperature)
    return Term(name, PairsOfViews(projector(dim, hidden, projection), on, loss, name), weight, streams=[on])
