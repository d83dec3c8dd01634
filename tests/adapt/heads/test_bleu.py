"""BLEU by sacrebleu."""

import sys

import pytest
import sacrebleu

from adapt import heads

FOUND = ["Ein Hund rennt im Park.", "Zwei Kinder spielen Ball.", "Eine Frau liest."]
TRUTH = ["Ein Hund läuft im Park.", "Zwei Kinder spielen Ball.", "Eine Frau liest ein Buch."]


def test_value_and_signature_are_those_of_sacrebleu():
    score = heads.bleu(FOUND, TRUTH)
    assert score.value == sacrebleu.corpus_bleu(FOUND, [TRUTH]).score and score.n == 3
    assert score.low < score.value < score.high and score == heads.bleu(FOUND, TRUTH)
    alone = heads.bleu(FOUND, TRUTH, interval=False)
    assert (alone.value, alone.low, alone.high) == (score.value, 0, 100)
    assert heads.bleu_signature() == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    for call in (lambda: heads.bleu(FOUND, TRUTH), heads.bleu_signature):
        with pytest.raises(ImportError, match=r'sacrebleu is not installed: pip install "adapt-losses\[text\]"'):
            call()


@pytest.mark.parametrize(("found", "truth"), [([], []), ("a", ["a"]), (["a"], ["a", "b"])])
def test_bad_input(found, truth):
    with pytest.raises(ValueError, match="`found` and `references` must be lists of texts of the same length"):
        heads.bleu(found, truth)
