"""The likeness of texts by their words: BLEU, by the library sacrebleu."""

from collections.abc import Sequence
from typing import Any

from adapt.heads._chrf import check_texts
from adapt.heads.score import Score

INSTALL = 'pip install "adapt-losses[text]"  (or: pip install sacrebleu)'
RESAMPLES = 1000  # of sentences, for the interval: the default of sacrebleu


def bleu(found: Sequence[str], references: Sequence[str], *, interval: bool = True) -> Score:
    """Return BLEU in percent, as sacrebleu computes BLEU by default, with a 95 % interval over sentences.

    The texts must be as a reader sees the texts: upper and lower case, and no blanks before commas. sacrebleu cuts the
    texts into words (``tok:13a``). BLEU of texts in lower case, or of texts cut by others, is several points higher or
    lower and must not be compared: publish :func:`bleu_signature` beside the number.

    Args:
        found: n texts.
        references: n texts, one for each of `found`.
        interval: False leaves the interval out, ``(0, 100)``: 1,000 resamples take seconds.

    Raises:
        ImportError: sacrebleu is not installed.
        ValueError: no texts, or other numbers of texts; one text instead of a list.

    Post, A Call for Clarity in Reporting BLEU Scores, 2018, https://arxiv.org/abs/1804.08771

    >>> bleu(["Ein Hund rennt im Park."], ["Ein Hund rennt im Park."], interval=False).value.__round__(6)
    100.0
    """
    check_texts(found, references)
    metric = _metric()
    if not interval:
        value = metric.corpus_score(list(found), [list(references)]).score
        return Score("BLEU", value, 0.0, 100.0, len(found))
    # sacrebleu draws from a generator with a seed of its own, 12345
    result = metric.corpus_score(list(found), [list(references)], n_bootstrap=RESAMPLES)
    middle, half = result._mean, result._ci
    return Score("BLEU", result.score, max(middle - half, 0.0), min(middle + half, 100.0), len(found))


def bleu_signature() -> str:
    """Return the settings and the release of sacrebleu in :func:`bleu`, as articles print the settings.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    metric = _metric()
    metric.corpus_score(["a"], [["a"]])  # the number of references is known after a score
    return str(metric.get_signature())


def _metric() -> Any:
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise ImportError(f"sacrebleu is not installed: {INSTALL}") from error
    return BLEU()
