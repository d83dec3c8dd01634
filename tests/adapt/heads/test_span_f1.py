"""Strict scores of spans."""

import random

import numpy
import pytest
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from adapt.heads import span_f1

TAGS = ["O", "O", "B-a", "I-a", "I-a", "B-b", "I-b", "B-c-d", "I-c-d"]


def drawn(generator):
    return [generator.choices(TAGS, k=length) for length in range(1, 25)]


@pytest.mark.filterwarnings("ignore")  # seqeval warns of a precision without spans
@pytest.mark.parametrize("seed", range(8))
def test_the_scores_are_those_of_seqeval(seed):
    generator = random.Random(seed)
    true = drawn(generator)
    found = [[t if generator.random() < 0.8 else generator.choice(TAGS) for t in tags] for tags in true]
    scores = span_f1(found, true)
    theirs = precision_recall_fscore_support(true, found, scheme=IOB2, average="micro")[:3]
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == pytest.approx(theirs, abs=1e-12)
    assert 0 < scores.micro.f1 < 1
    by_type = precision_recall_fscore_support(true, found, scheme=IOB2, average=None)
    assert list(scores.types) == ["a", "b", "c-d"]
    for spans, *values in zip(scores.types.values(), *by_type, strict=True):
        assert [spans.precision, spans.recall, spans.f1, spans.support] == pytest.approx(values, abs=1e-12)


def test_both_ends_and_the_type_must_be_right():
    true = [["B-a", "I-a", "O", "B-b"]]
    assert span_f1(true, true).micro == (2, 2, 2) and span_f1(true, true).micro.f1 == 1
    for found in (["B-a", "O", "O", "O"], ["B-b", "I-b", "O", "O"], ["B-a", "B-a", "O", "O"], ["I-a", "I-a", "O", "O"]):
        assert span_f1([found], true).micro.right == 0
    assert span_f1([["I-a", "I-a", "O", "O"]], true).micro.found == 0, "a span begins with B"
    assert span_f1([["O"]], [["O"]]).micro.f1 == 0 and span_f1([[]], [[]]).types == {}
    assert span_f1([numpy.array(true[0])], true).micro.right == 2


@pytest.mark.parametrize(
    ("found", "references", "message"),
    [
        ([], [], "at least 1, got 0 and 0"),
        ([["O"]], [["O"], ["O"]], "got 1 and 2"),
        ([["O"]], [["O", "O"]], "got 1 tags and 2 tags in sentence 0"),
        (["O"], ["O"], "got one text and one text"),
        ([["O"]], [["person"]], "tag of `references`.*got 'person' in sentence 0"),
        ([["B-"]], [["O"]], "tag of `found`.*got 'B-'"),
        ([[1]], [["O"]], "tag of `found`.*got 1"),
        ([[float("nan")]], [["O"]], "tag of `found`.*got nan"),
        ([["E-a"]], [["O"]], "the form IOB2"),
    ],
)
def test_what_is_no_iob2_is_refused(found, references, message):
    with pytest.raises(ValueError, match=message):
        span_f1(found, references)
