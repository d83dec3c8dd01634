"""Dropout as augmentation of sentences: SimCSE."""

from collections.abc import Mapping

from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, Source, dim_of
from adapt.unsupervised.views import expect_views, projected, report_spread
from losses.options import POSITIVE, check


def simcse(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "simcse",
    weight: float | Schedule = 1.0,
    temperature: float = 0.05,
) -> Term:
    r"""Find each sentence, under another dropout, among the sentences of the batch: unsupervised SimCSE.

    .. math:: -\frac1n \sum_i \log \frac{\exp(\cos(h_i, h'_i) / T)}{\sum_j \exp(\cos(h_i, h'_j) / T)}

    with :math:`h = \tanh(W z + b)` in training alone.

    Args:
        encoder: of the trainer, or the feature size. The encoder has dropout.
        on: stream with two equal views, ``Stream(..., labels=False, views=[None, None])``: dropout makes the
            difference. A third view is not read.
        name: of the term.
        weight: of the term.
        temperature: T, 0.05 as in the paper.

    Several ranks: the sentences of all ranks. Accumulation does not enlarge the batch.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.info_nce`.

    Gao et al., SimCSE: Simple Contrastive Learning of Sentence Embeddings, 2021, https://arxiv.org/abs/2104.08821
    """
    dim = dim_of(encoder)
    check(POSITIVE, temperature=temperature)
    project = nn.Sequential(nn.Linear(dim, dim), nn.Tanh())
    return Term(name, SimCse(project, on, temperature, name), weight, streams=[on])


class SimCse(nn.Module):
    def __init__(self, project, on, temperature, name):
        super().__init__()
        self.project, self.on, self.temperature, self.name = project, on, temperature, name

    def check(self, streams: Mapping[str, Source]) -> None:
        expect_views(streams, self.on, self.name)

    def forward(self, step: Step) -> Tensor:
        first, second, *_ = projected(step, self.on, self.project)
        report_spread(step, first, self.name)
        return losses.info_nce(first, second, temperature=self.temperature)
