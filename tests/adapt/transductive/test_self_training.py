"""Self-training around classifiers of scikit-learn."""

import math

import numpy
import pytest
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from adapt.transductive import self_training
from tests.adapt.transductive.moved import moved


def pair(shift=0.6):
    source, target = moved(120, 0.0, 1).tensors, moved(100, shift, 2).tensors
    return *(t.numpy() for t in source), *(t.numpy() for t in target)


def slow(X, y, T, rounds, first, more, last):
    """The paper's alternation with a nested loop for the labels; returns the labels of the last round."""
    p = GaussianNB().fit(X, y).predict_proba(T)
    for number in range(rounds):
        share, predicted = min(first + more * number, last), p.argmax(1)
        limit = [math.inf] * p.shape[1]
        for k in set(predicted):
            own = sorted(p[predicted == k, k], reverse=True)
            limit[k] = own[math.ceil(share * len(own)) - 1]
        labels = []
        for row in p:
            ratio = [row[k] / limit[k] for k in range(len(row))]
            labels.append(int(numpy.argmax(ratio)) if max(ratio) >= 1 else -1)
        there = [i for i, k in enumerate(labels) if k >= 0]
        p = GaussianNB().fit(numpy.r_[X, T[there]], numpy.r_[y, [labels[i] for i in there]]).predict_proba(T)
    return labels, p


def test_labels_and_probabilities_are_those_of_a_slow_loop():
    X, y, T, _ = pair()
    found = self_training(GaussianNB(), X, y, T, rounds=4, first=0.25, more=0.25, last=0.75)
    labels, p = slow(X, y, T, 4, 0.25, 0.25, 0.75)
    assert [-1 if label is None else label for label in found.labels] == labels
    numpy.testing.assert_allclose(found.predict_proba(T), p, rtol=1e-12)
    assert found.adapted and found.signs == []


@pytest.mark.claim
def test_follows_a_shift_that_the_source_does_not():
    X, y, T, truth = pair(0.8)
    found = self_training(LogisticRegression(), X, y, T)
    assert (found.predict(T) == truth).mean() > (found.source.predict(T) == truth).mean() + 0.01


def kinds(X):
    import pandas

    return {"list": X.tolist(), "tensor": torch.from_numpy(X), "sparse": sparse.coo_matrix(X),
            "frame": pandas.DataFrame(X, columns=["a", "b"]), "strided": numpy.repeat(X, 2, axis=0)[::2]}  # fmt: skip


@pytest.mark.parametrize("kind", ["list", "tensor", "sparse", "frame", "strided"])
def test_rows_of_any_kind(kind):
    X, y, T, _ = pair()
    plain = self_training(LogisticRegression(), X, y, T, rounds=2)
    other = self_training(LogisticRegression(), kinds(X)[kind], y.tolist(), kinds(T)[kind], rounds=2)
    assert (plain.predict(T) == other.predict(kinds(T)[kind] if kind == "frame" else T)).all()


@pytest.mark.parametrize("names", [["ham", "spam"], [False, True], [3, 7], [0.0, 1.0]], ids=str)
def test_labels_keep_the_words_of_the_user(names):
    X, y, T, _ = pair()
    found = self_training(GaussianNB(), X, numpy.array(names)[y], T, rounds=2)
    assert set(found.predict(T)) <= set(names) and set(found.labels) <= {*names, None}


def test_texts_through_a_pipeline_and_equal_answers_twice():
    texts, words = ["win money now", "free money", "hello friend", "see you friend"], ["spam", "spam", "ham", "ham"]
    new = ["money", "friend", "free now", "hello you"]
    made = make_pipeline(TfidfVectorizer(), LogisticRegression())
    state = numpy.random.get_state()[1].tolist()
    found = [self_training(made, texts, words, new, rounds=2) for _ in range(2)]
    assert numpy.random.get_state()[1].tolist() == state and not hasattr(made[0], "vocabulary_")
    assert found[0].predict(new).tolist() == ["spam", "ham", "spam", "ham"]
    assert (found[0].predict_proba(new) == found[1].predict_proba(new)).all()


def test_rows_without_a_label_are_left_out():
    X, y, T, _ = pair()
    plain = self_training(GaussianNB(), X, y, T)
    more = self_training(GaussianNB(), numpy.r_[X, 50 * T], numpy.r_[y, [-1] * len(T)], T)
    assert (plain.predict_proba(T) == more.predict_proba(T)).all()
    with pytest.raises(ValueError, match="-1 says that a label is missing"):
        self_training(GaussianNB(), X, 2 * y - 1, T)


class Shy(GaussianNB):
    """Forgets class 1 once it has seen more than the source."""

    def predict_proba(self, X):
        p = super().predict_proba(X)
        return numpy.stack([numpy.ones(len(p)), numpy.zeros(len(p))], 1) if self.class_count_.sum() > 120 else p


def test_a_harmed_classifier_falls_back_to_the_source_in_words():
    X, y, T, _ = pair()
    with pytest.warns(UserWarning, match="the source classifier is kept: target predictions spread over 1.0"):
        found = self_training(Shy(), X, y, T, rounds=1)
    assert not found.adapted and found.estimator is found.source and len(found.signs) > 0
    assert self_training(Shy(), X, y, T, rounds=1, guard=False).adapted


def test_wrong_calls():
    X, y, T, _ = pair()
    with pytest.raises(TypeError, match="`estimator` must have `fit` and `predict_proba`, got a LinearSVC"):
        self_training(LinearSVC(), X, y, T)
    with pytest.raises(ValueError, match="`y` must hold one class for each of the 120 rows"):
        self_training(GaussianNB(), X, y[:5], T)
    with pytest.raises(ValueError, match="and 0 rows"):
        self_training(GaussianNB(), X, y, T[:0])
    with pytest.raises(ValueError, match="at least 2 classes"):
        self_training(GaussianNB(), X, 0 * y, T)
    with pytest.raises(ValueError, match="NaN"):
        self_training(GaussianNB(), X, y, T * numpy.nan)


def test_one_row_duplicates_and_constant_features():
    X, y, T, _ = pair()
    assert self_training(GaussianNB(), X, y, T[:1], guard=False).predict(T[:1]).shape == (1,)
    assert self_training(LogisticRegression(), X, y, numpy.repeat(T[:2], 9, 0)).predict(T).shape == (100,)
    assert self_training(LogisticRegression(), 0 * X, y, 0 * T).predict(T).shape == (100,)
