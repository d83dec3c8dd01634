"""Texts as a data set."""

import pytest
import torch

from adapt import Stream, datasets

WORDS = ["good", "bad, very", "fine"]


def test_lists_of_texts():
    data = datasets.texts(WORDS, ["plus", "minus", "plus"])
    assert data.names == ["minus", "plus"] and data[1] == ("bad, very", torch.tensor(0)) and len(data) == 3
    assert datasets.texts(WORDS)[1] == "bad, very" and datasets.texts(WORDS).labels is None
    assert datasets.texts(WORDS, [0.5, 1.0, 2.0])[2][1] == 2.0
    assert repr(data) == "TextRows(3 texts, 2 classes: minus, plus)"


def test_files_of_texts(tmp_path):
    (tmp_path / "a.csv").write_text('mood,words\nplus,good\nminus,"bad, very"\nplus,fine\n')
    (tmp_path / "a.tsv").write_text("mood\twords\nplus\tgood\nminus\tbad, very\nplus\tfine\n")
    (tmp_path / "a.jsonl").write_text(
        '{"mood": "plus", "words": "good"}\n{"mood": "minus", "words": "bad, very"}\n{"mood": "plus", "words": "fine"}'
    )
    for path in (tmp_path / "a.csv", tmp_path / "a.tsv", str(tmp_path / "a.jsonl")):
        data = datasets.texts(path, "mood", text="words")
        assert data.texts == WORDS and data.labels.tolist() == [1, 0, 1] and data.names == ["minus", "plus"]
    (tmp_path / "a.txt").write_text("\n".join(WORDS))
    assert datasets.texts(tmp_path / "a.txt", [1, 0, 1])[1] == ("bad, very", torch.tensor(0))
    assert datasets.texts(tmp_path / "a.csv", "mood", text="words", names=["plus", "minus"]).labels.tolist() == [
        0,
        1,
        0,
    ]


def test_a_number_may_be_a_text_and_a_label_may_be_missing(tmp_path):
    (tmp_path / "a.csv").write_text("text,stars\n12,1\nNA,\n")
    data = datasets.texts(tmp_path / "a.csv", "stars", missing=True)
    assert data.texts == ["12", "NA"] and data.labels.tolist() == [1, -1] and data.labels.dtype == torch.int64
    with pytest.raises(ValueError, match="`labels` must have a label in every row, found 1 missing"):
        datasets.texts(tmp_path / "a.csv", "stars")


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (([],), ValueError, "found no text"),
        (([b"a"],), TypeError, "found a bytes"),
        ((WORDS, ["a", "b"]), ValueError, r"each of the 3 texts, got \(2,\)"),
        (("nowhere.csv",), FileNotFoundError, "expected the file `nowhere.csv`"),
        (("nowhere.txt",), FileNotFoundError, "nowhere.txt"),
    ],
)
def test_other_texts_are_refused(args, error, message):
    with pytest.raises(error, match=message):
        datasets.texts(*args)


def test_an_unknown_column_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("words;mood\ngood;1\n")
    with pytest.raises(ValueError, match=r"`text` must be one of the columns \['words;mood'\], got 'text'.*separator"):
        datasets.texts(tmp_path / "a.csv", "mood")
    with pytest.raises(ValueError, match="`labels` must be one of the columns"):
        datasets.texts(tmp_path / "a.csv", "stars", text="words", separator=";")


def test_texts_are_batches_of_a_stream():
    batch = next(Stream(datasets.texts(WORDS, [1, 0, 1]), 3, shuffle=False).batches("texts", 0))
    assert list(batch.inputs) == WORDS and batch.labels.tolist() == [1, 0, 1]
