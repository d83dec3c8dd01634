"""A text from the features of another text."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.evaluating import evaluating
from adapt.heads.classifier import class_cross_entropy
from adapt.heads.labels import MISSING, check_range, present, whole_numbers
from adapt.heads.score import Score, ratio
from adapt.heads.sizes import check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, COUNT, check

ROWS = 100  # measured together: the logits of more rows would fill the memory
START, END = -1, 0


class SequenceDecoder(nn.Module):
    r"""A small decoder: a sentence word by word, from the three words before and from the features by attention.

    With the features Z ``(length, dim)`` of a sentence, the memory :math:`M = Z W_\ell`, the vectors v of words (V: all
    of them), the vectors p of places, and the words :math:`y_1, y_2, \dots` of the other sentence:

    .. math:: h_j = \tanh(W_b [v_{y_{j-3}}, v_{y_{j-2}}, v_{y_{j-1}}] + p_j), \qquad
        c_j = \mathrm{softmax}(h_j M^\top) M, \qquad
        p(y_j) = \mathrm{softmax}(V \tanh(W_j [h_j, c_j]))

    The loss is the mean of :math:`-\log p(y_j)` over the known words of the batch, the end of each sentence included;
    the decoder reads the true words before. A place with features of 0 alone is padding: no attention. A sentence with
    padding alone gives a context of 0.

    Args:
        encoder: an encoder with features of tokens, or a feature size.
        words: the words by number. Word 0 ends a sentence: :attr:`adapt.datasets.Vocabulary.words`.
        length: the most words of a sentence, the end included; 60.
        dropout: share of the last hidden layer dropped in training; 0.

    Shapes: features ``(n, length of the input, dim)`` to the memory M of the same shape. Labels ``(n, m)``, m up to
    `length`: numbers of words, 0 after the last word, then -1. An unknown word is -1 too.

    Attributes:
        words: the words by number.
        natural_scale: the loss of equal probabilities, log of the number of words, for :func:`adapt.multitask.task`.

    Several ranks: the loss is the exact mean over the known words of all ranks.

    Precision: vectors and the memory may be bfloat16 under autocast; the trainer computes the loss in float32.

    Raises:
        TypeError, ValueError: fewer than two words; a length below 1; a dropout outside [0, 1); features of another
            size or without tokens.

    The attention is the attention of Luong et al., Effective Approaches to Attention-based Neural Machine Translation,
    2015, https://arxiv.org/abs/1508.04025, with the weights of words shared as in Press and Wolf, 2017,
    https://arxiv.org/abs/1608.05859

    >>> decoder = SequenceDecoder(8, ["", "ein", "Hund"], length=5)
    >>> memory = decoder(torch.randn(4, 6, 8))
    >>> decoder.loss(memory, torch.tensor([[1, 2, 0, -1]] * 4)).shape, len(decoder.predict(memory))
    (torch.Size([]), 4)
    """

    def __init__(self, encoder: HasDim | int, words: Sequence[str], *, length: int = 60, dropout: float = 0.0):
        super().__init__()
        check(COUNT, length=length)
        check(BELOW_1, dropout=dropout)
        self.words, self.length, self.dim = names_of(words, "`words`"), int(length), dim_of(encoder)
        self.natural_scale, dim = math.log(len(self.words)), self.dim
        self.look, self.join = nn.Linear(dim, dim, bias=False), nn.Linear(2 * dim, dim)
        self.vectors, self.places = nn.Embedding(len(self.words) + 1, dim), nn.Embedding(self.length, dim)
        self.before, self.dropout = nn.Linear(3 * dim, dim), nn.Dropout(dropout)
        for table in (self.vectors, self.places):
            nn.init.normal_(table.weight, std=dim**-0.5)

    def extra_repr(self) -> str:
        return f"words={len(self.words)}, length={self.length}"

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        options = {"words": self.words, "length": self.length, "dropout": self.dropout.p}
        return "adapt.heads.SequenceDecoder", {"encoder": self.dim} | options

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}.")
        return self.look(features)

    @torch.no_grad()
    def predict(self, memory: Tensor, length: int | None = None) -> list[str]:
        """Return a text for each row: the most probable word, one after another, up to the end of the sentence.

        Args:
            memory: of :meth:`forward`.
            length: the most words; None takes the `length` of the decoder.
        """
        length = self.length if length is None else length
        check(COUNT, length=length)
        words = memory.new_full((len(memory), 1), START, dtype=torch.long)
        with evaluating(self):
            for place in range(min(length, self.length)):
                z = self._states(memory, words[:, -3:], max(0, place - 2))[:, -1:]
                words = torch.cat([words, self._logits(z).argmax(2)], 1)
        rows = [row[: row.index(END)] if END in row else row for row in words[:, 1:].tolist()]
        return [" ".join(self.words[number] for number in row) for row in rows]

    def loss(self, memory: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the known words; 0 where no word is known."""
        logits, known, _ = self._forced(memory, labels)
        return class_cross_entropy(logits, known)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n, m)`` booleans: True where a word is known."""
        return present(labels)

    def measure(self, memory: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy summed over the known words of each sentence, and the number of known words."""
        self.check(labels)
        if len(memory) != len(labels):
            raise ValueError(
                f"`memory` and `labels` must have the same number of sentences, got {len(memory)} and {len(labels)}: "
                "give the labels of the rows of the features."
            )
        totals = []
        for some, truth in zip(memory.split(ROWS), labels.split(ROWS), strict=True):
            logits, known, sentence = self._forced(some, truth)
            costs = F.cross_entropy(logits, known, reduction="none").double()
            totals.append(costs.new_zeros(len(some)).index_add(0, sentence, costs))
        return torch.cat(totals), present(labels).sum(1)

    def score(self, measures: tuple[Tensor, Tensor], units: Tensor | None = None) -> Score:
        """Return the cross-entropy for each known word in nats, with a 95 % interval over sentences.

        The exponential of the cross-entropy is the perplexity.

        Args:
            units: the unit of each sentence where sentences belong together, as in :meth:`Classifier.score`.
        """
        return ratio("cross-entropy", *measures, higher_is_better=False, units=units)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, m)`` numbers of words or -1, with m from 1 to `length`.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a sequence decoder", "(n, length)", 2)
        if not 0 < labels.shape[1] <= self.length:
            raise ValueError(
                f"`labels` must have 1 to {self.length} words for each sentence, got {labels.shape[1]}: cut the "
                "sentences, or give the decoder a larger `length`."
            )
        check_range(labels, len(self.words))

    def _states(self, memory: Tensor, before: Tensor, first: int = 0) -> Tensor:
        """Return ``(n, m, 2 dim)`` from the word before each place; -1 is the start, or an unknown word.

        Args:
            first: the number of the first place.
        """
        x = self.vectors(before % (len(self.words) + 1))
        x = F.pad(x, (0, 0, 2, 0)).unfold(1, 3, 1).flatten(2)
        h = (self.before(x) + self.places.weight[first : first + before.shape[1]]).tanh()
        scores = h @ memory.mT
        padding = (memory == 0).all(2)[:, None]
        # not -inf: a sentence with padding alone would give NaN
        attention = scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(2)
        return torch.cat([h, attention @ memory], 2)

    def _logits(self, states: Tensor) -> Tensor:
        return F.linear(self.dropout(self.join(states).tanh()), self.vectors.weight[:-1])

    def _forced(self, memory: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits and labels of all known words, and the number of the sentence of each word.

        Places after the last known word of the batch are not computed: two host synchronisations on a GPU.
        """
        there = labels != MISSING
        length = int(there.any(0).nonzero().max()) + 1 if there.any() else 1
        labels, there = labels[:, :length].long(), there[:, :length]
        states = self._states(memory, F.pad(labels, (1, -1), value=START))
        return self._logits(states[there]), labels[there], there.nonzero()[:, 0]
