"""Inductive few-shot methods: against slow references, peers, and what every method must keep."""

import numpy
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

import losses
from adapt import fewshot
from adapt.fewshot.unknown import largest
from losses.fine_tuning.norm import unit
from tests.adapt.fewshot import references as slow
from tests.adapt.fewshot.episodes import episodes

CENTRE = torch.tensor([0.5, -1.0, 0.0, 2.0, 1.0])
VECTORS = torch.randn(3, 5, generator=torch.Generator().manual_seed(5))
COVARIANCE = torch.randn(5, 9, generator=torch.Generator().manual_seed(6)).double().cov()
METHODS = {
    "centroid": (fewshot.centroid(), slow.slow_centroid, {}),
    "centroid, softer": (fewshot.centroid(temperature=7.0), slow.slow_centroid, {"temperature": 7.0}),
    "cosine": (fewshot.centroid(metric="cosine"), slow.slow_centroid, {"metric": "cosine", "temperature": 0.1}),
    "cl2n": (fewshot.cl2n(), slow.slow_cl2n, {}),
    "cl2n, centre": (fewshot.cl2n(CENTRE, temperature=0.5), slow.slow_cl2n, {"centre": CENTRE, "temperature": 0.5}),
    "ridge": (fewshot.ridge(penalty=0.3, scale=4.0), slow.slow_ridge, {"penalty": 0.3, "scale": 4.0}),
    "logistic": (fewshot.logistic(penalty=0.1), slow.slow_logistic, {"penalty": 0.1}),
    "lda": (fewshot.lda(shrinkage=0.2, unit=False), slow.slow_lda, {"shrinkage": 0.2}),
    "lda, given": (fewshot.lda(covariance=COVARIANCE, unit=False), slow.slow_lda, {"covariance": COVARIANCE}),
}
TOLERANCE = {"logistic": 1e-4}  # both are searches


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("counts", [(1, 2, 3), (4, 4, 4), (1, 1, 1)])
def test_equals_a_slow_reference(name, counts):
    method, reference, options = METHODS[name]
    S, y, Q, _ = episodes(counts=counts)
    expected = slow.in_loop(reference, S, y, Q, **options)
    torch.testing.assert_close(method(S, y, Q), expected, rtol=0, atol=TOLERANCE.get(name, 1e-9))


@pytest.mark.parametrize("weighting", ["equal", "clap"])
def test_a_text_probe_equals_a_slow_reference(weighting):
    options = {"vectors": VECTORS, "scale": 3.0, "pull": 0.5, "weighting": weighting}
    S, y, Q, _ = episodes(counts=(2, 3), names=(0, 2))  # class 1 has no support row
    expected = slow.in_loop(slow.slow_text_probe, S, y, Q, **options)
    torch.testing.assert_close(fewshot.text_probe(**options)(S, y, Q), expected, rtol=0, atol=1e-4)


def test_a_text_probe_starts_from_the_vectors():
    S, y, Q, _ = episodes(names=(0, 1, 2))
    plain = (100 * unit(Q, -1) @ unit(VECTORS).double().T).log_softmax(-1)
    probe = fewshot.text_probe(VECTORS)
    torch.testing.assert_close(probe(S[:, :0], y[:, :0], Q), plain)
    torch.testing.assert_close(fewshot.text_probe(VECTORS, pull=1e6)(S, y, Q), plain, atol=1e-3, rtol=0)
    assert not torch.allclose(probe(S, y, Q), plain, atol=1e-2)


