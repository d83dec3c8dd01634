"""Features of words: the first token of each word, the look of the words, padding, training, a saved model."""

import pytest
import torch

import adapt
from adapt import Model, Stream, Trainer, encoders, heads, streams
from tests.adapt.encoders.test_word_tokens import SENTENCES, TAGS, fast

transformers = pytest.importorskip("transformers", reason="the extra `text`")
PAD = streams.collate.pad()


def bert():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=14, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return encoders.from_transformers(transformers.BertModel(config), pool="tokens").eval()


def test_features_are_those_of_the_first_tokens():
    rows, pieces = (encoders.word_tokens(SENTENCES, fast(), 20, TAGS, per_word=each) for each in (True, False))
    plain, words = bert(), encoders.by_word(bert(), shapes=True)
    assert words.dim == plain.dim + 18 and list(words.layers) == [f"whole.{name}" for name in plain.layers]
    inputs, labels = PAD([rows[i] for i in range(3)])
    assert labels.tolist() == [[1, 0, 1], [0, -1, -1], [-1, 1, -1]]
    assert inputs["mask"].tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    z = words(inputs)
    assert z.shape == (3, 3, 34) and (z[1, 1:] == 0).all() and (z[2, 2] == 0).all()
    for i, sentence in enumerate(SENTENCES):
        alone = plain({name: part[None] for name, part in pieces[i][0].items()})[0, pieces.first[i]]
        torch.testing.assert_close(z[i, : len(sentence), :16], alone, rtol=1e-5, atol=1e-6)
        assert torch.equal(z[i, : len(sentence), 16:], encoders.word_shapes(sentence))
    assert encoders.by_word(bert())(inputs).shape == (3, 3, 16)
    assert rows.of_words([[1, 2, 3], [4, 5, 6], [7, 8]]) == [[1, 2, 3], [4], [7, 8]]
    assert rows.lengths.tolist() == [8, 3, 6], "the length of a row is in tokens"


def test_words_without_a_token_have_features_of_0():
    with pytest.warns(UserWarning, match="2 of 6 words have no token"):
        rows = encoders.word_tokens(SENTENCES, fast(), 4, TAGS, per_word=True)
    inputs, labels = PAD([rows[0]])
    assert labels.tolist() == [[1, -1, -1]] and inputs["mask"].tolist() == [[True, False, False]]
    assert (encoders.by_word(bert(), shapes=True)(inputs)[0, 1:] == 0).all()
    assert rows.of_words([[1, 5, 6], [2], [3, 4]])[0] == [1, None, None]


def test_the_look_of_words():
    found = encoders.word_shapes(["USA", "iPhone", "3rd", "…", "a"]).int()
    own = [[1, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]
    assert found[:, 6:12].tolist() == own
    assert found[1:, :6].tolist() == own[:-1] and found[:-1, 12:].tolist() == own[1:]
    assert not found[0, :6].any() and not found[-1, 12:].any()
    assert encoders.word_shapes([]).shape == (0, 18)


def test_a_tagger_of_words_trains_and_is_saved(tmp_path):
    g = torch.Generator().manual_seed(0)
    words = [["".join("abcde"[i] for i in torch.randint(5, (1 + k % 3,), generator=g)) for k in range(1 + n % 5)]
             for n in range(60)]  # fmt: skip
    tags = [[1 if word[0] in "ab" else 0 for word in sentence] for sentence in words]
    rows = encoders.word_tokens(words, fast(), 20, tags, per_word=True)
    encoder = encoders.by_word(bert().train(), shapes=True)
    head = heads.TokenClassifier(encoder, ["O", "B-place"], crf=True, iob2=True)
    trainer = Trainer(
        encoder, [adapt.supervised(head, "text")], {"text": Stream(rows, 20, collate=PAD, lengths=rows.lengths)},
        device="cpu", progress=False, precision="bf16", optimizer=lambda groups: torch.optim.AdamW(groups, 1e-2),
    ).fit(60)  # fmt: skip
    score = trainer.evaluate(head, rows, batch_size=7)
    assert score.metric == "span F1" and score.value > 0.95 and score.n == 37, "sentences with a span"
    again = Model.load(trainer.model(head).save(tmp_path / "model"))
    assert again.evaluate(rows).value == pytest.approx(score.value, abs=0.01)
    mask = []
    term = adapt.Term("look", lambda step: mask.append(step["text"].mask) or step["text"].features.sum() * 0)
    Trainer(encoder, [term], {"text": Stream(rows, 20, collate=PAD)}, device="cpu", progress=False).fit(1)
    assert mask[0].shape[1] == 5, "the mask is that of the words"


def test_doors():
    with pytest.raises(TypeError, match="must be an encoders.Encoder"):
        encoders.by_word(torch.nn.Linear(2, 2))
    rows = encoders.word_tokens(SENTENCES, fast(), 20)
    with pytest.raises(ValueError, match="per_word=True"):
        encoders.by_word(bert())(PAD([rows[0]]))
    pooled = encoders.from_transformers(bert().body.model)
    with pytest.raises(ValueError, match='pool="tokens"'):
        encoders.by_word(pooled)(PAD([encoders.word_tokens(SENTENCES, fast(), 20, per_word=True)[0]]))
