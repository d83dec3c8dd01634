"""A class for each token."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads._span_f1 import spans_of
from adapt.heads.chain import log_partition, marginals, viterbi
from adapt.heads.class_values import BINS, bin_of, class_values, confidence_of, count_pairs, pair_tables
from adapt.heads.classifier import class_cross_entropy
from adapt.heads.labels import check_missing, check_range, mean_of_present, present, whole_numbers
from adapt.heads.score import Score, ratio
from adapt.heads.sizes import check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, TRUTH, check

NO_WORD = -(2.0**60)  # the logits of a place without a word: finite, and the same number in bfloat16 and in float64


class TokenClassifier(nn.Module):
    r"""A linear layer from the features of each token to class logits, after dropout.

    The loss is the mean over the labelled tokens P, with p the softmax of the logits:

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} -\log p_{ij, y_{ij}}, \qquad
        P = \{ (i, j) : y_{ij} \text{ is present} \}

    The mean is over tokens, not over sentences, so a long sentence counts for more.

    With ``crf=True`` the tags of a sentence depend on each other, by a linear chain with a learned score :math:`A` of
    each pair of neighbouring tags, and scores a and b of the first and of the last tag. With s the score of
    :func:`adapt.heads.chain.log_partition`, the loss is the negative logarithm of the probability of the known tags,
    over the number of known tags P of all sentences:

    .. math:: \frac{1}{|P|} \sum_i \Bigl( \log \sum_{y} e^{s_i(y)} -
        \log \sum_{y \text{ agrees with the known tags}} e^{s_i(y)} \Bigr)

    A word of unknown tag counts with all tags. A, a and b are 0 at first, and the loss is then the cross-entropy.
    The prediction is the path with the largest score (Viterbi).

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of classes, or their names.
        missing: the label of padding, and of a token of unknown class; -1.
        dropout: share of features dropped in training; 0.
        crf: True for the chain. The places of the features must be words, ``encoders.by_word(encoder)``: a place with
            features of 0 alone is no word and is skipped, and a label there does not count.
        iob2: True where the names are tags of spans, ``"O"``, ``"B-person"``, ``"I-person"``. The prediction then never
            has an I-tag that continues no span, and the score is the strict F1 of spans, as in
            :func:`adapt.heads.span_f1`. The places must be words, as with `crf`.

    Shapes: features ``(n, length, dim)`` to logits ``(n, length, classes)``; labels ``(n, length)``. With `crf` or
    `iob2` the logits of a place that is no word are ``-2**60``, all the same.

    Several ranks: the loss is the exact mean over the labelled tokens of all ranks; the ranks may hold different
    numbers of tokens.

    Precision: the trainer computes the loss in float32, the sums of the chain too.

    Raises:
        ValueError: fewer than two classes; `missing` is a class; a dropout outside [0, 1); features of another size or
            without tokens; names that are no tags of spans where ``iob2=True``.

    Lafferty et al., Conditional Random Fields, 2001, https://dl.acm.org/doi/10.5555/645530.655813; Tsuboi et al.,
    Training Conditional Random Fields Using Incomplete Annotations, 2008, https://aclanthology.org/C08-1113

    >>> head = TokenClassifier(8, ["O", "B-place", "I-place"], crf=True, iob2=True)
    >>> head.predict(head(torch.randn(2, 5, 8))).shape
    torch.Size([2, 5])
    """

    start: nn.Parameter  # these three with `crf`
    end: nn.Parameter
    transitions: nn.Parameter
    allowed: Tensor  # with `iob2`: the tags that may come first, then those that may follow each tag

    def __init__(
        self,
        encoder: HasDim | int,
        classes: int | Sequence[str],
        *,
        missing: int = -1,
        dropout: float = 0.0,
        crf: bool = False,
        iob2: bool = False,
    ):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        check(TRUTH, crf=crf, iob2=iob2)
        self.names = names_of(classes)
        self.classes, self.dim = len(self.names), dim_of(encoder)
        check_missing(missing, self.classes)
        self.missing, self.dropout, self.linear = missing, nn.Dropout(dropout), nn.Linear(self.dim, self.classes)
        self.crf, self.iob2 = crf, iob2
        if crf:
            self.start, self.end = (nn.Parameter(torch.zeros(self.classes)) for _ in range(2))
            self.transitions = nn.Parameter(torch.zeros(self.classes, self.classes))
        if iob2:
            self.register_buffer("allowed", torch.tensor(allowed_tags(self.names)), persistent=False)

    def extra_repr(self) -> str:
        chosen = [name for name in ("crf", "iob2") if getattr(self, name)]
        return ", ".join([f"missing={self.missing}", *(f"{name}=True" for name in chosen)])

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}.")
        logits = self.linear(self.dropout(features))
        if self.crf or self.iob2:
            logits = logits.masked_fill((features == 0).all(-1, keepdim=True), NO_WORD)
        return logits

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.dim, "classes": self.names, "missing": self.missing, "dropout": self.dropout.p}
        return "adapt.heads.TokenClassifier", sizes | {"crf": self.crf, "iob2": self.iob2}

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n, length)``, the number of the class of each token; 0 where the place is no word."""
        if not (self.crf or self.iob2):
            return logits.argmax(-1)
        start, transitions, end = self._chain(logits)
        if self.iob2:
            start = start.masked_fill(~self.allowed[0], -torch.inf)
            transitions = transitions.masked_fill(~self.allowed[1:], -torch.inf)
        return viterbi(logits, words_of(logits), start, transitions, end)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, length, classes)``: the softmax of the logits, or the marginal probabilities of the chain."""
        return marginals(logits, words_of(logits), *self._chain(logits)) if self.crf else logits.softmax(-1)

    def _chain(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of the first tag, of the transitions, and of the last tag; 0 without a CRF."""
        if self.crf:
            return self.start.to(logits), self.transitions.to(logits), self.end.to(logits)
        zeros = logits.new_zeros(self.classes)
        return zeros, zeros.expand(self.classes, -1), zeros

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the labelled tokens, or the loss of the chain; 0 without a label."""
        if not self.crf:
            return class_cross_entropy(logits, labels, self.missing)
        there, words = labels != self.missing, words_of(logits)
        other = torch.arange(self.classes, device=labels.device) != labels.long()[..., None]
        agreeing = logits.masked_fill(other & there[..., None], -torch.inf)
        # both sums in one pass: the loop over the places costs the same for twice the sentences
        log_z, log_known = log_partition(
            torch.cat([logits, agreeing]), torch.cat([words, words]), *self._chain(logits)
        ).chunk(2)
        return mean_of_present((log_z - log_known).sum(), there & words)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n, length)`` booleans: True where a label is not `missing`."""
        return present(labels, self.missing)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return counts per sentence, after a check of the labels.

        Returns:
            ``hits`` and ``counts`` ``(n,)``; ``gaps`` ``(n, 15)``, the sum of hit minus confidence over the tokens in
            each bin of confidence; ``pairs``, a list with a table ``(m, 3)`` for each sentence: true class, predicted
            class, number of tokens.
        """
        self.check(labels)
        labels = labels.long()
        # sixteen sentences at once: a softmax of all logits would double the memory of a batch
        parts = [self._measure(z, y) for z, y in zip(logits.split(16), labels.split(16), strict=True)]
        tensors = [name for name in parts[0] if name != "pairs"]
        found: dict[str, Any] = {name: torch.cat([p[name] for p in parts]) for name in tensors}
        return found | {"pairs": [table for p in parts for table in p["pairs"]]}

    def _measure(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        there, predicted = labels != self.missing, self.predict(logits)
        if self.crf or self.iob2:
            confidence = self.probabilities(logits).gather(2, predicted[..., None])[..., 0]
        else:
            confidence = confidence_of(logits)
        hits = (predicted == labels) & there
        gaps = confidence.new_zeros(len(labels), BINS, dtype=torch.float64)
        gaps.scatter_add_(1, bin_of(confidence), (hits.double() - confidence.double()) * there)
        pairs = pair_tables(labels, predicted, there, self.classes)
        found = {"hits": hits.sum(1), "counts": there.sum(1), "gaps": gaps, "pairs": pairs}
        return found | ({"spans": self._spans(labels, predicted, there)} if self.iob2 else {})

    def _spans(self, labels: Tensor, predicted: Tensor, there: Tensor) -> Tensor:
        """Return ``(n, types, 3)`` counts of right, found and true spans. A host synchronisation on a GPU."""
        types = types_of(self.names)
        counts = torch.zeros(len(labels), len(types), 3, dtype=torch.long)
        for row, known in enumerate(there.cpu()):
            said, true = (
                spans_of([[self.names[k] for k in tags[row].cpu()[known].tolist()]], "labels")
                for tags in (predicted, labels)
            )
            for column, spans in enumerate((said & true, said, true)):
                for *_, name in spans:
                    counts[row, types.index(name), column] += 1
        return counts.to(labels.device)

    def score(self, measures: Mapping[str, Any], units: Tensor | None = None) -> Score:
        """Return the accuracy over tokens with a 95 % interval over sentences, since tokens of a sentence are alike.

        The score's `n` counts sentences. Further values, over tokens: balanced accuracy, macro F1, the calibration
        error in 15 bins, the accuracy of each class.

        With ``iob2=True`` the value is the strict micro F1 of spans, with a 95 % interval over the sentences with a
        span, true or found; 0 where there is no span at all. Further values are then the token accuracy, the precision,
        the recall, and the F1 of each type.

        Args:
            units: the unit of each sentence where sentences belong together, as in :meth:`Classifier.score`.
        """
        found = ratio("token accuracy", measures["hits"], measures["counts"], units=units)
        label, predicted, counts = torch.cat(list(measures["pairs"])).long().T
        error = measures["gaps"].sum(0).abs().sum().item() / int(measures["counts"].sum())
        values = class_values(label, predicted, self.names, weights=counts)
        found = replace(found, further={"calibration error": error} | values)
        return self._span_score(measures["spans"], found, units) if self.iob2 else found

    def _span_score(self, spans: Tensor, tokens: Score, units: Tensor | None) -> Score:
        right, said, true = spans.sum(1).T
        values = {"token accuracy": tokens.value, "precision": _share(right, said), "recall": _share(right, true)}
        for name, (hits, ours, known) in zip(types_of(self.names), spans.sum(0), strict=True):
            if ours + known:
                values[f"F1 of {name}"] = _share(2 * hits, ours + known)
        further = values | dict(tokens.further)
        if not (said + true).any():
            return replace(tokens, metric="span F1", value=0.0, low=0.0, high=1.0, further=further)
        return replace(ratio("span F1", 2 * right, said + true, units=units), further=further)

    def confusion(self, measures: Mapping[str, Any]) -> Tensor:
        """Return ``(classes, classes)`` counts of tokens: the row is the true class, the column the predicted class."""
        label, predicted, counts = torch.cat(list(measures["pairs"])).long().T
        return count_pairs(label, predicted, self.classes, weights=counts)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, length)`` integers in [0, classes), or missing.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a token classifier", "(n, length)", 2)
        check_range(labels, self.classes, self.missing, ", or give the head another `missing`")


def words_of(logits: Tensor) -> Tensor:
    """Return ``(n, length)`` booleans: True where the logits of a head with `crf` or `iob2` belong to a word."""
    return logits[..., 0] > NO_WORD


def types_of(names: Sequence[str]) -> list[str]:
    """Return the types of the spans, by the alphabet."""
    return sorted({name[2:] for name in names if name != "O"})


def allowed_tags(names: Sequence[str]) -> list[list[bool]]:
    """Return ``(1 + classes, classes)``: which tags may come first, then which tags may follow each tag.

    Raises:
        ValueError: a name that is no tag of IOB2, an I-tag without its B-tag, or no B-tag.
    """
    wrong = [name for name in names if name != "O" and not (name[:2] in ("B-", "I-") and name[2:])]
    wrong += [name for name in names if name[:2] == "I-" and f"B-{name[2:]}" not in names]
    if wrong or not any(name[:2] == "B-" for name in names):
        raise ValueError(
            f"`classes` must be tags of spans where `iob2=True`: 'O', 'B-type', and 'I-type' beside each 'B-type', got "
            f"{(wrong or list(names))[0]!r}: write the tags in the form IOB2, or leave `iob2` out."
        )
    return [[name[:2] != "I-" or before[2:] == name[2:] for name in names] for before in ("O", *names)]


def _share(part: Tensor, whole: Tensor) -> float:
    return int(part.sum()) / max(int(whole.sum()), 1)
