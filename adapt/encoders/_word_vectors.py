"""Word vectors, and encoders made of word vectors."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from losses.fine_tuning.norm import unit
from losses.options import COUNT, check

BUCKETS = 1000  # rows that unknown words share under "hash"


@dataclass
class WordVectors:
    """Words and their vectors.

    Attributes:
        words: in the order of the file, each word once.
        vectors: ``(words, dim)``, float32.
        oov: the treatment of an unknown word: ``"skip"`` leaves the word out; ``"zero"`` takes the zero vector, and the
            word counts in a mean; ``"mean"`` takes the mean of all vectors; ``"hash"`` takes one of 1000 random vectors
            of usual size, chosen by the letters of the word alone.
        duplicates: number of lines left out because of a repeated word.
        malformed: number of unreadable lines left out; above 0 only where the caller asked to skip.

    Raises:
        ValueError: no words, other numbers of words and vectors, repeated words, an unknown `oov`.
    """

    words: list[str]
    vectors: Tensor
    oov: str = "skip"
    duplicates: int = 0
    malformed: int = 0
    rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if len(shape) != 2 or len(self.words) != shape[0] or not self.words or shape[1] == 0:
            raise ValueError(
                f"`vectors` must be ({len(self.words)}, dim), one for each of at least one word, dim at least 1, "
                f"got {tuple(self.vectors.shape)}."
            )
        if self.oov not in ("skip", "zero", "mean", "hash"):
            raise ValueError(f'`oov` must be "skip", "zero", "mean" or "hash", got {self.oov!r}.')
        self.vectors = self.vectors.float()
        self.rows = {word: i for i, word in enumerate(self.words)}
        if len(self.rows) < len(self.words):
            raise ValueError(f"`words` must differ; {len(self.words) - len(self.rows)} of them repeat.")

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def __getitem__(self, word: str) -> Tensor:
        """Return the vector of a known word."""
        if word not in self.rows:
            raise KeyError(f"`{word}` is not among the {len(self.words)} words (they may be lower case).")
        return self.vectors[self.rows[word]]

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """Return the words whose vectors have the largest cosine with the vector of a known word, and the cosines.

        Args:
            word: is left out of the answer.
            count: of words, at most all others.

        Raises:
            KeyError: an unknown word.
            ValueError: a `count` below 1.

        >>> WordVectors(["a", "b", "c"], torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])).nearest("a", 1)
        [('c', 1.0)]
        """
        check(COUNT, count=count)
        cosine = unit(self.vectors.double(), 1) @ unit(self[word].double(), 0)
        cosine[self.rows[word]] = -torch.inf
        found = cosine.topk(min(count, len(self.words) - 1))
        return [
            (self.words[i], round(c, 6)) for c, i in zip(found.values.tolist(), found.indices.tolist(), strict=True)
        ]

    def ids(self, texts: Sequence[str], length: int, *, split: Callable[[str], list[str]] | None = None) -> Tensor:
        """Return ``(n, length)`` numbers for :meth:`encoder`.

        0 is padding, or a skipped unknown word; word i has the number i + 1.

        Args:
            texts: n texts.
            length: words per text; the rest is cut off.
            split: from a text to its words. ``None`` gives lower case words, numbers and punctuation marks. Vectors
                with upper case words (Google News) need another `split`.

        Raises:
            ValueError: one text instead of a sequence of texts.
        """
        if isinstance(texts, str):
            raise ValueError("`texts` must be a sequence of str, got one str.")
        check(COUNT, length=length)
        found = torch.zeros(len(texts), length, dtype=torch.int64)
        for row, text in enumerate(texts):
            numbers = [self._id(word) for word in (split or split_words)(text)]
            kept = [i for i in numbers if i][:length]
            found[row, : len(kept)] = torch.tensor(kept, dtype=torch.int64)
        return found

    def coverage(self, texts: Sequence[str], *, split: Callable[[str], list[str]] | None = None) -> float:
        """Return the share of known words in `texts`."""
        known = [word in self.rows for text in texts for word in (split or split_words)(text)]
        return sum(known) / max(len(known), 1)

    def encoder(self, *, tuned: bool = False, output: str = "pooled") -> Encoder:
        """Return an encoder from ``(n, length)`` ids to the mean of the word vectors of each text.

        A text without a known word has the zero vector.

        Args:
            tuned: the vectors learn with the task; padding does not learn. ``False`` freezes the vectors.
            output: ``"pooled"``, ``(n, dim)`` means, or ``"tokens"``, the ``(n, length, dim)`` vectors themselves.

        Raises:
            ValueError: an unknown `output`.
        """
        if output not in ("pooled", "tokens"):
            raise ValueError(f'`output` must be "pooled" or "tokens", got {output!r}.')
        parts = [torch.zeros(1, self.dim), self.vectors]
        if self.oov == "zero":
            parts.append(torch.zeros(1, self.dim))
        elif self.oov == "mean":
            parts.append(self.vectors.mean(0, keepdim=True))
        elif self.oov == "hash":
            noise = torch.randn(BUCKETS, self.dim, generator=torch.Generator().manual_seed(0))
            parts.append(noise * self.vectors.std())
        return table_encoder(torch.cat(parts), tuned, output)

    def _id(self, word: str) -> int:
        row = self.rows.get(word)
        if row is not None:
            return row + 1
        if self.oov == "skip":
            return 0
        return len(self.words) + 1 + (_bucket(word) if self.oov == "hash" else 0)


def table_encoder(table: Tensor, tuned: bool, output: str) -> Encoder:
    """Return the encoder of a table ``(rows, dim)`` of vectors, where row 0 is padding."""
    kept = {"rows": len(table), "dim": table.shape[1], "tuned": tuned, "output": output}
    recipe = "adapt.encoders._word_vectors.empty_table_encoder", kept
    return Encoder(_Words(table, tuned, output), table.shape[1], layers=["table"], recipe=recipe)


def empty_table_encoder(rows: int, dim: int, tuned: bool, output: str) -> Encoder:
    """Return the encoder of a table of zeros."""
    return table_encoder(torch.zeros(rows, dim), tuned, output)


class _Words(nn.Module):
    def __init__(self, table: Tensor, tuned: bool, output: str):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(table, freeze=not tuned, padding_idx=0)
        self.output = output

    def extra_repr(self) -> str:
        return f"output={self.output!r}, tuned={self.table.weight.requires_grad}"

    def forward(self, ids: Tensor) -> Tensor:
        vectors = self.table(ids)
        if self.output == "tokens":
            return vectors
        words = (ids != 0).sum(1, keepdim=True).clamp_min(1)
        return vectors.sum(1) / words


def split_words(text: str) -> list[str]:
    """Return lower case words, numbers and punctuation marks.

    >>> split_words("It's 5 o'clock, Ada!")
    ["it's", '5', "o'clock", ',', 'ada', '!']
    """
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.lower())


def _bucket(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") % BUCKETS
