"""Files of word vectors, good and bad, and the encoders made of them."""

import numpy
import pytest
import torch

from adapt import encoders
from tests.memory import within_limits

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


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.bin"])
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("999999999999 300", "announces 999999999999 words of 300 dimensions and has"),
        ("5 999999999999", "announces 5 words of 999999999999 dimensions and has"),
        ("5 0", "line 1: expected words and dimensions, at least 1 of each, found 5 0"),
        ("0 3", "line 1: expected words and dimensions, at least 1 of each, found 0 3"),
        ("9" * 40 + " 3", "expected a word and 1 numbers|no word2vec binary file"),
        ("1_0 3", "expected a word and 1 numbers|no word2vec binary file"),
    ],
)
def test_hostile_headers(tmp_path, name, header, message):
    """Section 3: headers that claim more than the file has, dimension 0, and a number with an underscore."""
    path = binary(tmp_path, header=header) if name.endswith("bin") else text(tmp_path, header=header)
    with within_limits(path), pytest.raises(ValueError, match=message):
        encoders.word_vectors(path)
    if header.startswith("9999"):
        assert name.endswith("txt") or encoders.word_vectors(binary(tmp_path, header="9 3"), limit=2).words == WORDS[:2]


@pytest.mark.parametrize("options", [{"limit": -1}, {"limit": 0}, {"limit": 2.5}, {"limit": True}, {"dim": 0}])
def test_options_outside_of_their_range(tmp_path, options):
    """Section 3: `limit=-1` read all words but the last."""
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be a whole number of at least 1, or None"):
        encoders.word_vectors(text(tmp_path), **options)
    assert encoders.word_vectors(text(tmp_path), limit=numpy.int64(2)).words == WORDS[:2]


def test_a_line_end_inside_a_word(tmp_path):
    """Section 3: one word became two, and every later word had the vector of another word."""
    path = tmp_path / "vectors.bin"
    path.write_bytes(b"2 1\n" + b"a\nb " + bytes(4) + b"c " + bytes(4))
    with pytest.raises(ValueError, match=r"vectors.bin`: word 1, b'a\\nb', holds a line end"):
        encoders.word_vectors(path)


@pytest.mark.parametrize("make", [text, lambda t: text(t, header="5 3"), binary], ids=["glove", "text", "binary"])
def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path, make):
    """Section 3: a mark in front of a header or of the first word."""
    path = make(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert encoders.word_vectors(path).words == WORDS


@pytest.mark.parametrize("field", [b"1_0", b"1\t", b"0x10", b"1.0f", b"1e"])
def test_fields_that_only_python_takes_for_numbers(tmp_path, field):
    """Section 3: `float` reads 1_0 as 10."""
    with pytest.raises(ValueError, match="line 2: expected a word and 3 numbers"):
        encoders.word_vectors(text(tmp_path, lines=[line("a", [1, 2, 3]), b"b 1 " + field + b" 3\n"]))


@pytest.mark.parametrize("header", [None, "5 3"])
def test_a_file_cut_inside_its_last_number(tmp_path, header):
    """Section 3: the number looks whole."""
    path = text(tmp_path, header=header)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(
        ValueError, match=f"line {5 + bool(header)}: expected a word and 3 numbers, found without a line"
    ):
        encoders.word_vectors(path)
    kept = encoders.word_vectors(path, malformed="skip")
    assert kept.words == WORDS[:4] and kept.malformed == 1
    assert encoders.word_vectors(path, limit=4).words == WORDS[:4]


def test_one_line_and_many_lines_stay_within_the_memory(tmp_path):
    """Section 3: a text of one line made 25 times its size of fields."""
    path = text(tmp_path, lines=[b"a" + b" 1" * 4_000_000])
    with within_limits(path), pytest.raises(ValueError, match="line 1: .* a line of more than 1048576 bytes"):
        encoders.word_vectors(path)
    path = text(tmp_path, lines=[b"w%d 1\n" % i for i in range(400_000)])
    with within_limits(path), pytest.raises(ValueError, match="lines up to line .* bytes of memory.*`limit`"):
        encoders.word_vectors(path)
    assert len(encoders.word_vectors(path, limit=70_000).words) == 70_000
    assert encoders.word_vectors(path, limit=70_000).words[-1] == "w69999"


@pytest.mark.parametrize("encoding", ["nonsense", "hex"])
def test_an_encoding_that_there_is_not(tmp_path, encoding):
    with pytest.raises(ValueError, match="`encoding` must be an encoding of texts"):
        encoders.word_vectors(text(tmp_path), encoding=encoding)


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
        (["a"], torch.zeros(1, 0), "skip", r"must be \(1, dim\)"),
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
