"""Texts, and sentences of words, as rows of token numbers for models of transformers."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.encoders._by_word import MASK, PLACES, SHAPES, word_shapes
from losses.options import COUNT, TRUTH, check

MISSING = -1  # the label of tokens without a tag, as everywhere


class Tokens(Dataset):
    """Rows of a dict of tensors, with or without labels: a dataset for a stream.

    Args:
        inputs: tensors ``(n, ...)`` by name, or lists of n tensors of unequal length.
        labels: ``(n, ...)``, or n tensors of unequal length, where there are labels.

    Raises:
        ValueError: tensors with different numbers of rows.
    """

    def __init__(
        self, inputs: Mapping[str, Tensor | Sequence[Tensor]], labels: Tensor | Sequence[Tensor] | None = None
    ):
        sizes = {len(part) for part in [*inputs.values(), *([] if labels is None else [labels])]}
        if len(sizes) != 1:
            raise ValueError(f"`inputs` and `labels` must have the same rows, got {sorted(sizes)}.")
        self.inputs, self.labels, self.rows = dict(inputs), labels, sizes.pop()

    @property
    def lengths(self) -> Tensor:
        """Number of places of each row, ``(n,)``, for the `lengths` of a stream; padded rows count as they are."""
        return torch.tensor([len(row) for row in next(iter(self.inputs.values()))], dtype=torch.long)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        row = {name: part[index] for name, part in self.inputs.items()}
        return row if self.labels is None else (row, self.labels[index])


def tokens(
    texts: Sequence[str],
    tokenizer: Any,
    length: int,
    labels: Tensor | None = None,
    *,
    padded: bool = True,
    keep: str = "start",
) -> Tokens:
    """Return texts as rows for :func:`from_transformers`, with an attention mask: of one length, or of the length
    of each text.

    Args:
        texts: n texts.
        tokenizer: of the model, ``AutoTokenizer.from_pretrained(folder)``.
        length: tokens per text; at most so many where ``padded=False``.
        labels: ``(n,)``, where there are labels.
        padded: False keeps each text as long as the text is. Batches are then padded by the stream, and batches of
            similar length need little padding::

                rows = encoders.tokens(texts, tokenizer, 256, labels, padded=False)
                fill = collate.pad(value={"input_ids": tokenizer.pad_token_id})
                Stream(rows, 32, collate=fill, lengths=rows.lengths)
        keep: the part of a text with more than `length` tokens: ``"start"``, or ``"ends"`` for the first and the last
            tokens, half of `length` each, the special tokens of both ends included. For reviews the ends told more than
            the start (Sun et al., 2019).

    Raises:
        ValueError: a length below 1; another `keep`.

    Sun, Qiu, Xu, Huang, How to Fine-Tune BERT for Text Classification?, 2019, https://arxiv.org/abs/1905.05583
    """
    check(COUNT, length=length)
    check(TRUTH, padded=padded)
    if keep not in ("start", "ends"):
        raise ValueError(f'`keep` must be "start" or "ends", got {keep!r}.')
    if keep == "ends":
        found = tokenizer(list(texts), verbose=False)  # else a text longer than the model reads is told
        first, last = length - length // 2, length // 2
        cut = {
            name: [row if len(row) <= length else row[:first] + row[len(row) - last :] for row in column]
            for name, column in found.items()
        }
        if padded:
            cut = dict(tokenizer.pad(cut, padding="max_length", max_length=length, return_tensors="pt"))
            return Tokens(cut, labels)
        return Tokens(_tensors(cut), labels)
    if not padded:
        found = tokenizer(list(texts), truncation=True, max_length=length)
        return Tokens(_tensors(found), labels)
    inputs = tokenizer(list(texts), truncation=True, padding="max_length", max_length=length, return_tensors="pt")
    return Tokens(dict(inputs), labels)


class WordTokens(Tokens):
    """Sentences of words as rows of tokens, with the tag of a word at the first token of the word.

    Attributes:
        first: for each sentence ``(words,)``, the place of the first token of each word; -1 where the word has no
            token in the row.
        per_word: whether labels, and the features of :func:`by_word`, have a place for each word.
    """

    def __init__(
        self,
        inputs: Mapping[str, Sequence[Tensor]],
        labels: Sequence[Tensor] | None,
        first: list[Tensor],
        per_word: bool = False,
    ):
        super().__init__(inputs, labels)
        self.first, self.per_word = first, per_word

    def of_words(self, tokens: Sequence[Any]) -> list[list[Any]]:
        """Return the values of the words from values of the tokens, such as predicted classes.

        Args:
            tokens: for each sentence one value per token, padding included or not; with ``per_word=True`` one value per
                word.

        Returns:
            For each sentence one value per word; None where the word has no token in the row.

        Raises:
            ValueError: another number of sentences; fewer values than tokens.
        """
        if len(tokens) != len(self):
            raise ValueError(f"`tokens` must have {len(self)} sentences, got {len(tokens)}.")
        found = []
        for number, (row, places) in enumerate(zip(tokens, self.first, strict=True)):
            values = row.tolist() if isinstance(row, Tensor) else list(row)
            if self.per_word:
                places = torch.where(places >= 0, torch.arange(len(places)), -1)
            if len(values) <= max(places.tolist(), default=-1):
                raise ValueError(f"`tokens` must have a value for every token, sentence {number} has {len(values)}.")
            found.append([values[place] if place >= 0 else None for place in places.tolist()])
        return found


def word_tokens(
    sentences: Sequence[Sequence[str]],
    tokenizer: Any,
    length: int,
    tags: Sequence[Sequence[int]] | None = None,
    *,
    per_word: bool = False,
) -> WordTokens:
    """Return sentences of words as rows of tokens, for tags of words by :class:`adapt.heads.TokenClassifier`.

    The first token of a word carries the tag of the word; the other tokens of the word and the special tokens carry
    the missing label -1. Rows keep their own length, as with ``tokens(..., padded=False)``.

    Args:
        sentences: n lists of words.
        tokenizer: a fast tokenizer of the model, ``AutoTokenizer.from_pretrained(folder)``.
        length: tokens per sentence at most, special tokens included.
        tags: for each sentence one tag per word, where there are tags; -1 where the tag is unknown.
        per_word: True for rows of :func:`by_word`: beside the tokens the inputs hold ``"words"``, the place of the
            first token of each word, ``"mask"``, False where a word has no token, and ``"shapes"``, the bits of
            :func:`word_shapes`. Labels have a place for each word.

    Warns where a word has no token, because the sentence is cut off at `length`, or because the tokenizer removes all
    letters of the word: the tag of the word counts neither in the loss nor in a score of tokens.

    Raises:
        TypeError: a tokenizer that cannot tell the words of its tokens; a sentence that is a str.
        ValueError: no sentences; other numbers of tags than of words.

    Related: :meth:`WordTokens.of_words` reads predictions word by word, and :func:`adapt.heads.span_f1` scores these.
    """
    check(COUNT, length=length)
    check(TRUTH, per_word=per_word)
    words = [list(sentence) if not isinstance(sentence, str) else sentence for sentence in sentences]
    if not words or any(isinstance(sentence, str) for sentence in words):
        raise (TypeError if words else ValueError)("`sentences` must be at least one list of words: split texts first.")
    if tags is not None and [len(row) for row in tags] != [len(sentence) for sentence in words]:
        raise ValueError("`tags` must have one tag for each word of each sentence, and the numbers differ.")
    if not getattr(tokenizer, "is_fast", False):  # tokenizers of transformers say so in this way
        raise TypeError(
            f"`tokenizer` must be a fast tokenizer of transformers, which tells the word of a token, got a "
            f"{type(tokenizer).__name__}: `AutoTokenizer.from_pretrained(folder)`."
        )
    found = tokenizer(words, is_split_into_words=True, truncation=True, max_length=length)
    first, labels, lost = [], [], 0
    for number, sentence in enumerate(words):
        places = torch.full((len(sentence),), -1)
        for place, word in reversed(list(enumerate(found.word_ids(number)))):
            if word is not None:
                places[word] = place
        there = places >= 0
        lost += int((~there).sum())
        first.append(places)
        if tags is not None:
            known = torch.as_tensor(tags[number], dtype=torch.long)
            row = torch.full((len(found["input_ids"][number]),), MISSING)
            row[places[there]] = known[there]
            labels.append(known.where(there, MISSING) if per_word else row)
    if lost:
        total = sum(map(len, words))
        warnings.warn(
            f"{lost} of {total} words have no token: a sentence is longer than {length} tokens, or the tokenizer "
            "removes all letters of a word. Their tags do not count; take a larger `length`.",
            stacklevel=2,
        )
    inputs = {name: [torch.tensor(row, dtype=torch.long) for row in column] for name, column in found.items()}
    if per_word:
        inputs |= {PLACES: [places.clamp_min(0) for places in first], MASK: [places >= 0 for places in first]}
        inputs[SHAPES] = [word_shapes(sentence) for sentence in words]
    return WordTokens(inputs, None if tags is None else labels, first, per_word)


def _tensors(found: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, list[Tensor]]:
    return {name: [torch.tensor(row, dtype=torch.long) for row in column] for name, column in found.items()}
