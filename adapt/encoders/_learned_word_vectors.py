"""Word vectors learned from texts at hand."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch.nn.utils.rnn import pad_sequence

from adapt.encoders._by_word import by_word
from adapt.encoders._tokens import word_tokens
from adapt.encoders._word_vectors import WordVectors, split_words
from adapt.encoders.encoder import Encoder
from adapt.evaluating import evaluating
from losses.options import COUNT, POSITIVE, check


def learn_word_vectors(
    texts: Sequence[str],
    dim: int = 100,
    *,
    window: int = 5,
    least: int = 5,
    smoothing: float = 0.75,
    split: Callable[[str], list[str]] | None = None,
) -> WordVectors:
    r"""Learn word vectors from texts: the singular vectors of the positive pointwise mutual information, PPMI.

    .. math:: M_{wc} = \max\Bigl( 0, \log \frac{n_{wc}}{n_w} \frac{\sum_k n_k^\alpha}{n_c^\alpha} \Bigr)
        \approx U \Sigma V^\top, \qquad x_w = U_w \Sigma^{1/2}

    with :math:`n_{wc}` the weighted number of times that c stands at most `window` words before or after w in a text: a
    neighbour at the distance d has the weight :math:`1 - (d - 1) / \text{window}`, the mean weight of word2vec's random
    windows.

    Args:
        texts: of one corpus. Two corpora give two tables, and :func:`adapt.ranking.rank` says which one serves a task.
        dim: size of a vector; fewer than the words.
        window: neighbours on each side; 5 as in word2vec.
        least: a word that is seen less often has no vector, and counts as no neighbour; 5 as in word2vec.
        smoothing: :math:`\alpha` of the contexts, 0.75 as in the paper.
        split: from a text to its words, as in :meth:`WordVectors.ids`.

    Returns:
        :class:`WordVectors`, the most frequent word first. No random number is drawn. Vectors of equal texts differ in
        the last digits between machines.

    Raises:
        ValueError: one text in place of a sequence; `dim` that is not below the number of words with a vector.

    Levy, Goldberg, Dagan, Improving Distributional Similarity with Lessons Learned from Word Embeddings, 2015,
    https://aclanthology.org/Q15-1016

    >>> learn_word_vectors(["a b c d", "b a d c"], 2, least=1).words
    ['a', 'b', 'c', 'd']
    """
    from scipy.sparse.linalg import svds

    if isinstance(texts, str):
        raise ValueError("`texts` must be a sequence of str, got one str.")
    check(COUNT, dim=dim, window=window, least=least)
    check(POSITIVE, smoothing=smoothing)
    found = [(split or split_words)(text) for text in texts]
    seen = Counter(word for words in found for word in words)
    kept = [word for word, times in sorted(seen.items(), key=lambda one: (-one[1], one[0])) if times >= least]
    if dim >= len(kept):
        raise ValueError(
            f"`dim` must be below the number of words that are seen {least} times, {len(kept)}, got {dim}: give more "
            "texts, or a smaller `least`."
        )
    matrix = _ppmi(found, {word: row for row, word in enumerate(kept)}, window, smoothing)
    u, scale, _ = svds(matrix, k=dim, v0=numpy.ones(len(kept)))
    order = numpy.argsort(-scale)
    vectors = u[:, order] * numpy.sqrt(scale[order])
    vectors *= numpy.where(vectors.sum(0) < 0, -1.0, 1.0)  # the sign of a singular vector is free
    return WordVectors(kept, torch.from_numpy(numpy.ascontiguousarray(vectors, dtype=numpy.float32)))


def _ppmi(texts: list[list[str]], row: dict[str, int], window: int, smoothing: float) -> Any:
    """Return the sparse (words, words) matrix of the equation, in float64."""
    from scipy.sparse import coo_array, csr_array

    gap = [-1] * window  # no neighbour across the end of a text
    ids = numpy.array([i for words in texts for i in [*(row[w] for w in words if w in row), *gap]], dtype=numpy.int64)
    counts: Any = csr_array((len(row), len(row)))
    for distance in range(1, window + 1):
        a, b = ids[:-distance], ids[distance:]
        there = (a >= 0) & (b >= 0)
        weight = numpy.full(int(there.sum()), 1 - (distance - 1) / window)
        counts = counts + coo_array((weight, (a[there], b[there])), shape=counts.shape).tocsr()
    counts = (counts + counts.T).tocoo()
    of_word = counts.sum(1)
    of_context = of_word**smoothing
    i, j = counts.coords
    value = numpy.log(counts.data / of_word[i] * of_context.sum() / of_context[j])
    positive = value > 0
    return csr_array((value[positive], (i[positive], j[positive])), shape=counts.shape)


def contextual_word_vectors(
    texts: Sequence[str],
    encoder: Encoder,
    tokenizer: Any,
    *,
    length: int = 128,
    least: int = 5,
    batch_size: int = 32,
    split: Callable[[str], list[str]] | None = None,
) -> WordVectors:
    r"""Return one vector per word from an encoder that sees each word in its text: the mean over the word's places.

    .. math:: x_w = \frac{1}{n_w} \sum_{i: w_i = w} z_i - \frac{1}{W} \sum_v \frac{1}{n_v} \sum_{i: w_i = v} z_i

    with z the features of the first token of a word (:func:`by_word`). The second term is the mean over all words: the
    features of tokens have a large common part, which would make every cosine large.

    Args:
        texts: in which the words stand.
        encoder: with features of tokens, ``from_transformers(folder, pool="tokens")``; runs in evaluation mode, and
            gets its mode back.
        tokenizer: a fast tokenizer of the model.
        length: tokens of a text; the words behind do not count, and :func:`word_tokens` warns.
        least: a word that is seen less often has no vector.
        batch_size: texts at a time, of similar length.
        split: from a text to its words, as in :meth:`WordVectors.ids`.

    Raises:
        ValueError: one text in place of a sequence; no word that is seen often enough.

    Bommasani, Davis, Cardie, Interpreting Pretrained Contextualized Representations via Reductions to Static
    Embeddings, 2020, https://aclanthology.org/2020.acl-main.431
    """
    if isinstance(texts, str):
        raise ValueError("`texts` must be a sequence of str, got one str.")
    check(COUNT, length=length, least=least, batch_size=batch_size)
    found = [words for words in map(split or split_words, texts) if words]
    rows, reader = word_tokens(found, tokenizer, length, per_word=True), by_word(encoder)
    pairs = zip(found, rows.first, strict=True)
    seen = Counter(word for words, first in pairs for word, place in zip(words, first, strict=True) if place >= 0)
    kept = {word: i for i, word in enumerate(sorted(w for w in seen if seen[w] >= least))}
    if not kept:
        raise ValueError(f"`texts` must hold a word {least} times: give more texts, or a smaller `least`.")
    device = next(encoder.parameters()).device
    sums, order = torch.zeros(len(kept), encoder.dim, dtype=torch.float64), rows.lengths.argsort(stable=True).tolist()
    with evaluating(reader):
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            batch = {
                name: pad_sequence([part[i] for i in some], batch_first=True) for name, part in rows.inputs.items()
            }
            states = reader({name: part.to(device) for name, part in batch.items()}).cpu().double()
            for number, state in zip(some, states, strict=True):
                words, first = found[number], rows.first[number]
                places = [i for i, word in enumerate(words) if word in kept and first[i] >= 0]
                sums.index_add_(0, torch.tensor([kept[words[i]] for i in places], dtype=torch.long), state[places])
    means = sums / torch.tensor([[seen[word]] for word in kept])
    return WordVectors(list(kept), means - means.mean(0))
