"""Numbers of words."""

import pytest
import torch

from adapt.datasets import Vocabulary, WordForms, padded


def test_frequent_words_come_first_and_rare_words_are_unknown():
    made = Vocabulary(["a b b", ["b", "c", "c", "B", ""]], least=2)
    assert made.words == ["", "b", "c"] and len(made) == 3 and made.number == {"": 0, "b": 1, "c": 2}
    assert made.numbers(["c b, B", [], ["c"] * 9], 5).tolist() == [
        [2, 1, -1, -1, 0], [0, -1, -1, -1, -1], [2, 2, 2, 2, 2],
    ]  # fmt: skip
    lower = Vocabulary(["a b b", ["b", "B"]], least=2, lower=True)
    assert lower.words == ["", "b"] and lower.numbers(["B"], 2).tolist() == [[1, 0]]
    assert made.numbers([], 5).shape == (0, 5) and made.numbers(["c"]).shape == (1, 60)
    assert Vocabulary(["It's 5 o'clock!"]).words == ["", "'", "It", "s", "5", "o", "clock", "!"]
    assert made.numbers(["b c"], 5).dtype == torch.int64 and repr(made) == "Vocabulary(3 words)"


def test_forms_of_words():
    forms = WordForms(["Walking talking", "walking 7 Talks"], least=2, least_ending=3)
    assert forms.sizes == (2, 2) and repr(forms) == "WordForms(2 words, 2 endings)"
    x = forms.numbers(["WALKING being x9 -", "\u4e2d"], 5)
    assert x.tolist() == [
        [[1, 1, 1], [0, 1, 2], [0, 0, 2], [0, 0, 5], [0, 0, 0]],
        [[0, 0, 4], *[[0, 0, 0]] * 4],
    ]
    assert forms.numbers([["9x", "\u4e2d9"]], 2)[0, :, 2].tolist() == [3, 3]


def test_padded():
    assert padded([[3], [], [4, 5, 6]], 2).tolist() == [[3, -1], [-1, -1], [4, 5]]
    assert padded([(3,)], 2, value=0).tolist() == [[3, 0]] and padded([], 4).shape == (0, 4)


@pytest.mark.parametrize("kind", [Vocabulary, WordForms, Vocabulary(["a"]).numbers, WordForms(["a"]).numbers])
def test_sentences_of_another_kind(kind):
    with pytest.raises(TypeError, match=r"`sentences` must be a list of texts, got one text: give `\['a dog'\]`"):
        kind("a dog")
    with pytest.raises(TypeError, match="`sentences` must be texts or lists of words, got a word that is no text"):
        kind([["a", 3]])
