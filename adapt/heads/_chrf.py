"""The likeness of texts by their characters."""

from collections import Counter
from collections.abc import Sequence

ORDER = 6  # the longest n-gram


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
    if isinstance(found, str) or isinstance(references, str) or len(found) != len(references) or not len(found):
        raise ValueError(
            "`found` and `references` must be lists of texts of the same length, got "
            f"{_shown(found)} and {_shown(references)}: give one reference for each text."
        )
    scores = []
    for n in range(1, ORDER + 1):
        hits, first, second = 0, 0, 0
        for text, reference in zip(found, references, strict=True):
            a, b = _grams(text, n), _grams(reference, n)
            hits, first, second = hits + (a & b).total(), first + a.total(), second + b.total()
        precision, recall = hits / max(first, 1), hits / max(second, 1)
        scores.append(5 * precision * recall / max(4 * precision + recall, 1e-12))
    return 100 * sum(scores) / ORDER


def _grams(text: str, n: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[i : i + n] for i in range(len(letters) - n + 1))


def _shown(texts: Sequence[str]) -> str:
    return "one text" if isinstance(texts, str) else f"{len(texts)} texts"
