"""The likeness of texts by their characters."""

import pytest

from adapt.heads import chrf


def test_chrf():
    assert chrf(["ein Hund"], ["ein Hund"]) == pytest.approx(100)
    assert chrf(["einHund"], [" ein\tHund"]) == pytest.approx(100), "white space does not count"
    assert chrf(["abc"], ["xyz"]) == chrf([""], ["xyz"]) == chrf(["abc"], [""]) == 0
    assert chrf(["ab c"], ["abd"]) == pytest.approx(100 * (2 / 3 + 1 / 2) / 6)
    # n = 1: P = 4/4, R = 4/6; n = 2: P = 3/3, R = 3/5; n = 3: P = 2/2, R = 2/4; n = 4: P = 1, R = 1/3; then 0
    recalls = [4 / 6, 3 / 5, 2 / 4, 1 / 3]
    assert chrf(["abcd"], ["abcdef"]) == pytest.approx(100 / 6 * sum(5 * r / (4 + r) for r in recalls))
    assert chrf(["aa"], ["a"]) == pytest.approx(100 / 6 * 5 * 0.5 / (4 * 0.5 + 1)), "a letter is matched once"


def test_counts_are_summed_over_the_texts():
    both = chrf(["abcdefg", "xy"], ["abcdefg", "ab"])
    assert both != pytest.approx((chrf(["abcdefg"], ["abcdefg"]) + chrf(["xy"], ["ab"])) / 2)
    shares = [(k, n) for k, n in ((7, 9), (6, 7), (5, 5), (4, 4), (3, 3), (2, 2))]
    assert both == pytest.approx(100 / 6 * sum(k / n for k, n in shares))


def test_the_number_is_that_of_sacrebleu():
    metrics = pytest.importorskip("sacrebleu.metrics", reason="sacrebleu is not installed")
    references = ["ein Hund bellt.", "Zwei Männer stehen am Herd.", "Ein kleines Mädchen"]
    found = ["ein Hund, der bellt", "Männer am Herd", "kl"]
    theirs = metrics.CHRF(eps_smoothing=True).corpus_score(found, [references]).score
    assert chrf(found, references) == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize(
    ("found", "references", "got"),
    [([], [], "0 texts and 0 texts"), (["a"], ["a", "b"], "1 texts and 2 texts"), ("ab", ["a", "b"], "one text")],
)
def test_other_numbers_of_texts(found, references, got):
    with pytest.raises(ValueError, match=f"`found` and `references` must be lists.*{got}.*one reference for each"):
        chrf(found, references)
