"""Names, descriptions and rows without labels as classifiers."""

import copy
import pickle

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, encoders, fewshot, zeroshot
from tests.ranks import run_ranks

D = 8


def words(texts):
    """Features of texts: counts of letters, the same for equal texts."""
    return numpy.array([[t.count(c) for c in "abcdefg"] + [1.0] for t in texts])


def text_encoder():
    return encoders.callable(words, D, name="letters", fingerprint="1")


def rows(n=60, seed=0, classes=3, noise=0.3):
    """Rows around class vectors, and the classes."""
    g = torch.Generator().manual_seed(seed)
    t = torch.nn.functional.normalize(torch.randn(classes, D, generator=g), dim=1)
    y = torch.arange(n) % classes
    return t[y] + noise * torch.randn(n, D, generator=g) / D**0.5, y, t


def test_vectors_are_means_of_directions():
    names = {"Äpfel 李": ["aab", "c{d}"], "b": "b"}
    found = zeroshot.vectors(words, names, ["{}", "a {} is a {}"])
    expected = [["aab", "a aab is a aab", "c{d}", "a c{d} is a c{d}"], ["b", "a b is a b"]]
    for vector, texts in zip(found, expected, strict=True):
        parts = [row / numpy.linalg.norm(row) for row in words(texts)]
        mean = numpy.mean(parts, 0)
        numpy.testing.assert_allclose(vector, mean / numpy.linalg.norm(mean), atol=1e-6)
    torch.testing.assert_close(zeroshot.vectors(text_encoder(), names, ["{}", "a {} is a {}"]), found.float())


def test_each_distinct_text_is_encoded_once_and_the_mode_stays():
    seen = []
    zeroshot.vectors(lambda t: seen.extend(t) or words(t), {"a": ["x", "y"], "b": ["y"], "c": ["y", "z"]})
    assert seen == ["x", "y", "z"]
    encoder = text_encoder().train()
    state = torch.get_rng_state()
    zeroshot.vectors(encoder, [f"class {i}a" for i in range(1000)])
    assert encoder.training and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_scale_of_the_features_of_texts_does_not_count(scale, dtype):
    found = zeroshot.vectors(lambda t: torch.as_tensor(words(t) * scale).to(dtype), ["ab", "cd"])
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), zeroshot.vectors(words, ["ab", "cd"]), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("names", "templates", "error", "match"),
    [
        ([], ["{}"], ValueError, "`names` must hold at least one"),
        ("cat", ["{}"], TypeError, "`names` must be a list"),
        (["cat", 3], ["{}"], TypeError, "`names` must be texts, found 3"),
        (["cat", "cat"], ["{}"], ValueError, "`names` must differ"),
        (["cat", "dog"], "a {}", TypeError, "`templates` must be a list"),
        (["cat", "dog"], ["a cat"], ValueError, "`templates` must have the hole"),
        ({"cat": [], "dog": "d"}, ["{}"], ValueError, "'cat' of `names` must have a text"),
        ({"cat": ["a", " "], "dog": "d"}, ["{}"], ValueError, "no empty text"),
    ],
)
def test_wrong_names_are_refused(names, templates, error, match):
    with pytest.raises(error, match=match):
        zeroshot.vectors(words, names, templates)


def test_wrong_features_of_texts_are_refused():
    for wrong in (lambda t: words(t)[:1], lambda t: words(t)[:, 0], lambda t: words(t) * numpy.nan):
        with pytest.raises(ValueError, match="`text` must return"):
            zeroshot.vectors(wrong, ["a", "b"])
    with pytest.raises(ValueError, match="class 'b' must not cancel out"):
        zeroshot.vectors(lambda t: torch.tensor([[1.0], [1.0], [-1.0]]), {"a": "x", "b": ["y", "z"]})


