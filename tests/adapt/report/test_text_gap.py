"""The gap of two collections of texts against probabilities by hand, and models whose probabilities sum to 1."""

import math
import random
from fractions import Fraction

import pytest

from adapt import report
from adapt.report._text_gap import _bits, _counts


def texts(letters, count, seed):
    draw = random.Random(seed)
    return [" ".join(draw.choices(letters, k=draw.randint(1, 12))) for _ in range(count)]


def probability(word, history, learned, distinct):
    """Witten-Bell, from the definition, as a fraction."""
    lower = Fraction(1, distinct) if history is None else probability(word, history[1:] or None, learned, distinct)
    after = []
    for text in learned:
        n = 0 if history is None else len(history)
        row = [""] * n + text
        after += [row[i] for i in range(n, len(row)) if history is None or tuple(row[i - n : i]) == history]
    if not after:
        return lower
    different = len(set(after))
    return (after.count(word) + different * lower) / (len(after) + different)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bits_are_those_of_the_equation_and_probabilities_sum_to_1(order):
    learned, test = ([t.split() for t in texts("abcd", 8, seed)] for seed in (0, 1))
    counts = _counts(learned, order)
    expected, number = 0.0, 0
    for text in test:
        row = [""] * (order - 1) + text
        for i in range(order - 1, len(row)):
            history = tuple(row[i - order + 1 : i]) or None
            expected -= math.log2(probability(row[i], history, learned, 5))
            number += 1
            assert sum(probability(word, history, learned, 5) for word in "abcde") == 1
    assert _bits(counts, test, order, 5) == pytest.approx(expected / number, abs=1e-12)


def test_gaps():
    same = report.text_gap(texts("abcdef", 400, 0), texts("abcdef", 400, 1), words=500)
    near = report.text_gap(texts("abcdef", 400, 0), texts("aabcdefg", 400, 1), words=500)
    far = report.text_gap(texts("abcdef", 400, 0), texts("uvwxyz", 400, 1), words=500)
    assert same.known == 1 and abs(same.gap) < 0.1 < near.gap < 1 < far.gap and far.known == 0
    assert far.gap == pytest.approx(math.log2(far.perplexity / far.own))
    assert same.own == pytest.approx(6, rel=0.3)
    again = report.text_gap(texts("abcdef", 400, 0), texts("uvwxyz", 400, 1), words=500)
    assert again == far != report.text_gap(texts("abcdef", 400, 0), texts("uvwxyz", 400, 1), words=500, seed=1)


def test_the_test_texts_are_no_training_texts():
    distinct = [f"a{i} b{i}" for i in range(60)]  # each word once: other texts of the target hold none of them
    found = report.text_gap(distinct, [f"x{i} y{i}" for i in range(60)], words=60)
    assert found.known == 0 and found.own == pytest.approx(found.perplexity)


def test_doors():
    with pytest.raises(ValueError, match="`source` must have more words: 1 of 5 are missing"):
        report.text_gap(["a b c d"], ["a b c d"] * 9, words=5)
    with pytest.raises(ValueError, match="`target` must have more words: 1 of 3 are missing"):
        report.text_gap(["a b c d"] * 9, ["a b"] * 4, words=5)
    with pytest.raises(ValueError, match="must be sequences of str"):
        report.text_gap("a b", ["a b"])
