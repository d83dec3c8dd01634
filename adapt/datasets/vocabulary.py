"""Numbers of words: for a decoder, and for an encoder of words in context."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from losses.options import COUNT, TRUTH, WHOLE, check

Sentences = Iterable[str | Sequence[str]]
LENGTH = 60  # of adapt.heads.Sequence
LETTERS = 3  # of an ending


class Vocabulary:
    """The frequent words of sentences, with numbers in the order of frequency.

    Args:
        sentences: texts, or lists of words. A text is cut into runs of letters and digits, and single other marks.
        least: occurrences of a word in all sentences; rarer words are unknown. 1 takes all words.
        lower: whether upper and lower case are one word.

    Attributes:
        words: the words by number. Word 0 is ``""``, the end of a sentence.
        number: the number of each word.

    Raises:
        TypeError: a text in place of many, or sentences that are neither texts nor lists of words.
        ValueError: `least` below 1, a `lower` that is neither True nor False.

    >>> german = Vocabulary(["ein Hund!", "ein Haus"], least=2)
    >>> german.words, german.numbers(["ein Tier"], 5).tolist()
    (['', 'ein'], [[1, -1, 0, -1, -1]])
    """

    def __init__(self, sentences: Sentences, *, least: int = 1, lower: bool = False):
        check(COUNT, least=least)
        check(TRUTH, lower=lower)
        self.lower = lower
        counts = Counter(word for sentence in _split(sentences, lower) for word in sentence if word)
        self.words = ["", *(word for word, count in counts.most_common() if count >= least)]
        self.number = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"

    def numbers(self, sentences: Sentences, length: int = LENGTH) -> Tensor:
        """Return ``(n, length)`` labels for :class:`adapt.heads.Sequence`.

        The numbers of the words, 0 after the last word, then -1. An unknown word is -1. The rest of a long sentence is
        cut off.
        """
        rows = _split(sentences, self.lower)
        return padded([[*(self.number.get(word, -1) for word in row), 0] for row in rows], length)


class WordForms:
    """Numbers of word, ending and shape of each word, for :func:`adapt.encoders.small_gru`.

    Upper and lower case are one word, and the shape tells the case. An ending is the last three letters: an ending
    tells much about a word that is unknown.

    Args:
        sentences: texts or lists of words, as in :class:`Vocabulary`.
        least: occurrences of a word; rarer words are unknown. 2.
        least_ending: occurrences of an ending. 5.

    Attributes:
        sizes: how many numbers words and endings have, 0 included: the first arguments of ``encoders.small_gru``.

    Raises:
        TypeError: as in :class:`Vocabulary`.
        ValueError: numbers below 1.

    >>> forms = WordForms(["A dog barks"], least=1, least_ending=1)
    >>> forms.sizes, forms.numbers(["Dog 7"], 3).tolist()
    ((4, 4), [[[2, 2, 1], [0, 0, 3], [0, 0, 0]]])
    """

    def __init__(self, sentences: Sentences, *, least: int = 2, least_ending: int = 5):
        check(COUNT, least=least, least_ending=least_ending)
        rows = _split(sentences, lower=True)
        self.words = Vocabulary(rows, least=least)
        self.endings = Vocabulary([[word[-LETTERS:] for word in row] for row in rows], least=least_ending)
        self.sizes = len(self.words), len(self.endings)

    def __repr__(self) -> str:
        return f"WordForms({len(self.words)} words, {len(self.endings)} endings)"

    def numbers(self, sentences: Sentences, length: int = LENGTH) -> Tensor:
        """Return ``(n, length, 3)`` numbers; 0 is padding, or unknown. The rest of a long sentence is cut off.

        Shapes: 1 begins with an upper case letter, 2 with a lower case letter, 3 has a digit, 4 has letters without
        case, 5 has none of these.
        """
        rows = _split(sentences)
        forms = (
            lambda word: self.words.number.get(word.lower(), 0),
            lambda word: self.endings.number.get(word.lower()[-LETTERS:], 0),
            _shape,
        )
        return torch.stack([padded([[form(word) for word in row] for row in rows], length, 0) for form in forms], 2)


def padded(rows: Iterable[Sequence[int]], length: int = LENGTH, value: int = -1) -> Tensor:
    """Return rows of numbers of any length as ``(n, length)``: labels of tokens, for example.

    Args:
        rows: whole numbers of each row.
        length: of all rows in the result; the rest of a longer row is cut off. 60.
        value: fills shorter rows; -1, a missing label.

    >>> padded([[3], [4, 5, 6]], 2).tolist()
    [[3, -1], [4, 5]]
    """
    check(COUNT, length=length)
    check(WHOLE, value=value)
    made = [[*row[:length], *[value] * (length - len(row))] for row in rows]
    return torch.tensor(made, dtype=torch.long).reshape(len(made), length)


def _split(sentences: Sentences, lower: bool = False) -> list[list[str]]:
    if isinstance(sentences, str):
        raise TypeError(f"`sentences` must be a list of texts, got one text: give `[{sentences[:20]!r}]`.")
    rows = [re.findall(r"\w+|[^\w\s]", row) if isinstance(row, str) else list(row) for row in sentences]
    if not all(isinstance(word, str) for row in rows for word in row):
        raise TypeError("`sentences` must be texts or lists of words, got a word that is no text: name the words.")
    return [[word.lower() for word in row] for row in rows] if lower else rows


def _shape(word: str) -> int:
    kinds = (word[:1].isupper(), word[:1].islower(), any(c.isdigit() for c in word), any(c.isalpha() for c in word))
    return 1 + (kinds.index(True) if any(kinds) else 4)
