"""How foreign the words of one collection of texts are to another collection."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from adapt.encoders._word_vectors import split_words
from adapt.randomness import permutation
from losses.options import COUNT, FROM_0, check

Words = list[list[str]]


class TextGap(NamedTuple):
    """How foreign the words of a target are to a source.

    Attributes:
        known: share of the target's words that the source holds.
        perplexity: of target texts, by a model of word pairs of the source.
        own: of the same texts, by a model of as many words of other target texts.
        gap: :math:`\\log_2` of the ratio of both perplexities, bits per word: about 0 for texts of one kind.
    """

    known: float
    perplexity: float
    own: float
    gap: float


def text_gap(
    source: Sequence[str],
    target: Sequence[str],
    *,
    words: int = 10_000,
    order: int = 2,
    split: Callable[[str], list[str]] | None = None,
    seed: int = 0,
) -> TextGap:
    r"""Return how foreign the words of a target are to a source: known words, and perplexity above the target's own.

    .. math:: p(w \mid h) = \frac{c(hw) + T(h)\, p(w \mid h')}{c(h) + T(h)}, \qquad
        \mathrm{gap} = \frac1n \sum_{i=1}^n \log_2 \frac{p_T(w_i \mid h_i)}{p_S(w_i \mid h_i)}

    with c the counts in training texts, T(h) the number of different words after h, and h' the history without its
    first word: interpolated Witten-Bell smoothing. Below single words both models have one uniform distribution over
    all words that this call sees, so the two perplexities are comparable.

    Args:
        source, target: texts. The models of source and target learn from about `words` words each, and about half as
            many words of other target texts are the test: a larger collection has no advantage.
        words: to learn from. Gaps for different `words` are not comparable: both models know more words.
        order: n of the n-grams; 2, because 10,000 words hold few longer ones twice.
        split: from a text to its words. None gives lower case words, numbers and punctuation marks.
        seed: of the choice of texts.

    Raises:
        ValueError: one text in place of a sequence of texts; too few words: at least `words` in the source, and one and
            a half times `words` in the target.

    The gap is not symmetric. Nothing is known of labels: a large gap with equal meanings of the words costs a
    classifier little. Related: :func:`discrepancy` on features of an encoder.

    Witten, Bell, The Zero-Frequency Problem, 1991, https://doi.org/10.1109/18.87000; Chen, Goodman, An Empirical Study
    of Smoothing Techniques for Language Modeling, 1999, https://doi.org/10.1006/csla.1999.0128

    >>> gap = text_gap(["a b a c"] * 9, ["a b a c"] * 9, words=20)
    >>> gap.known, round(gap.gap, 3)
    (1.0, 0.0)
    """
    if isinstance(source, str) or isinstance(target, str):
        raise ValueError("`source` and `target` must be sequences of str, got one str.")
    check(COUNT, words=words, order=order)
    check(FROM_0, seed=seed)
    split = split or split_words
    learned = _taken(_shuffled(source, split, seed), words, "source")
    other = _shuffled(target, split, seed)  # one iterator: the test texts are other texts
    own, test = _taken(other, words, "target"), _taken(other, -(-words // 2), "target")
    distinct = {word for part in (learned, own, test) for text in part for word in text}
    bits = [_bits(_counts(part, order), test, order, len(distinct)) for part in (learned, own)]
    seen, tokens = {word for text in learned for word in text}, [word for text in test for word in text]
    known = sum(word in seen for word in tokens) / len(tokens)
    return TextGap(known, 2 ** bits[0], 2 ** bits[1], bits[0] - bits[1])


def _shuffled(texts: Sequence[str], split: Callable[[str], list[str]], seed: int) -> Iterator[list[str]]:
    return (split(texts[i]) for i in permutation(len(texts), seed, "text_gap").tolist())


def _taken(texts: Iterator[list[str]], words: int, name: str) -> Words:
    """Return texts with `words` words; the last text is cut."""
    found: Words = []
    missing = words
    for text in texts:
        found.append(text[:missing])
        missing -= len(found[-1])
        if not missing:
            return found
    raise ValueError(
        f"`{name}` must have more words: {missing} of {words} are missing. Give more texts, or a smaller `words`."
    )


def _counts(texts: Words, order: int) -> dict[tuple[str, ...], Counter[str]]:
    """Return how often each word follows each history of 0 to ``order - 1`` words; "" stands before a text."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for text in texts:
        row = [""] * (order - 1) + text
        for i in range(order - 1, len(row)):
            for n in range(order):
                found.setdefault(tuple(row[i - n : i]), Counter())[row[i]] += 1
    return found


def _bits(counts: dict[tuple[str, ...], Counter[str]], texts: Words, order: int, distinct: int) -> float:
    """Return the mean of minus log2 of the probability of a word."""
    totals = {history: after.total() for history, after in counts.items()}
    bits, number = 0.0, 0
    for text in texts:
        row = [""] * (order - 1) + text
        for i in range(order - 1, len(row)):
            p = 1 / distinct
            for n in range(order):
                history = tuple(row[i - n : i])
                after = counts.get(history)
                if after is None:
                    break
                p = (after[row[i]] + len(after) * p) / (totals[history] + len(after))
            bits -= math.log2(p)
            number += 1
    return bits / number
