"""Pieces of words for the head that writes texts, learned from texts."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from adapt import store
from adapt.datasets.vocabulary import LENGTH, padded
from losses.options import check, whole

INSTALL = 'pip install "adapt-losses[text]"  (or: pip install tokenizers)'
BYTES = 256
FORMAT = "adapt-losses byte pairs 1"


class BytePairs:
    """Pieces of words of frequent letters, learned from texts: byte-level byte-pair encoding, as in GPT-2.

    The pieces start as the 256 bytes; the most frequent pair of neighbours becomes a new piece, again and again.
    Every text has pieces, so that no word is unknown, and the pieces give the text back exactly, blanks included.

    Args:
        texts: any number of texts.
        size: pieces, the end of a text included; fewer where the texts have no further pair. 4,000: with 29,000
            captions a small table learns faster, and the softmax costs less.

    Attributes:
        words: the pieces by number, for ``heads.Sequence(encoder, pairs.words, byte_level=True)``. Piece 0 is ``""``,
            the end of a text. The letters stand for bytes: "Ġ" is a blank.

    Raises:
        ImportError: the package tokenizers, which transformers brings, is not installed.
        TypeError: one text in place of many, or something else than texts.
        ValueError: no texts; a `size` below 257.

    Sennrich, Haddow, Birch, Neural Machine Translation of Rare Words with Subword Units, 2016,
    https://arxiv.org/abs/1508.07909

    >>> pairs = BytePairs(["ein Hund", "ein Haus"], size=262)
    >>> len(pairs), pairs.texts(pairs.numbers(["kein  Haus"]))
    (262, ['kein  Haus'])
    """

    def __init__(self, texts: Iterable[str], *, size: int = 4000):
        check(whole(BYTES + 1), size=size)
        rows = _checked(texts)
        if not rows:
            raise ValueError("`texts` is empty: expected at least one text.")
        made = _package()
        coder = made.Tokenizer(made.models.BPE())
        coder.pre_tokenizer = made.pre_tokenizers.ByteLevel(add_prefix_space=False)
        coder.decoder = made.decoders.ByteLevel()
        alphabet = made.pre_tokenizers.ByteLevel.alphabet()
        trainer = made.trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
        coder.train_from_iterator(rows, trainer)
        self._take(coder)

    def _take(self, coder: Any) -> None:
        self._coder = coder
        number = coder.get_vocab()
        if sorted(number.values()) != list(range(len(number))):
            raise ValueError("the numbers of its pieces have gaps")
        self.words = ["", *sorted(number, key=number.__getitem__)]

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"BytePairs({len(self)} pieces)"

    def numbers(self, texts: Iterable[str], length: int = LENGTH) -> Tensor:
        """Return ``(n, length)`` labels for :class:`adapt.heads.Sequence`: the numbers of the pieces, 0 after the last
        piece, then -1. The rest of a long text is cut off."""
        rows = self._coder.encode_batch(_checked(texts))
        return padded([[*(number + 1 for number in row.ids), 0] for row in rows], length)

    def texts(self, numbers: Tensor | Iterable[Iterable[int]]) -> list[str]:
        """Return the text of each row of numbers; 0 and -1 are left out. Bytes that are no letters together, as a cut
        text may have, become the replacement character."""
        rows = numbers.tolist() if isinstance(numbers, Tensor) else numbers
        return self._coder.decode_batch([[number - 1 for number in row if number > 0] for row in rows])

    def save(self, path: str | Path) -> Path:
        """Write the pieces as JSON; the file is there whole or not at all."""
        with store.whole_file(Path(path)) as temporary:
            Path(temporary).write_text(json.dumps({"format": FORMAT, "pieces": self._coder.to_str()}))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "BytePairs":
        """Read what :meth:`save` wrote.

        Raises:
            ImportError: tokenizers is not installed.
            ValueError: a torn file, or a file of another kind.
        """
        made, found = _package(), cls.__new__(cls)
        try:
            kept = json.loads(Path(path).read_text())
            if kept["format"] != FORMAT:
                raise ValueError(f"its format is {kept['format']!r}")
            found._take(made.Tokenizer.from_str(kept["pieces"]))
        except OSError:
            raise
        except Exception as error:  # tokenizers raises plain Exceptions
            raise ValueError(f"`{path}` holds no byte pairs: write it with `BytePairs.save`. ({error})") from error
        return found


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(f"tokenizers is not installed: {INSTALL}") from error
    return tokenizers


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError(f"`texts` must be a list of texts, got one text: give `[{texts[:20]!r}]`.")
    rows = list(texts)
    wrong = next((row for row in rows if not isinstance(row, str)), None)
    if wrong is not None:
        raise TypeError(f"`texts` must be texts, got a {type(wrong).__name__}.")
    return rows
