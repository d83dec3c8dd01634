"""Word vectors of texts at hand, against counts pair by pair in float64, and the nearest words."""

import itertools
import math
from collections import Counter

import numpy
import pytest
import torch

from adapt import encoders, ranking
from adapt.encoders._learned_word_vectors import _ppmi
from tests.adapt.encoders.test_word_tokens import fast
from tests.adapt.encoders.tiny import bert


def corpus(seed=0, texts=60):
    g = numpy.random.default_rng(seed)
    return [" ".join(g.choice(list("abcdefgh"), size=g.integers(1, 12))) for _ in range(texts)]


@pytest.mark.parametrize("window, smoothing", [(1, 1.0), (3, 0.75), (20, 0.5)])
def test_the_matrix_is_that_of_the_equation(window, smoothing):
    words = [text.split() for text in corpus()]
    row = {w: i for i, w in enumerate("abcdefg")}  # h is rare, say
    n: Counter = Counter()
    for text in words:
        text = [w for w in text if w in row]
        for i, j in itertools.permutations(range(len(text)), 2):
            if abs(i - j) <= window:
                n[text[i], text[j]] += 1 - (abs(i - j) - 1) / window
    of = {w: sum(v for (a, _), v in n.items() if a == w) for w in row}
    found = _ppmi(words, row, window, smoothing).toarray()
    for (w, i), (c, j) in itertools.product(row.items(), row.items()):
        total = sum(v**smoothing for v in of.values())
        expected = math.log(n[w, c] / of[w] * total / of[c] ** smoothing) if n[w, c] else 0.0
        assert found[i, j] == pytest.approx(max(0.0, expected), abs=1e-12)


def test_vectors_give_the_best_matrix_of_their_rank():
    texts = corpus()
    table = encoders.learn_word_vectors(texts, 3, least=1)
    assert sorted(table.words) == list("abcdefgh") and table.vectors.shape == (8, 3)
    matrix = _ppmi([t.split() for t in texts], {w: i for i, w in enumerate(table.words)}, 5, 0.75).toarray()
    u, s, _ = numpy.linalg.svd(matrix)
    x = table.vectors.double().numpy()
    numpy.testing.assert_allclose(x / numpy.sqrt(s[:3]) @ (x / numpy.sqrt(s[:3])).T, u[:, :3] @ u[:, :3].T, atol=1e-5)
    numpy.testing.assert_allclose((x**2).sum(0), s[:3], rtol=1e-5)
    again = encoders.learn_word_vectors(texts, 3, least=1)
    assert torch.equal(again.vectors, table.vectors)


def test_words_of_one_company_are_near():
    texts = [
        f"{subject} {verb} {thing}" for subject in ("cat", "dog") for verb in ("eats", "sees") for thing in ("it",)
    ]
    texts += [f"{number} plus {other} is more" for number in ("one", "two") for other in ("three", "four")]
    table = encoders.learn_word_vectors(texts * 5, 4)
    assert table.nearest("cat", 1)[0][0] == "dog" and table.nearest("one", 1)[0][0] in ("two", "three", "four")
    assert len(table.nearest("cat", 99)) == len(table.words) - 1
    values = [cosine for _, cosine in table.nearest("cat", 99)]
    assert values == sorted(values, reverse=True)
    with pytest.raises(KeyError, match="`cow` is not among"):
        table.nearest("cow")


def test_doors():
    with pytest.raises(ValueError, match="`texts` must be a sequence of str"):
        encoders.learn_word_vectors("a b c")
    with pytest.raises(ValueError, match="`dim` must be below the number of words that are seen 5 times, 0, got 2"):
        encoders.learn_word_vectors(["a b c"], 2)
    assert encoders.learn_word_vectors(["a b", "b a c"], 1, least=2).words == ["a", "b"]


def test_tables_are_ranked_by_the_texts_of_the_task():
    texts, labels = ["good day", "bad day", "so good", "so bad"] * 5, [1, 0] * 10
    words = ["good", "bad", "day", "so"]
    tells = encoders.WordVectors(words, torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
    blind = encoders.WordVectors(words, torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, -1]]))
    found = ranking.rank({"blind": blind, "tells": tells}, labels, texts=texts, resamples=20, halves=0)
    means = tells.encoder()(tells.ids(texts, 2))
    same = ranking.rank({"blind": blind, "tells": means}, labels, texts=texts, resamples=20, halves=0)
    assert found.best == same.best == "tells" and [r.scores for r in found.rows] == [r.scores for r in same.rows]
    with pytest.raises(TypeError, match="candidates blind are tables of word vectors: give the rows as `texts`"):
        ranking.rank({"blind": blind}, labels)
    with pytest.raises(ValueError, match="`texts` must be a sequence of str"):
        ranking.rank({"blind": blind}, labels, texts="good")


def test_a_word_has_the_mean_of_its_places():
    texts = ["ab c", "c ab d", "d", "c c ab e", ""]
    encoder = encoders.from_transformers(bert(), pool="tokens")
    found = encoders.contextual_word_vectors(texts, encoder, fast(), least=2, batch_size=2)
    assert sorted(found.words) == ["ab", "c", "d"] and encoder.training and found.nearest("c", 1)
    states = {word: [] for word in found.words}
    for text in texts[:4]:
        row = encoders.word_tokens([text.split()], fast(), 20)
        z = encoder.eval()({name: part[0][None] for name, part in row.inputs.items()})[0].double()
        for word, place in zip(text.split(), row.first[0].tolist(), strict=True):
            if word in states:
                states[word].append(z[place])
    means = torch.stack([torch.stack(states[word]).mean(0) for word in found.words])
    torch.testing.assert_close(found.vectors, (means - means.mean(0)).float(), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="`texts` must hold a word 5 times"):
        encoders.contextual_word_vectors(texts, encoder, fast())
    with pytest.raises(ValueError, match="`texts` must be a sequence of str"):
        encoders.contextual_word_vectors("ab c", encoder, fast())
