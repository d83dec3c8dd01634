"""Exact spans of tagged words: found, right, and missed."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

Span = tuple[int, int, int, str]  # number of the sentence, first word, word behind the last word, type


class Spans(NamedTuple):
    """Counts of spans of one type, or of all types together.

    Args:
        right: spans with the first word, the last word and the type of a true span.
        found: spans of the prediction.
        support: true spans.
    """

    right: int
    found: int
    support: int

    @property
    def precision(self) -> float:
        """Share of the found spans that are right; 0 where no span was found."""
        return self.right / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of the true spans that were found; 0 where there is no true span."""
        return self.right / max(self.support, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where no span is right."""
        return 2 * self.right / max(self.found + self.support, 1)


class SpanScores(NamedTuple):
    """Counts over all types together (`micro`), and for each type by name (`types`)."""

    micro: Spans
    types: dict[str, Spans]


def span_f1(found: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> SpanScores:
    r"""Return the strict scores of spans, say of named entities: a span counts where both ends and the type are right.

    .. math:: F_1 = \frac{2 \, |\text{found} \cap \text{true}|}{|\text{found}| + |\text{true}|}

    Tags are IOB2: ``B-person`` begins a span, ``I-person`` behind a tag of the same span continues the span, and ``O``
    is outside. An ``I-`` tag without a beginning of the same type is no part of a span. The numbers are those of the
    library seqeval with ``mode="strict"`` and ``scheme=IOB2``.

    Args:
        found: n sentences, each a list with the predicted tag of each word.
        references: n sentences, each a list with the true tag of each word.

    Raises:
        ValueError: no sentences, other numbers of sentences or of words, or a tag that is not ``O``, ``B-...`` or
            ``I-...``.

    Tjong Kim Sang and De Meulder, CoNLL-2003 shared task, 2003, https://aclanthology.org/W03-0419

    >>> scores = span_f1([["B-person", "I-person", "O"]], [["B-person", "O", "B-place"]])
    >>> scores.micro, scores.micro.f1
    (Spans(right=0, found=1, support=2), 0.0)
    """
    if len(found) != len(references) or not len(found):
        raise ValueError(
            f"`found` and `references` must have the same number of sentences, at least 1, got {len(found)} and "
            f"{len(references)}: give one list of tags for each sentence."
        )
    for number, (ours, true) in enumerate(zip(found, references, strict=True)):
        if isinstance(ours, str) or isinstance(true, str) or len(ours) != len(true):
            raise ValueError(
                f"`found` and `references` must be lists with one tag for each word, got {_shown(ours)} and "
                f"{_shown(true)} in sentence {number}: cut both at the same words."
            )
    predicted, wanted = spans_of(found, "found"), spans_of(references, "references")
    right = predicted & wanted
    types = sorted({span[3] for span in predicted | wanted})
    each = {name: Spans(*(_of(name, spans) for spans in (right, predicted, wanted))) for name in types}
    return SpanScores(Spans(len(right), len(predicted), len(wanted)), each)


def _of(name: str, spans: Collection[Span]) -> int:
    return sum(span[3] == name for span in spans)


def spans_of(sentences: Sequence[Sequence[str]], option: str) -> set[Span]:
    """Return the spans of all sentences; the name of the `option` is for the message of :func:`span_f1`."""
    spans: set[Span] = set()
    for number, tags in enumerate(sentences):
        start, kind = 0, ""
        for place, tag in enumerate([*tags, "O"]):
            mark, _, name = tag.partition("-") if isinstance(tag, str) else ("", "", "")
            if tag != "O" and (mark not in ("B", "I") or not name):
                raise ValueError(
                    f"a tag of `{option}` must be 'O', 'B-type' or 'I-type', got {tag!r} in sentence {number}: write "
                    "the tags in the form IOB2."
                )
            if kind and (mark != "I" or name != kind):
                spans.add((number, start, place, kind))
                kind = ""
            if mark == "B":
                start, kind = place, name
    return spans


def _shown(tags: Sequence[str]) -> str:
    return "one text" if isinstance(tags, str) else f"{len(tags)} tags"
