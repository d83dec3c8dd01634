"""Files of word vectors, good and bad, and the encoders made of them."""

import numpy
import pytest
import torch

from adapt import encoders

WORDS = ["the", "of", "Ada", "naïve", "."]
VECTORS = numpy.round(numpy.random.default_rng(0).normal(size=(5, 3)), 5).astype("float32")


def line(word, vector, encoding="utf-8"):
    return word.encode(encoding) + b" " + b" ".join(str(x).encode() for x in vector) + b"\n"


def text(tmp_path, *, header=None, lines=None, name="vectors.txt", encoding="utf-8"):
    path = tmp_path / name
    lines = [line(w, v, encoding) for w, v in zip(WORDS, VECTORS, strict=True)] if lines is None else lines
    path.write_bytes((b"" if header is None else header.encode() + b"\n") + b"".join(lines))
    return path


def binary(tmp_path, *, header="5 3", newline=b"\n", cut=None, extra=b""):
    path = tmp_path / "vectors.bin"
    rows = [w.encode() + b" " + v.astype("<f4").tobytes() + newline for w, v in zip(WORDS, VECTORS, strict=True)]
    path.write_bytes((header.encode() + b"\n" + b"".join(rows) + extra)[:cut])
    return path


@pytest.mark.parametrize(
    "make",
    [
        text,
        lambda t: text(t, header="5 3"),
        binary,
        lambda t: binary(t, newline=b""),
        lambda t: text(t, lines=[line(w, v)[:-1] + b" \r\n" for w, v in zip(WORDS, VECTORS, strict=True)]),
    ],
    ids=["glove", "word2vec text", "binary", "binary without newlines", "blanks and returns at the end"],
)
def test_files_are_read(tmp_path, make):
    found = encoders.word_vectors(make(tmp_path))
    assert found.words == WORDS and found.dim == 3 and found.vectors.dtype == torch.float32
    assert torch.equal(found.vectors, torch.from_numpy(VECTORS)) and torch.equal(found["of"], found.vectors[1])
    assert (found.duplicates, found.malformed) == (0, 0)
    assert encoders.word_vectors(make(tmp_path), limit=2).words == WORDS[:2]
    with pytest.raises(KeyError, match="`Of` is not among the 5 words"):
        found["Of"]


def test_gensim_reads_the_same(tmp_path):
    gensim = pytest.importorskip("gensim.models", reason="the extra `bench`")
    for path, options in ((text(tmp_path), {"no_header": True}), (binary(tmp_path), {"binary": True})):
        theirs = gensim.KeyedVectors.load_word2vec_format(path, **options)
        ours = encoders.word_vectors(path)
        assert theirs.index_to_key == ours.words and numpy.array_equal(theirs.vectors, ours.vectors.numpy())


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (b"few 1.0 2.0\n", "2 numbers|few 1.0 2.0"),
        (b"many 1.0 2.0 3.0 4.0\n", "many 1.0"),
        (b"letter 1.0 x 3.0\n", "letter 1.0 x"),
        (b"\n", "0 fields"),
        (b" 1.0 2.0 3.0\n", "3 fields"),
        (b"tab\t1.0\t2.0\t3.0\n", "tab"),
    ],
)
def test_malformed_lines(tmp_path, bad, found):
    lines = [line(w, v) for w, v in zip(WORDS, VECTORS, strict=True)]
    path = text(tmp_path, lines=[*lines[:2], bad, *lines[2:]])
    with pytest.raises(ValueError, match=f"line 3: expected a word and 3 numbers.*(?:{found})|{found}.*line 3"):
        encoders.word_vectors(path)
    kept = encoders.word_vectors(path, malformed="skip")
    assert kept.words == WORDS and kept.malformed == 1 and torch.equal(kept.vectors, torch.from_numpy(VECTORS))


def test_two_wrong_lines_do_not_make_up_for_each_other(tmp_path):
    path = text(tmp_path, lines=[line("a", [1, 2, 3]), b"b 1 2\n", b"c 1 2 3 4\n", line("d", [1, 2, 3])])
    with pytest.raises(ValueError, match="line 2"):
        encoders.word_vectors(path)


def test_a_missing_number_and_another_blank_do_not_make_up_for_each_other(tmp_path):
    path = text(tmp_path, lines=[b"the 1 2 3\n", b"of 4\t5 6 7\n", b"and  8 9\n"])
    with pytest.raises(ValueError, match="line 2: expected a word and 3 numbers"):
        encoders.word_vectors(path)


def test_lines_after_a_header_are_counted_from_it(tmp_path):
    with pytest.raises(ValueError, match="line 3: expected a word and 3 numbers"):
        encoders.word_vectors(text(tmp_path, header="2 3", lines=[line("a", [1, 2, 3]), b"b 1\n"]))


@pytest.mark.parametrize("value", [b"nan", b"inf"])
def test_values_that_are_not_finite(tmp_path, value):
    with pytest.raises(ValueError, match="vector of `a b` holds a value that is not finite|vector of `ab` holds"):
        encoders.word_vectors(text(tmp_path, lines=[line("c", [1, 2, 3]), b"ab 1 " + value + b" 3\n"]))


