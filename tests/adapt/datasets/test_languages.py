"""The readers of aligned texts."""

import gzip

import pytest

from adapt import datasets

GOOD = "A man  sleeps.\nTwo dogs run.\n"
SENTENCE = (
    "# newdoc id = n01001\n# sent_id = n01001011\n# text = Am Montag.\n1-2\tAm\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tAn\tan\tADP\tAPPR\t_\t3\tcase\t_\t_\n2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_\n3\tMontag\tMontag\tPROPN\tNN\t_\t0\troot\t_\t_\n"
    "3.1\tist\tsein\tAUX\tV\t_\t_\t_\t_\t_\n4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_\n\n"
)


def packed(content):
    return content if isinstance(content, bytes) else gzip.compress(content.encode(), mtime=0)


def write_captions(root, content=GOOD, name="val.de.gz"):
    (root / "multi30k").mkdir(exist_ok=True)
    for part in ("train", "val", "test_2016_flickr", "test_2017_mscoco"):
        for language in ("en", "de", "fr"):
            file = f"{part}.{language}.gz"
            (root / "multi30k" / file).write_bytes(packed(content if file == name else GOOD))


def write_treebanks(root, content=SENTENCE, language="de"):
    (root / "ud_pud").mkdir(exist_ok=True)
    for code in ("en", "de", "fr"):
        text = packed(content if code == language else SENTENCE)
        (root / "ud_pud" / f"{code}_pud-ud-test.conllu.gz").write_bytes(text)


def test_captions(tmp_path):
    write_captions(tmp_path, "Ein Mann\u2028 schläft. \nZwei Hunde rennen.")
    found = datasets.multi30k(tmp_path)
    assert found.validation.german == ["Ein Mann schläft.", "Zwei Hunde rennen."]
    assert found.train.french == found.coco.english == ["A man sleeps.", "Two dogs run."]


def test_sentences(tmp_path):
    write_treebanks(tmp_path)
    found = datasets.ud_pud(tmp_path)
    assert found.german.texts == ["Am Montag."] and found.german.words == [["An", "dem", "Montag", "."]]
    assert [datasets.UPOS[i] for i in found.german.tags[0]] == ["ADP", "DET", "PROPN", "PUNCT"]
    assert found.documents == ["n01001"] and len(datasets.UPOS) == 17


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(GOOD)[:20], ""),
        (b"", "line 1 of 1 is empty"),
        (b"hello", "gzip"),
        ("a\n\nb\n", "line 2 of 3 is empty"),
        ("a\n", "found 1 lines, and 2 in English"),
        (gzip.compress("café\nb\n".encode("latin-1"), mtime=0), "utf-8"),
    ],
)
def test_torn_captions_are_named(tmp_path, content, message):
    write_captions(tmp_path, content)
    with pytest.raises(ValueError, match=f"val.de.gz` cannot be read.*{message}"):
        datasets.multi30k(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(SENTENCE)[:60], ""),
        ("", "sentence None"),
        (SENTENCE.replace("PROPN", "NAME"), "sentence 'n01001011' has rows without ten columns or with another tag"),
        (SENTENCE.replace("\troot\t_\t_", "\troot"), "ten columns"),
        (SENTENCE.replace("# text = Am Montag.\n", ""), "text"),
    ],
)
def test_torn_treebanks_are_named(tmp_path, content, message):
    write_treebanks(tmp_path, content)
    with pytest.raises(ValueError, match=f"de_pud-ud-test.conllu.gz` cannot be read.*{message}"):
        datasets.ud_pud(tmp_path)


def test_languages_must_match(tmp_path):
    write_treebanks(tmp_path, SENTENCE + SENTENCE.replace("011", "012"))
    with pytest.raises(ValueError, match="other sentences in one language"):
        datasets.ud_pud(tmp_path)


@pytest.mark.data
def test_multi30k():
    found = datasets.multi30k()
    assert [len(part.english) for part in found] == [29000, 1014, 1000, 461]
    assert found.train.english[2] == "A little girl climbing into a wooden playhouse."
    assert found.train.german[2] == "Ein kleines Mädchen klettert in ein Spielhaus aus Holz."


@pytest.mark.data
def test_ud_pud():
    found = datasets.ud_pud()
    assert len(set(found.documents)) == 397
    for language, words in zip(found[:3], (21180, 21332, 24726), strict=True):
        assert len(language.texts) == len(language.words) == len(found.documents) == 1000
        assert all(len(w) == len(t) > 0 for w, t in zip(language.words, language.tags, strict=True))
        assert sum(map(len, language.words)) == words
    assert {t for tags in found.english.tags for t in tags} == set(range(17))
    assert found.german.texts[0].startswith("„Ein Großteil des digitalen Übergangs")