@pytest.mark.parametrize("d", [5, 30])
def test_lda_equals_scikit_learn(d):
    S, y, Q, _ = episodes(batch=1, counts=(5, 5, 5), d=d)
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(S[0], y[0])
    expected = torch.from_numpy(peer.predict_log_proba(Q[0]))
    torch.testing.assert_close(fewshot.lda(shrinkage=0.3, unit=False)(S, y, Q)[0], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("d", [5, 30])
def test_logistic_equals_scikit_learn(d):
    S, y, Q, _ = episodes(batch=1, counts=(4, 5, 6), d=d)
    S, Q = (x / x.norm(dim=-1, keepdim=True) for x in (S, Q))
    peer = LogisticRegression(C=20, tol=1e-10, max_iter=10_000).fit(S[0], y[0])
    expected = torch.from_numpy(peer.predict_log_proba(Q[0]))
    torch.testing.assert_close(fewshot.logistic(penalty=0.05)(S, y, Q)[0], expected, atol=1e-4, rtol=0)


def test_the_centroid_is_the_classifier_that_losses_trains():
    S, y, Q, right = episodes(batch=1, names=(0, 1, 2))
    for metric, T in (("squared_euclidean", 1.0), ("cosine", 0.1)):
        found = fewshot.centroid(metric=metric)(S, y, Q)[0]
        expected = losses.prototypical(Q[0], right[0], S[0], y[0], classes=3, distance=metric, temperature=T)
        torch.testing.assert_close(torch.nn.functional.nll_loss(found, right[0]), expected)


@pytest.mark.parametrize("name", ["centroid, softer", "cl2n", "lda", "lda, given"])
def test_the_largest_logit_is_minus_the_least_distance(name):
    """With the part that is equal for all classes: an unknown row is far from every class."""
    S, y, Q, _ = episodes(batch=1, counts=(2, 3, 2))
    c = {k: S[0][y[0] == k] for k in (3, 7, 40)}
    if name == "cl2n":
        m, T = S[0].mean(0), 0.1
        distance = [((unit(Q[0] - m) - unit(v - m).mean(0)) ** 2).sum(1) / T for v in c.values()]
    elif name == "centroid, softer":
        distance = [((Q[0] - v.mean(0)) ** 2).sum(1) / 7 for v in c.values()]
    else:
        R = torch.cat([v - v.mean(0) for v in c.values()])
        within, g = (R.T @ R / len(R), 0.2) if name == "lda" else (COVARIANCE, 0.5)
        inverse = ((1 - g) * within + g * within.trace() / 5 * torch.eye(5)).inverse()
        distance = [((Q[0] - v.mean(0)) @ inverse * (Q[0] - v.mean(0))).sum(1) / 2 for v in c.values()]
    rule = METHODS[name][0].fit(S[0], y[0])
    torch.testing.assert_close(largest(rule, Q[0]), -torch.stack(distance).amin(0))


ALL = (
    {name: method for name, (method, *_) in METHODS.items()}
    | {"lda, unit": fewshot.lda()}
    | {"text": fewshot.text_probe(VECTORS, scale=5.0)}
)
PLAIN = {name: ALL[name] for name in ALL if name != "text"}


@pytest.mark.parametrize("name", ALL)
def test_episodes_are_computed_apart(name):
    """Also with two leading axes."""
    S, y, Q, _ = episodes(batch=4, names=(0, 1, 2))
    alone = torch.stack([ALL[name](s, label, q) for s, label, q in zip(S, y, Q, strict=True)])
    together = ALL[name](S.reshape(2, 2, *S.shape[1:]), y.reshape(2, 2, -1), Q.reshape(2, 2, *Q.shape[1:]))
    tolerance = 1e-4 if name in ("logistic", "text") else 1e-10  # a search ends where all episodes are done
    torch.testing.assert_close(together.reshape(alone.shape), alone, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_labels_are_names(name):
    """Other numbers in another order permute the columns; the order of support rows changes nothing."""
    S, y, Q, _ = episodes(names=(3, 7, 40))
    other = torch.zeros(41, dtype=torch.int64)
    other[[3, 7, 40]] = torch.tensor([900, 2, 31])
    rows = torch.randperm(y.shape[1], generator=torch.Generator().manual_seed(1))
    found = PLAIN[name](S[:, rows], other[y[:, rows]], Q)
    assert fewshot.classes_of(other[y]).tolist() == [[2, 31, 900]] * 2
    torch.testing.assert_close(found[..., [2, 0, 1]], PLAIN[name](S, y, Q), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_each_query_has_its_own_answer(name):
    S, y, Q, _ = episodes()
    torch.testing.assert_close(PLAIN[name](S, y, Q[:, :1]), PLAIN[name](S, y, Q)[:, :1])
    assert PLAIN[name](S, y, Q[:, :0]).shape == (2, 0, 3)


@pytest.mark.parametrize("name", PLAIN)
def test_one_class(name):
    S, y, Q, _ = episodes(counts=(2,), names=(9,))
    torch.testing.assert_close(PLAIN[name](S, y, Q), torch.zeros(2, 6, 1, dtype=torch.float64))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_computed_in_single_precision(name, dtype):
    S, y, Q, _ = episodes(names=(0, 1, 2))
    S, Q = S.to(dtype), Q.to(dtype)
    found = ALL[name](S, y, Q)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ALL[name](S.double(), y, Q.double()).float(), atol=2e-3, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ALL[name](S, y, Q), found)


@pytest.mark.parametrize("name", PLAIN)
def test_dense_features_of_a_huge_scale(name):
    """exp underflows here without a softmax in log space."""
    S, y, Q, right = episodes(d=5, spread=20.0)
    S, Q = 1e4 * S.float() + 1e5, 1e4 * Q.float() + 1e5
    found = PLAIN[name](S, y, Q)
    assert not found.isnan().any()
    if name in ("centroid", "lda", "cl2n"):
        assert torch.equal(fewshot.classes_of(y).gather(1, found.argmax(-1)), right)


@pytest.mark.parametrize("scale", [1e-14, 1e14])
@pytest.mark.parametrize("name", ["cosine", "cl2n", "ridge", "logistic", "lda, unit"])
def test_the_scale_changes_no_answer_of_rows_of_unit_length(name, scale):
    S, y, Q, _ = episodes()
    found = ALL[name]((scale * S).float(), y, (scale * Q).float())
    torch.testing.assert_close(found, ALL[name](S.float(), y, Q.float()), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_equal_and_zero_rows(name):
    S, y, Q, _ = episodes()
    for x, q in ((torch.zeros_like(S), torch.zeros_like(Q)), (torch.ones_like(S), Q)):
        assert PLAIN[name](x, y, q).exp().isfinite().all()


@pytest.mark.parametrize("name", PLAIN)
def test_a_thousand_classes(name):
    if name == "lda, given":
        return
    generator = torch.Generator().manual_seed(0)
    S = torch.randn(1000, 64, generator=generator)
    options = {"cl2n, centre": fewshot.cl2n(torch.zeros(64)), "logistic": fewshot.logistic(penalty=10.0)}
    found = options.get(name, PLAIN[name])(S, torch.arange(1000), S[:20] + 0.01)
    assert found.argmax(-1).tolist() == list(range(20))


@pytest.mark.parametrize("name", ["centroid", "cosine", "cl2n", "ridge"])
def test_gradients_reach_support_and_queries(name):
    S, y, Q, _ = episodes(batch=1)
    S.requires_grad_(), Q.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, q: PLAIN[name](s, y, q), (S, Q))


@pytest.mark.parametrize("method", [*ALL.values(), fewshot.alpha_tim(), fewshot.pt_map(prior="uniform")], ids=repr)
def test_numbers_that_no_method_can_read_are_refused(method):
    """NaN gave NaN or an error of LAPACK; squares that overflow or vanish gave equal probabilities."""
    S, y, Q, _ = episodes(batch=1, names=(0, 1, 2))
    S, Q = S.float(), Q.float()
    wanted = {torch.nan: "NaN or infinity", torch.inf: "NaN or infinity", 1e25: "divide", 1e-25: "divide"}
    for factor, message in wanted.items():
        wrong = S.clone()
        wrong[0, 0, 0] *= factor
        for s, q, name in ((wrong if factor != 1e-25 else S * factor, Q, "support"), (S, Q * factor, "query")):
            if name == "query" and factor in (1e25, 1e-25) and isinstance(method, fewshot.Inductive):
                continue
            with pytest.raises(ValueError, match=f"`{name}` must .*{message}"):
                method(s, y, q)
    with pytest.raises(ValueError, match=r"\(\.\.\., rows, d\) features"):
        method(S[..., :0], y, Q[..., :0])


@pytest.mark.parametrize("name", ALL)
def test_queries_of_a_huge_scale_are_refused_or_right(name):
    S, y, Q, _ = episodes(batch=1, names=(0, 1, 2))
    S, Q = S.float(), 1e25 * Q.float()
    try:
        found = ALL[name](S, y, Q)
    except ValueError as error:
        assert "`query` must have a largest number" in str(error)
    else:
        assert found.argmax(-1).equal(ALL[name](S.double(), y, Q.double()).argmax(-1))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.uint16, torch.uint32, torch.uint64])
