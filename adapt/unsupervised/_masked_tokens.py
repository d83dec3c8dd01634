"""Hidden words from the words around: masked tokens."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads.labels import mean_of_present
from adapt.streams import Batch
from adapt.unsupervised.tokens import Tokenizer, chosen_places, expect_tokenizer, ordinary, token_inputs
from losses.options import BETWEEN, check


def masked_tokens(
    model: nn.Module,
    tokenizer: Tokenizer,
    *,
    on: str,
    name: str = "masked_tokens",
    weight: float | Schedule = 1.0,
    share: float = 0.15,
) -> Term:
    r"""Predict hidden tokens of a text with the language head of a model of transformers: masked language modelling.

    .. math:: -\frac{1}{|M|} \sum_{(i, t) \in M} \log p(w_{it} \mid \tilde w_i)

    over the chosen places M. Of the chosen tokens, 80 % become the mask token, 10 % another token by chance, and 10 %
    stay, as in the paper.

    Args:
        model: ``AutoModelForMaskedLM``. Make the encoder of the trainer from the same weights,
            ``encoders.from_transformers(model.base_model)``: what the term learns, the encoder has learned.
        tokenizer: of the model, with a mask token.
        on: stream of dicts of ``input_ids`` and ``attention_mask``, see :func:`adapt.encoders.tokens`; no labels are
            used.
        name: of the term.
        weight: of the term.
        share: of the ordinary tokens of each text, rounded, at least one; 0.15 as in the paper.

    Which tokens are chosen is a function of the seed, the step and the row. Several ranks and accumulation are exact: a
    mean over the chosen tokens of the whole step.

    Raises:
        TypeError: a tokenizer of another kind.
        ValueError: a tokenizer without a mask token, an option with a wrong value; in a step, inputs of another kind.

    Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805; continued on the target's texts: Gururangan et al.,
    Don't Stop Pretraining, 2020, https://arxiv.org/abs/2004.10964
    """
    known = expect_tokenizer(tokenizer)
    check(BETWEEN, share=share)
    if known.mask_token_id is None:
        raise ValueError("`tokenizer` must have a mask token, got None: take the tokenizer of a masked language model.")
    loss = MaskedTokens(model, list(known.all_special_ids), int(known.mask_token_id), len(known), on, share)
    return Term(name, loss, weight, streams=[on])


class Logits(nn.Module):
    """The logits of a model of transformers with a language head."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.model(**inputs).logits


class MaskedTokens(nn.Module):
    def __init__(self, model, special, mask, words, on, share):
        super().__init__()
        self.logits, self.special, self.mask, self.words = Logits(model), special, mask, words
        self.on, self.share = on, share

    def _counts(self, places: Tensor) -> Tensor:
        """Return ``(n,)``, how many tokens of each text are chosen."""
        n = places.sum(1)
        return torch.where(n > 0, (self.share * n).round().clamp_min(1), 0).long()

    def count(self, batches: Mapping[str, Batch]) -> float:
        ids, there = token_inputs(batches[self.on].inputs, self.on)
        return float(self._counts(ordinary(ids, there, self.special)).sum())

    def forward(self, step: Step) -> Tensor:
        view = step[self.on]
        ids, there = token_inputs(view.inputs, self.on)
        places = ordinary(ids, there, self.special)
        chosen, numbers = chosen_places(step, view.index, places, self._counts(places))
        kind = numbers & 0xFFFF  # of 65,536: below 80 % hidden, below 90 % another word
        other = (numbers >> 16 & 0xFFFFFFFF) % self.words
        shown = torch.where(chosen & (kind < 52429), self.mask, ids)
        shown = torch.where(chosen & (kind >= 52429) & (kind < 58982), other, shown)
        logits = step.call(self.logits, {**view.inputs, "input_ids": shown})
        total = F.cross_entropy(logits[chosen], ids[chosen].long(), reduction="sum")
        return mean_of_present(total, chosen)