def test_the_model_is_the_text_probe_before_the_first_label(tmp_path):
    x, y, t = rows()
    encoder = encoders.wrap(nn.Linear(D, D), D)
    model = zeroshot.fit(encoder, ["Zoë", "李雷", "c"], vectors=t, scale=7.0)
    with torch.no_grad():
        f = encoder(x)
    none = torch.empty(0, D), torch.empty(0, dtype=torch.long)
    expected = fewshot.text_probe(t, scale=7.0)(*none, f).exp()
    numpy.testing.assert_allclose(model.probabilities(x), expected, atol=1e-5)
    assert model.predict(x).tolist() == [model.names[i] for i in expected.argmax(1)]
    few = fewshot.fit(
        encoder, x[:3], [model.names[i] for i in y[:3]], method=fewshot.text_probe(t), classes=model.names
    )
    assert few.head.state_dict().keys() == model.head.state_dict().keys() and type(few.head) is type(model.head)
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.probabilities(x), model.probabilities(x))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "names" in card and model.card["target label seen"] == "no"


def test_texts_are_classified_by_their_names():
    model = zeroshot.fit(text_encoder(), {"first": ["aaa", "a"], "second": "bbb"}, ["{}", "xx {}"])
    assert model.predict(["aa", "bbbb", "a b b b"]).tolist() == ["first", "second", "second"]
    assert model.predict(["aa"]).tolist() == ["first"]
    with pytest.raises(ValueError, match="two classes or more"):
        zeroshot.fit(text_encoder(), ["a"])
    with pytest.raises(ValueError, match="one row for each of 2 `names`, got 3"):
        zeroshot.fit(text_encoder(), ["a", "b"], vectors=torch.eye(3, D))


def reference(x, t, labels, scale, shrinkage, pull, iterations):
    """The algorithm by densities of Gaussians in numpy, one row and one class at a time."""
    from scipy.stats import multivariate_normal

    x, t = (v / numpy.linalg.norm(v, axis=1, keepdims=True) for v in (x.numpy().astype("f8"), t.numpy().astype("f8")))
    n, C, d = len(x), len(t), x.shape[1]
    first = numpy.exp(scale * x @ t.T)
    first /= first.sum(1, keepdims=True)
    centres, fixed = t, numpy.eye(C)
    for _ in range(20):
        own = (x @ centres.T).argmax(1)
        centres = numpy.stack([C / n * x[own == k].sum(0) + pull / 2 * t[k] for k in range(C)])
        centres /= numpy.linalg.norm(centres, axis=1, keepdims=True)
    r = numpy.exp(scale * x @ centres.T)
    r /= r.sum(1, keepdims=True)
    for _ in range(iterations):
        r = numpy.stack([fixed[k] if k >= 0 else row for k, row in zip(labels, r, strict=True)])
        mu = r.T @ x / r.sum(0)[:, None]
        S = sum(r[i, k] * numpy.outer(x[i] - mu[k], x[i] - mu[k]) for i in range(n) for k in range(C)) / n
        S = (1 - shrinkage) * S + shrinkage * x.var(0).mean() * numpy.eye(d)
        share = (1 + r.sum(0)) / (C + n)
        p = numpy.array([[share[k] * multivariate_normal(mu[k], S).pdf(row) for k in range(C)] for row in x])
        p = p * first**pull
        r = p / p.sum(1, keepdims=True)
    return r


@pytest.mark.parametrize("labelled", [0, 9])
@pytest.mark.parametrize("shrinkage", [0.2, 1.0])
def test_the_mixture_is_the_algorithm(labelled, shrinkage):
    x, y, t = rows(noise=1.0)
    labels = torch.where(torch.arange(len(y)) < labelled, y, -1)
    start = t + 0.3 * torch.randn(3, D, generator=torch.Generator().manual_seed(5))
    for iterations in (1, 3):
        found = zeroshot.mixture(
            x, start, labels if labelled else None, shrinkage=shrinkage, iterations=iterations, scale=5.0, pull=2.0
        )
        expected = reference(x, start, labels.tolist(), 5.0, shrinkage, 2.0, iterations)
        numpy.testing.assert_allclose(found.log_probabilities(x).exp(), expected, atol=1e-4)