def test_labels_of_every_whole_type(dtype):
    S, y, Q, _ = episodes(counts=(2, 3), names=(0, 1))
    for method in (fewshot.centroid(), fewshot.alpha_tim(steps=2)):
        torch.testing.assert_close(method(S, y.to(dtype), Q), method(S, y, Q))
    assert fewshot.classes_of(y.to(dtype)).tolist() == [[0, 1]] * 2


def test_what_is_no_episode_is_refused():
    S, y, Q, _ = episodes()
    method = fewshot.centroid()
    for wrong, message in [
        ((S[:, :0], y[:, :0], Q), "at least one row"),
        ((S, y.double(), Q), "whole numbers"),
        ((S, -y, Q), "from 0 on"),
        ((S, y[:1], Q), "one class for each support row"),
        ((S, y, Q[..., :4]), "same episodes and the same feature size"),
        ((S, y, Q[:1]), "same episodes"),
        ((S[0, 0], y[0, 0], Q[0, 0]), r"one row is `x\[None\]`"),
        ((S, torch.where(torch.arange(2)[:, None] == 0, y, 3), Q), "same number of classes in every episode"),
    ]:
        with pytest.raises(ValueError, match=message):
            method(*wrong)
    with pytest.raises(TypeError, match="`support` must be a tensor"):
        method(S.numpy(), y, Q)
    with pytest.raises(ValueError, match="below the 3 classes"):
        fewshot.text_probe(VECTORS)(S, y, Q)
    for call in (fewshot.cl2n(CENTRE[:4]), fewshot.lda(covariance=torch.eye(4)), fewshot.text_probe(VECTORS[:, :4])):
        with pytest.raises(ValueError, match="size of the features"):
            call(S, y % 3, Q)
    for make in (
        lambda: fewshot.centroid(metric="euclidean"), lambda: fewshot.text_probe(VECTORS, weighting="x"),
        lambda: fewshot.cl2n(torch.tensor([numpy.nan])), lambda: fewshot.lda(covariance=torch.zeros(2, 3)),
        lambda: fewshot.text_probe(VECTORS[0]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            make()


def test_a_method_is_shown_as_its_call():
    assert repr(fewshot.ridge(penalty=2.0)) == "ridge(penalty=2.0, scale=10.0, centre=None, unit=True)"
    assert repr(fewshot.logistic()) == "logistic(penalty=0.01, centre=None, unit=True)"
    assert repr(fewshot.cl2n(CENTRE)) == "cl2n(centre=(5,), temperature=0.1)"