@pytest.mark.parametrize(
    ("header", "holds"), [("6 3", "announces 6 words and holds 5"), ("4 3", "announces 4 words and holds 5")]
)
def test_wrong_counts_in_text(tmp_path, header, holds):
    with pytest.raises(ValueError, match=holds):
        encoders.word_vectors(text(tmp_path, header=header))
    with pytest.raises(ValueError, match="expected a word and 4 numbers"):
        encoders.word_vectors(text(tmp_path, header="5 4"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header": "6 3"}, "ends within word 6"),
        ({"header": "4 3"}, "goes on after them"),
        ({"header": "words"}, "no word2vec binary file"),
        ({"cut": -3}, "ends within word 5"),
        ({"extra": b"more"}, "goes on after them"),
    ],
)
def test_wrong_binary_files(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        encoders.word_vectors(binary(tmp_path, **options))


def test_duplicates_keep_their_first_vector(tmp_path):
    lines = [line(w, v) for w, v in zip(WORDS, VECTORS, strict=True)]
    path = text(tmp_path, header="6 3", lines=[*lines, line("of", [9, 9, 9])])
    with pytest.warns(UserWarning, match="1 lines repeat a word"):
        found = encoders.word_vectors(path)
    assert found.words == WORDS and found.duplicates == 1 and torch.equal(found.vectors, torch.from_numpy(VECTORS))


def test_other_encodings(tmp_path):
    path = text(tmp_path, encoding="latin-1")
    with pytest.raises(ValueError, match=r"word 4, b'na\\xefve', is not in utf-8: .*latin-1"):
        encoders.word_vectors(path)
    assert encoders.word_vectors(path, encoding="latin-1").words == WORDS
    assert encoders.word_vectors(path, errors="replace").words[3] == "na\ufffdve"


def test_words_with_spaces_and_strange_blanks(tmp_path):
    rows = {"new york": [1, 2, 3], ". . .": [4, 5, 6], "a\u00a0b": [1, 1, 1], "c\u0085": [2, 2, 2], "5": [7, 8, 9]}
    lines = [line(word, numbers) for word, numbers in rows.items()]
    path = text(tmp_path, lines=lines)
    found = encoders.word_vectors(path)
    assert found.words == ["new york", ". . .", "a\u00a0b", "c\u0085", "5"]
    assert found["new york"].tolist() == [1, 2, 3] and found["5"].tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("lines", "message"),
    [([], "holds no word vectors"), ([b"only words here\n"], "line 1: expected a word and its numbers")],
)
def test_files_without_vectors(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        encoders.word_vectors(text(tmp_path, lines=lines))
    with pytest.raises(FileNotFoundError, match="expected a file of word vectors"):
        encoders.word_vectors(tmp_path / "none.txt")


def made(oov):
    return encoders.WordVectors(["good", "film", ","], torch.tensor([[1.0, 0], [0, 1], [4, 4]]), oov)


@pytest.mark.parametrize(
    ("oov", "expected"),
    [("skip", [2, 2.5]), ("zero", [4 / 3, 5 / 3]), ("mean", [(4 + 5 / 3) / 3, (5 + 5 / 3) / 3])],
)
def test_a_text_is_the_mean_of_its_words(oov, expected):
    vectors = made(oov)
    ids = vectors.ids(["Film, zzz", "good", "zzz", ""], 4)
    assert ids.shape == (4, 4)
    out = vectors.encoder()(ids)
    torch.testing.assert_close(out[0], torch.tensor(expected, dtype=torch.float32))
    assert out[1].tolist() == [1, 0] and out[3].tolist() == [0, 0]
    assert vectors.encoder(output="tokens")(ids).shape == (4, 4, 2)
    assert vectors.coverage(["film zzz", "good"]) == pytest.approx(2 / 3)
    assert vectors.ids(["good good good"], 2).tolist() == [[1, 1]]
    assert vectors.ids(["a-good"], 2, split=lambda t: t.split("-")).tolist()[0].count(1) == 1


def test_hashed_unknown_words_are_the_same_everywhere():
    vectors = made("hash")
    first, second = vectors.ids(["zzz", "yyy"], 1)
    out = vectors.encoder()(torch.stack([first, second, vectors.ids(["zzz"], 1)[0]]))
    assert torch.equal(out[0], out[2]) and not torch.equal(out[0], out[1])
    assert int(first) == 3 + 1 + 429, "depends on the letters alone"


def test_frozen_or_tuned():
    vectors = made("skip")
    assert not any(p.requires_grad for p in vectors.encoder().parameters())
    encoder = vectors.encoder(tuned=True)
    encoder(vectors.ids(["good zzz"], 3)).sum().backward()
    gradient = encoder.body.table.weight.grad
    assert gradient[1].abs().sum() > 0 and gradient[0].abs().sum() == 0
    assert vectors.vectors[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("words", "vectors", "oov", "message"),
    [
        (["a"], torch.zeros(2, 3), "skip", r"must be \(1, dim\)"),
        (["a", "a"], torch.zeros(2, 3), "skip", "1 of them repeat"),
        (["a"], torch.zeros(1, 3), "guess", "`oov` must be"),
    ],
)
def test_bad_vectors(words, vectors, oov, message):
    with pytest.raises(ValueError, match=message):
        encoders.WordVectors(words, vectors, oov)
    with pytest.raises(ValueError, match="got one str"):
        made("skip").ids("film", 3)
    with pytest.raises(ValueError, match='"pooled" or "tokens"'):
        made("skip").encoder(output="map")


@pytest.mark.data
def test_real_vectors():
    from adapt.datasets import data_file

    with numpy.load(data_file("word2vec_1000/word2vec_1000.npz")) as arrays:
        found = encoders.WordVectors([str(w) for w in arrays["words"]], torch.from_numpy(arrays["vectors"]))
    near = found.vectors @ found["good"]
    assert "great" in [found.words[int(i)] for i in near.topk(5).indices]