def test_rows_without_labels_correct_poor_names_and_labels_name_the_clusters():
    x, y, t = rows(300, noise=0.5)
    poor = t + 0.8 * t.roll(1, 0)
    before = (x @ poor.T).argmax(1) == y
    found = zeroshot.mixture(x, poor, pull=0.5)  # few features: the names pull hard
    after = found.log_probabilities(x).argmax(1) == y
    assert after.float().mean() > 0.97 > before.float().mean()
    torch.testing.assert_close(found.shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    labels = torch.where(torch.arange(300) < 150, y, -1)
    turned = zeroshot.mixture(x, t.roll(1, 0), labels, pull=0.0).log_probabilities(x).argmax(1) == y
    assert turned.float().mean() > 0.97


def test_a_model_learns_from_rows_without_labels(tmp_path):
    x, y, t = rows(300, noise=0.5)
    encoder = encoders.wrap(nn.Identity(), D)
    poor = t + 0.8 * t.roll(1, 0)
    model = zeroshot.fit(encoder, ["a", "b", "c"], vectors=poor, unlabelled=TensorDataset(x, y))
    expected = zeroshot.mixture(x, poor).log_probabilities(x).exp()
    numpy.testing.assert_allclose(model.probabilities(x), expected, atol=1e-4)
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.probabilities(x), model.probabilities(x))
    assert model.card["target label seen"] == "no" and model.card["settings"]["rows"] == 300


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_precision_and_scale_of_rows(dtype, scale):
    x, y, t = rows(120, noise=0.5)
    x = (50 * x).round() if dtype == torch.int64 else x * scale if dtype != torch.float16 else x
    found = zeroshot.mixture(x.to(dtype), t)
    assert found.weight.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert (found.log_probabilities(x.to(dtype)).argmax(1) == y).float().mean() > 0.95


def test_few_rows_and_empty_classes():
    x, y, t = rows(40)
    assert zeroshot.mixture(x[:2], t).log_probabilities(x[:0]).shape == (0, 3)
    many = torch.randn(1000, D, generator=torch.Generator().manual_seed(0))
    found = zeroshot.mixture(x, torch.cat([t, many]))
    assert found.log_probabilities(x).isfinite().all() and found.shares.sum() == pytest.approx(1, abs=1e-5)
    one_kind = zeroshot.mixture(x[y == 0], t)
    assert (one_kind.log_probabilities(x[y == 0]).argmax(1) == 0).all()
    same = zeroshot.mixture(x.T.contiguous().T, t)
    torch.testing.assert_close(same.weight, zeroshot.mixture(x, t).weight)
    assert not zeroshot.mixture(x.requires_grad_(), t).weight.requires_grad
    again = pickle.loads(pickle.dumps(copy.deepcopy(found)))
    assert torch.equal(again.bias, found.bias)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"features": torch.zeros(0, D)}, "`features` must be .n, d. with at least one row"),
        ({"features": torch.ones(4, D)}, "`features` must differ, got 4 equal rows"),
        ({"features": torch.ones(1, D)}, "`features` must differ, got 1 equal rows"),
        ({"features": torch.full((4, D), torch.nan)}, "`features` must be finite, got 4 of 4"),
        ({"features": torch.randn(4, 3)}, "`vectors` must be .classes, d. for at least two"),
        ({"vectors": torch.ones(1, D)}, "at least two classes"),
        ({"vectors": torch.full((2, D), torch.inf)}, "`vectors` must be finite"),
        ({"labels": torch.full((60,), 3)}, "`labels` must be in .0, 3., or -1 where a label is missing, found 3"),
        ({"labels": torch.full((60,), -2)}, "found -2"),
        ({"labels": torch.zeros(60)}, "`labels` must be whole numbers"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, "one class for each row"),
    ],
)
def test_wrong_rows_are_refused(change, match):
    x, _, t = rows()
    with pytest.raises(ValueError, match=match):
        zeroshot.mixture(**{"features": x, "vectors": t} | change)


def on_a_rank(rank: int, world: int) -> list[torch.Tensor]:
    x, _, t = rows()
    model = zeroshot.fit(encoders.wrap(nn.Identity(), D), ["a", "b", "c"], vectors=t, unlabelled=x)
    return [*zeroshot.mixture(x, t), torch.as_tensor(model.probabilities(x))]


def test_two_ranks_equal_one():
    alone, both = on_a_rank(0, 1), run_ranks(on_a_rank, 2)
    for rank in both:
        torch.testing.assert_close(rank, alone, rtol=1e-6, atol=1e-6)
