"""The likeness of texts by their characters."""

from collections import Counter
from collections.abc import Sequence

import numpy
from torch import Tensor

from adapt.heads.score import Score

ORDER = 6  # the longest n-gram
RESAMPLES = 1000  # of sentences, for an interval


def chrf(found: Sequence[str], references: Sequence[str]) -> float:
    r"""Return chrF2, the likeness of translations and references by n-grams of characters, in percent.

    With precision P and recall R of the n-grams of all texts together, without spaces:

    .. math:: \mathrm{chrF} = \frac{100}{6} \sum_{n=1}^{6} \frac{5 P_n R_n}{4 P_n + R_n}

    The mean is over the F-scores of the lengths n. The library sacrebleu takes the F-score of the mean precision and
    the mean recall, unless the option ``eps_smoothing`` is set. With this option both give the same number where each
    reference has 6 letters or more. In P sacrebleu leaves out the n-grams of a text whose reference is shorter than n.

    Args:
        found: n texts.
        references: n texts, one for each of `found`.

    Raises:
        ValueError: no texts, or other numbers of texts; one text instead of a list.

    Popović, chrF: character n-gram F-score for automatic MT evaluation, 2015, https://aclanthology.org/W15-3049

    >>> chrf(["ein Hund"], ["ein Hund"]), chrf(["abc"], ["xyz"])
    (100.0, 0.0)
    """
    check_texts(found, references)
    return float(_of_counts(_counts(found, references).sum(0)))


def chrf_score(found: Sequence[str], references: Sequence[str], units: Tensor | None = None) -> Score:
    """Return :func:`chrf` with a 95 % interval: quantiles of 1,000 samples of sentences, or of units.

    Args:
        units: the number of the unit of each sentence, where sentences belong together.
    """
    check_texts(found, references)
    counts = _counts(found, references)
    if units is not None:
        rows = numpy.unique(units.numpy(), return_inverse=True)[1]
        together = numpy.zeros((rows.max() + 1, *counts.shape[1:]))
        numpy.add.at(together, rows, counts)
        counts = together
    n, low, high = len(counts), 0.0, 100.0
    if n > 1:
        times = numpy.random.default_rng(0).multinomial(n, numpy.full(n, 1 / n), RESAMPLES)
        values = _of_counts(numpy.einsum("rn,nij->rij", times, counts))
        low, high = (float(q) for q in numpy.quantile(values, [0.025, 0.975]))
    return Score("chrF2", float(_of_counts(counts.sum(0))), low, high, n)


def check_texts(found: Sequence[str], references: Sequence[str]) -> None:
    """Raise a ValueError unless both are lists of texts, of the same length of at least 1."""
    if isinstance(found, str) or isinstance(references, str) or len(found) != len(references) or not len(found):
        raise ValueError(
            "`found` and `references` must be lists of texts of the same length, got "
            f"{_shown(found)} and {_shown(references)}: give one reference for each text."
        )


def _counts(found: Sequence[str], references: Sequence[str]) -> numpy.ndarray:
    """Return ``(n, 6, 3)``: the n-grams in both texts, in the found text and in the reference, for each length."""
    rows = []
    for text, reference in zip(found, references, strict=True):
        grams = [(_grams(text, n), _grams(reference, n)) for n in range(1, ORDER + 1)]
        rows.append([((a & b).total(), a.total(), b.total()) for a, b in grams])
    return numpy.array(rows, dtype=float)


def _of_counts(counts: numpy.ndarray) -> numpy.ndarray:
    hits, first, second = numpy.moveaxis(counts, -1, 0)
    precision, recall = hits / numpy.maximum(first, 1), hits / numpy.maximum(second, 1)
    return 100 * (5 * precision * recall / numpy.maximum(4 * precision + recall, 1e-12)).mean(-1)


def _grams(text: str, n: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[i : i + n] for i in range(len(letters) - n + 1))


def _shown(texts: Sequence[str]) -> str:
    return "one text" if isinstance(texts, str) else f"{len(texts)} texts"
