"""Classical baselines: equal to skada by hand, to the formulas where skada differs, and blind to target labels."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from adapt.bridges import skada as classical

skada = pytest.importorskip("skada")
import sklearn  # noqa: E402
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402

sklearn.set_config(enable_metadata_routing=False)  # as it is before skada is imported


def clouds(n=70, m=50, d=8, seed=0):
    """Three classes named -3, 2 and 7; the target is stretched and moved."""
    g = torch.Generator().manual_seed(seed)
    centres = 1.2 * torch.randn(3, d, generator=g)
    y, hidden = torch.randint(3, (n,), generator=g), torch.randint(3, (m,), generator=g)
    source = centres[y] + torch.randn(n, d, generator=g)
    target = (centres[hidden] + torch.randn(m, d, generator=g)) * torch.linspace(0.5, 2, d) + 0.5
    return source, 5 * y - 3, target, 5 * hidden - 3


def variance(source, target):
    return 0.5 * sum(x.double().var(0, unbiased=False).mean().item() for x in (source, target))


def by_hand(adapter, source, labels, target, estimator=None):
    X = np.concatenate([source.double().numpy(), target.double().numpy()])
    y = np.concatenate([(labels.numpy() + 3) // 5, np.full(len(target), -1)])
    domain = np.array([1] * len(source) + [-2] * len(target))
    final = estimator or LogisticRegression(max_iter=1000)
    with sklearn.config_context(enable_metadata_routing=True):
        if hasattr(adapter, "compute_weights"):
            final = final.set_fit_request(sample_weight=True)
        pipe = skada.make_da_pipeline(adapter, final).fit(X, y, sample_domain=domain)
        return torch.from_numpy(pipe.predict(X[len(source) :])) * 5 - 3


@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        ("coral", lambda: skada.CORALAdapter()),
        ("subspace_alignment", lambda: skada.SubspaceAlignmentAdapter(n_components=3)),
        ("linear_ot", lambda: skada.LinearOTMappingAdapter(reg=1e-3 * variance(*clouds()[::2]))),
        ("density_reweighting", lambda: skada.DensityReweightAdapter()),
    ],
)
def test_equals_skada_by_hand(name, adapter):
    source, labels, target, _ = clouds()
    found = classical.run([name], source, labels, target, components=3)[name]
    assert torch.equal(found, by_hand(adapter(), source, labels, target))
    assert found.dtype == labels.dtype and set(found.tolist()) == {-3, 2, 7}
    plain = classical.run(["source_only"], source, labels, target)["source_only"]
    assert not torch.equal(found, plain), "the method did nothing"


def test_source_only_is_the_estimator():
    source, labels, target, _ = clouds()
    fitted = LogisticRegression(max_iter=1000).fit(source.double().numpy(), labels.numpy())
    assert torch.equal(
        classical.run(["source_only"], source, labels, target)["source_only"],
        torch.from_numpy(fitted.predict(target.double().numpy())),
    )


def test_tca_is_the_solution_of_its_equation():
    """Eigenvectors of (X' L X + 0.1 I)^-1 X' H X with the matrices written out, by a solver without symmetry."""
    source, labels, target, _ = clouds()
    n, m, k = len(source), len(target), 3
    X = torch.cat([source, target]).double().numpy()
    e = np.array([1 / n] * n + [-1 / m] * m)[:, None]
    L, H = e @ e.T / np.linalg.norm(e @ e.T), np.eye(n + m) - 1 / (n + m)
    A = X.T @ L @ X + 0.1 * np.eye(X.shape[1])
    values, vectors = np.linalg.eig(np.linalg.inv(A) @ X.T @ H @ X)
    W = np.real(vectors[:, np.argsort(-np.real(values))[:k]])
    W = W / np.sqrt(np.sum(W * (A @ W), axis=0))  # W' A W = I: the classifier's penalty sees the scale
    Z = X @ W
    expected = LogisticRegression(max_iter=1000).fit(Z[:n], labels.numpy()).predict(Z[n:])
    found = classical.run(["tca"], source, labels, target, components=k)["tca"]
    assert torch.equal(found, torch.from_numpy(expected))
    assert not torch.equal(found, classical.run(["source_only"], source, labels, target)["source_only"])


@pytest.mark.data
@pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="ADAPT_DATA names no folder of data")
def test_published_numbers_of_digits():
    """1-NN and TCA of Long et al., Transfer Feature Learning with Joint Distribution Adaptation, 2013."""
    file = Path(os.environ["ADAPT_DATA"], "mnist_usps_jda", "mnist_usps_jda.npz")
    if not file.exists():
        pytest.skip(f"{file} is not there")
    data = np.load(file)
    rows = {name: torch.nn.functional.normalize(torch.tensor(data[f"x_{name}"]).double()) for name in ("mnist", "usps")}
    labels = {name: torch.tensor(data[f"y_{name}"]).long() for name in rows}
    published = {("usps", "mnist"): (44.70, 51.05), ("mnist", "usps"): (65.94, 56.28)}
    for (source, target), expected in published.items():
        found = classical.run(
            ["source_only", "tca"], rows[source], labels[source], rows[target], estimator=KNeighborsClassifier(1)
        )
        accuracy = tuple(round(100 * (v == labels[target]).double().mean().item(), 2) for v in found.values())
        assert accuracy == expected


def test_discriminator_weighs_with_the_ratio_of_the_densities():
    source, labels, target, _ = clouds()
    X = torch.cat([source, target]).double().numpy()
    n = len(source)
    p = LogisticRegression().fit(X, np.arange(len(X)) >= n).predict_proba(X[:n])
    w = p[:, 1] / p[:, 0]
    fitted = LogisticRegression(max_iter=1000).fit(X[:n], labels.numpy(), sample_weight=w / w.mean())
    found = classical.run(["discriminator_reweighting"], source, labels, target)["discriminator_reweighting"]
    assert torch.equal(found, torch.from_numpy(fitted.predict(X[n:])))
    assert not torch.equal(found, by_hand(skada.DiscriminatorReweightAdapter(), source, labels, target))


@pytest.mark.parametrize("name", ["discriminator_reweighting", "density_reweighting"])
def test_reweighting_follows_a_covariate_shift(name):
    """A line fitted to a parabola: flat on the source around 0, rising where the target lies."""
    g = torch.Generator().manual_seed(0)
    source = torch.randn(3000, 1, generator=g)
    target = 1 + torch.randn(1000, 1, generator=g)
    found = classical.run(["source_only", name], source, source[:, 0] ** 2, target, estimator=Ridge(1e-6))
    error = {k: (v - target[:, 0] ** 2).square().mean().item() for k, v in found.items()}
    assert found[name].dtype == torch.float32
    assert error[name] < 0.6 * error["source_only"]  # its best line has 2/7


@pytest.mark.parametrize("name", ["coral", "linear_ot", "subspace_alignment"])
def test_mapping_follows_a_linear_shift(name):
    g = torch.Generator().manual_seed(0)
    y, hidden = torch.randint(2, (300,), generator=g), torch.randint(2, (300,), generator=g)
    axis = torch.tensor([[1.0, 0.3, 0.0, 0.0]])
    source = (4 * y[:, None] - 2) * axis + 0.4 * torch.randn(300, 4, generator=g)
    target = ((4 * hidden[:, None] - 2) * axis + 0.4 * torch.randn(300, 4, generator=g)) + 3
    found = classical.run(["source_only", name], source, y, target)
    score = {k: (v == hidden).float().mean().item() for k, v in found.items()}
    assert score["source_only"] < 0.7 and score[name] > 0.95


class Spy(ClassifierMixin, BaseEstimator):
    """Remembers what it was fitted on."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        Spy.seen.append((len(X), sorted(set(y.tolist()))))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def test_no_mask_reaches_the_estimator_and_no_label_of_the_target_exists():
    source, labels, target, _ = clouds()
    Spy.seen.clear()
    classical.run(classical.METHODS, source, labels, target, estimator=Spy())
    assert Spy.seen == [(len(source), [0, 1, 2])] * len(classical.METHODS)
    X, y, sample_domain, classes = classical.to_skada(source, labels, target)
    assert (y[len(source) :] == -1).all() and (sample_domain[len(source) :] < 0).all()
    assert torch.equal(classes[y[: len(source)]], labels) and X.dtype == np.float64
    _, numbers, _, none = classical.to_skada(source, labels.double(), target)
    assert np.isnan(numbers[len(source) :]).all() and none is None


def test_changes_nothing_around_it():
    source, labels, target, _ = clouds()
    source.requires_grad_()
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), source.clone(), labels.clone()
    estimator = LogisticRegression(C=0.5)
    one, two = (classical.run(classical.METHODS, source, labels, target, estimator=estimator) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in classical.METHODS)
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])
    assert torch.equal(source, before[2]) and torch.equal(labels, before[3])
    assert not sklearn.get_config()["enable_metadata_routing"] and not hasattr(estimator, "classes_")


