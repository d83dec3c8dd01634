"""A sentence from the features of the sentence with deleted words: TSDAE."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Sequence
from adapt.heads.labels import MISSING
from adapt.protocols import HasDim, TellsStreamsApart, dim_of, offers
from adapt.streams import Batch
from adapt.unsupervised.tokens import Tokenizer, chosen_places, expect_tokenizer, ordinary, token_inputs
from losses.options import BETWEEN, COUNT, check


def denoised_tokens(
    encoder: HasDim | int,
    tokenizer: Tokenizer,
    *,
    on: str,
    length: int,
    name: str = "denoised_tokens",
    weight: float | Schedule = 1.0,
    share: float = 0.6,
) -> Term:
    r"""Write a sentence from the one feature vector of the sentence with deleted tokens: after TSDAE.

    .. math::
        -\frac{1}{\sum_i m_i} \sum_i \sum_{t=1}^{m_i} \log p\bigl(w_{it} \mid w_{i1}, \dots, w_{i,t-1},
        f(\tilde w_i)\bigr)

    with the :math:`m_i` tokens w of text i and the pooled features :math:`f(\tilde w_i)` of the text after a `share` of
    the ordinary tokens was deleted.

    Args:
        encoder: of the trainer, or the feature size; pooled features, ``encoders.from_transformers(model,
            pool="mean")``.
        tokenizer: of the encoder.
        on: stream of dicts of ``input_ids`` and ``attention_mask``, see :func:`adapt.encoders.tokens`; no labels are
            used.
        length: the most tokens of a text, as given to ``encoders.tokens``.
        name: of the term.
        weight: of the term.
        share: of the ordinary tokens that are deleted, rounded, at least one token kept; 0.6 as in the paper.

    The decoder is :class:`adapt.heads.Sequence` with two layers and random weights; the decoder of the paper has the
    weights of the encoder. Which tokens are deleted is a function of the seed, the step and the row. Several
    ranks and accumulation are exact: a mean over the tokens of the whole step.

    Raises:
        TypeError: an encoder without `dim`, a tokenizer of another kind.
        ValueError: an option with a wrong value; in a step, inputs of another kind, longer texts, features with places.

    Wang et al., TSDAE, 2021, https://arxiv.org/abs/2104.06979
    """
    dim = dim_of(encoder)
    known = expect_tokenizer(tokenizer)
    check(COUNT, length=length)
    check(BETWEEN, share=share)
    decoder = Sequence(dim, [str(number) for number in range(len(known) + 1)], length=length + 1)
    return Term(name, DenoisedTokens(decoder, list(known.all_special_ids), on, share), weight, streams=[on])


class DenoisedTokens(nn.Module):
    def __init__(self, decoder, special, on, share):
        super().__init__()
        self.decoder, self.special, self.on, self.share = decoder, special, on, share

    def count(self, batches: Mapping[str, Batch]) -> float:
        _, there = token_inputs(batches[self.on].inputs, self.on)
        return float(there.sum() + len(there))  # the end of each text counts

    def forward(self, step: Step) -> Tensor:
        view = step[self.on]
        ids, there = token_inputs(view.inputs, self.on)
        places = ordinary(ids, there, self.special)
        n = places.sum(1)
        deleted, _ = chosen_places(step, view.index, places, torch.minimum((self.share * n).round().long(), n - 1))
        kept = there & ~deleted
        order = (~kept).int().argsort(dim=1, stable=True)  # the tokens that stay, in their order, then padding
        parts = {"input_ids": ids.gather(1, order), "attention_mask": kept.gather(1, order).to(ids.dtype)}
        encoder = step.encoder_of(self.on)
        if offers(encoder, TellsStreamsApart):
            encoder.announce_rows([(self.on, len(ids))])
        features = step.call(encoder, {**view.inputs, **parts})
        if features.ndim != 2:
            raise ValueError(
                f"features of stream `{self.on}` must be (n, d), got {tuple(features.shape)}: take an encoder with "
                'pooled features, `pool="mean"`.'
            )
        return self.decoder.loss(step.call(self.decoder, features[:, None]), text_labels(ids, there))


def text_labels(ids: Tensor, there: Tensor) -> Tensor:
    """Return ``(n, t + 1)`` labels of ``heads.Sequence``: token w is word w + 1, then 0, the end, then -1."""
    front = (~there).int().argsort(dim=1, stable=True)  # padding on the left moves to the end
    words = (ids + 1).masked_fill(~there, MISSING).gather(1, front)
    labels = torch.cat([words, words.new_full((len(ids), 1), MISSING)], 1)
    return labels.scatter(1, there.sum(1, keepdim=True), 0)
