"""A small recurrent network for sentences."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from adapt.encoders.encoder import Encoder
from losses.options import BELOW_1, COUNT, check, whole

SHAPES = 6  # of adapt.datasets.WordForms, with 0 for padding


def small_gru(words: int, endings: int, *, dim: int = 128, dropout: float = 0.3) -> Encoder:
    r"""Return an encoder of words in context, without pretrained weights: vectors, then a GRU in both directions.

    The vector of a word is the sum of three vectors, with b = 0 for a share `dropout` of the words in training:

    .. math:: x = \frac{b}{1 - \text{dropout}} v_{\text{word}} + v_{\text{ending}} + v_{\text{shape}}

    Vectors of words and endings start at zero, so that a word that was never learned says nothing. Words are left out
    at random, so that ending and shape must tell the word. A share `dropout` of the numbers in x is dropped too.

    Args:
        words: numbers of words, 0 included: :attr:`adapt.datasets.WordForms.sizes` has both numbers.
        endings: numbers of endings, 0 included.
        dim: feature size, even; 128.
        dropout: 0.3.

    Shapes: ``(n, length, 3)`` numbers of :meth:`adapt.datasets.WordForms.numbers`, with padding of 0 at the end, to
    ``(n, length, dim)`` features. Features of padding are exactly 0. Padding costs nothing: a host synchronisation on
    a GPU reads the lengths.

    Precision: the GRU and the vectors follow autocast.

    Raises:
        ValueError: sizes below 1, an odd `dim`, a dropout outside [0, 1); inputs of another shape, numbers out of
            range, padding before a word.

    >>> import torch
    >>> small_gru(9, 5, dim=4)(torch.tensor([[[1, 1, 2], [0, 3, 1], [0, 0, 0]]])).shape
    torch.Size([1, 3, 4])
    """
    check(COUNT, words=words, endings=endings)
    check(whole(2), dim=dim)
    check(BELOW_1, dropout=dropout)
    if dim % 2:
        raise ValueError(f"`dim` must be even, got {dim}: half of the features comes from each direction.")
    words, endings, dim, dropout = int(words), int(endings), int(dim), float(dropout)
    recipe = {"words": words, "endings": endings, "dim": dim, "dropout": dropout}
    return Encoder(_Sentences(words, endings, dim, dropout), dim, recipe=("adapt.encoders.small_gru", recipe))


class _Sentences(nn.Module):
    def __init__(self, words: int, endings: int, dim: int, dropout: float):
        super().__init__()
        self.words, self.endings, self.shapes = (nn.Embedding(size, dim) for size in (words, endings, SHAPES))
        for table in (self.words, self.endings):
            nn.init.zeros_(table.weight)
        self.context, self.dropout = nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True), dropout

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}"

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 3 or inputs.shape[2] != 3 or inputs.is_floating_point():
            raise ValueError(
                "`inputs` must be (n, length, 3) whole numbers of word, ending and shape, got shape "
                f"{tuple(inputs.shape)} of {inputs.dtype}: "
                "`datasets.WordForms(...).numbers(sentences, length)` makes the numbers."
            )
        there = inputs[..., 2] > 0
        if not there.numel():
            return self.words.weight.new_zeros(*there.shape, self.words.embedding_dim)  # torch packs no empty tensors
        sizes = [table.num_embeddings for table in (self.words, self.endings, self.shapes)]
        wrong = (inputs < 0) | (inputs >= inputs.new_tensor(sizes))
        if bool((wrong.any(2) | (there & ~there.cummin(1).values)).any()):
            raise ValueError(
                f"`inputs` must be numbers of words below {sizes[0]}, of endings below {sizes[1]} and of shapes below "
                f"{SHAPES}, with padding of 0 at the end alone, got others: make the numbers with the "
                "`datasets.WordForms` whose `sizes` the encoder has."
            )
        lengths = there.sum(1).clamp_min(1).cpu()  # torch packs no row of length 0
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        word, ending, shape = packed.data.unbind(1)
        known = F.dropout(self.words.weight.new_ones(len(word), 1), self.dropout, self.training)
        x = self.words(word) * known + self.endings(ending) + self.shapes(shape)
        context, _ = self.context(packed._replace(data=F.dropout(x, self.dropout, self.training)))
        features = pad_packed_sequence(context, batch_first=True, total_length=inputs.shape[1])[0]
        return features.masked_fill(~there[..., None], 0)  # a row of padding alone