def test_few_rows_many_features_and_two_classes():
    source, labels, target, _ = clouds(n=7, m=4, d=30)
    found = classical.run(classical.METHODS, source.bfloat16(), (labels > 0).int(), target.bfloat16())
    assert all(v.shape == (4,) and v.dtype == torch.int32 for v in found.values())


def test_adapters_of_ones_own():
    source, labels, target, _ = clouds()
    found = classical.run({"mine": skada.KMMReweightAdapter(), "plain": None}, source, labels, target)
    assert set(found) == {"mine", "plain"}


def test_bad_input_is_said_at_the_door():
    source, labels, target, _ = clouds()
    with pytest.raises(ValueError, match=r"must be \(n, d\) and \(m, d\), got \(70, 8\) and \(50, 7\)"):
        classical.run(["coral"], source, labels, target[:, :7])
    with pytest.raises(ValueError, match=r"must be \(70,\), one label per row of the source, got \(69,\)"):
        classical.run(["coral"], source, labels[1:], target)
    with pytest.raises(ValueError, match="names among source_only, coral"):
        classical.run(["corral"], source, labels, target)
    with pytest.raises(ValueError, match="must be a list of names"):
        classical.run("coral", source, labels, target)
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no `sample_weight`"):
        classical.run(["density_reweighting"], source, labels, target, estimator=KNeighborsClassifier())
    with pytest.raises(ValueError, match="at least two rows, got 70 of the source and 1"):
        classical.run(["coral"], source, labels, target[:1])
    with pytest.raises(ValueError, match="`components` must be between 1 and 49"):
        classical.run(["tca"], source, labels, target, components=50)
