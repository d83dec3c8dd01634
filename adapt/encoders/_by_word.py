"""Features of words from the features of their tokens, beside the look of the words."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder, expect_encoder
from losses.options import TRUTH, check

# the columns of `word_tokens(..., per_word=True)` beside those of the tokenizer
PLACES, MASK, SHAPES = COLUMNS = "words", "mask", "shapes"
LOOKS = 6


def by_word(encoder: Encoder, *, shapes: bool = False) -> Encoder:
    """Return an encoder with features of words ``(n, words, d)``: the features of the first token of each word.

    A word without a token, and padding, has features of 0. The inputs are the rows of
    ``encoders.word_tokens(..., per_word=True)``, padded by ``collate.pad()``. The order of the words stays, so a chain
    over words (``heads.TokenClassifier(..., crf=True)``) sees words and no parts of words.

    Args:
        encoder: with features of tokens, ``from_transformers(folder, pool="tokens")``; shares its modules with the
            result.
        shapes: True puts 18 further features behind the features of the first token, which tell how the word, the word
            before and the word behind are written: :func:`word_shapes`. For models that read small letters alone.

    Raises:
        TypeError: a module that is no :class:`Encoder`.
        ValueError: in a pass, features without tokens, or inputs without the places of the words.

    The first token of a word stands for the word as in Devlin et al., BERT, 2019, section 5.3,
    https://arxiv.org/abs/1810.04805
    """
    expect_encoder(encoder)
    check(TRUTH, shapes=shapes)
    found = Encoder(
        _ByWord(encoder.body, shapes), encoder.dim + 3 * LOOKS * shapes,
        layers=[f"whole.{name}" for name in encoder.layers],
        preprocess=encoder.preprocess, source=encoder.source, licence=encoder.licence,
        recipe=("adapt.encoders.by_word", {"encoder": encoder, "shapes": shapes}),
    )  # fmt: skip
    found.training = encoder.training  # the modules are shared: their mode stays
    found.keep_in_eval(f"whole.{name}" if name else "whole" for name in encoder.kept_in_eval)
    return found


def word_shapes(words: Sequence[str]) -> Tensor:
    """Return ``(words, 18)``, how each word of a sentence is written: six bits of the word before, of the word, and of
    the word behind.

    The bits: a capital letter first, all letters capital, a capital letter behind the first sign, a digit, no letter
    and no digit, first word of the sentence. Bits of words outside of the sentence are 0.

    >>> word_shapes(["McEwan", ",", "2"])[:, 6:12].int().tolist()
    [[1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]]
    """
    rows = [
        (
            word[:1].isupper(),
            word.isupper(),
            any(sign.isupper() for sign in word[1:]),
            any(sign.isdigit() for sign in word),
            not any(sign.isalnum() for sign in word),
            place == 0,
        )
        for place, word in enumerate(words)
    ]
    bits = torch.zeros(len(rows) + 2, LOOKS)
    bits[1:-1] = torch.tensor(rows, dtype=torch.float32).view(-1, LOOKS)
    return torch.cat([bits[:-2], bits[1:-1], bits[2:]], 1)


class _ByWord(nn.Module):
    def __init__(self, whole: nn.Module, shapes: bool):
        super().__init__()
        self.whole, self.shapes = whole, shapes

    def extra_repr(self) -> str:
        return f"shapes={self.shapes}"

    def forward(self, inputs: Mapping[str, Any]) -> Tensor:
        if not isinstance(inputs, Mapping) or any(name not in inputs for name in COLUMNS):
            raise ValueError(
                "the inputs must hold 'words', 'mask' and 'shapes', the places and the shapes of the words: make the "
                "rows with `encoders.word_tokens(..., per_word=True)`."
            )
        z = self.whole({name: part for name, part in inputs.items() if name not in COLUMNS})
        if z.ndim != 3:
            raise ValueError(
                f"the encoder must give features of tokens (n, t, d), got {tuple(z.shape)}: "
                '`encoders.from_transformers(folder, pool="tokens")`.'
            )
        z = z.gather(1, inputs[PLACES][..., None].expand(-1, -1, z.shape[2]))
        if self.shapes:
            z = torch.cat([z, inputs[SHAPES].to(z)], 2)
        return z.masked_fill(~inputs[MASK].bool()[..., None], 0)
