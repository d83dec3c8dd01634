"""Validators against slow references, against pytorch-adapt's, and where published ones break."""

import math

import numpy
import pytest
import torch
import torch.nn.functional as F

from adapt import select
from adapt.select._class_ami import mutual_information


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blobs(rows=60, classes=3, *, seed=0, shift=0.0, d=4):
    y = torch.arange(rows) % classes
    return normal(rows, d, seed=seed) * 0.3 + 3 * F.one_hot(y, d).double() + shift, y


Z, Y = normal(40, 5, scale=2.0), torch.arange(40) % 5


def probabilities(z):
    return [[math.exp(v) / sum(math.exp(u) for u in row) for v in row] for row in z.tolist()]


def slow_entropy(p):
    return -sum(v * math.log(v) for v in p if v > 0)


def test_confidence_by_hand():
    p = probabilities(Z)
    mean = [sum(column) / len(p) for column in zip(*p, strict=True)]
    rows = sum(slow_entropy(row) for row in p) / len(p)
    assert select.entropy(Z) == pytest.approx(-rows, abs=1e-12)
    assert select.diversity(Z) == pytest.approx(slow_entropy(mean), abs=1e-12)
    assert select.information_maximization(Z) == pytest.approx(slow_entropy(mean) - rows, abs=1e-12)
    nuclear = numpy.linalg.svd(numpy.array(p), compute_uv=False).sum()
    assert select.batch_nuclear_norm(Z) == pytest.approx(nuclear / math.sqrt(40 * 5), abs=1e-9)


def test_density_by_hand():
    p = [numpy.array(row) for row in probabilities(Z)]
    total = 0.0
    for i, a in enumerate(p):
        s = [a @ b / numpy.linalg.norm(a) / numpy.linalg.norm(b) / 0.05 for j, b in enumerate(p) if j != i]
        q = numpy.exp(s - numpy.max(s))
        total += slow_entropy(q / q.sum())
    assert select.soft_neighbourhood_density(Z) == pytest.approx(total / len(p), rel=1e-12)
    assert select.soft_neighbourhood_density(Z, block=7) == pytest.approx(total / len(p), rel=1e-12)


def peers():
    validators = pytest.importorskip("pytorch_adapt.validators")
    z = Z.float()
    target = {"logits": z, "preds": z.softmax(1)}
    return validators, target, target | {"labels": Y}


@pytest.mark.parametrize(
    ("ours", "theirs", "factor"),
    [
        (select.entropy, "EntropyValidator", 1.0),
        (select.diversity, "DiversityValidator", 1.0),
        (select.batch_nuclear_norm, "BNMValidator", math.sqrt(40 / 5)),  # they divide by n
        (select.soft_neighbourhood_density, "SNDValidator", 1.0),
    ],
)
def test_equals_pytorch_adapt(ours, theirs, factor):
    validators, target, _ = peers()
    assert ours(Z) == pytest.approx(factor * getattr(validators, theirs)()(target_train=target), rel=2e-5)


def test_source_accuracy_and_information_equal_pytorch_adapt():
    validators, target, source = peers()
    assert select.source_accuracy(Z, Y) == pytest.approx(validators.AccuracyValidator()(src_val=source), abs=1e-6)
    assert select.information_maximization(Z) == pytest.approx(validators.IMValidator()(target_train=target), rel=2e-5)


@pytest.mark.parametrize(("normalize", "theirs"), [(False, None), (True, "max")])
def test_dev_equals_pytorch_adapt(normalize, theirs):
    peer = pytest.importorskip("pytorch_adapt.validators.deep_embedded_validator")
    w = normal(40, seed=3).exp()
    error = F.cross_entropy(Z, Y, reduction="none")
    expected = peer.get_dev_risk(w[:, None].clone(), error[:, None], theirs)
    assert select.dev(Z, Y, w, loss="cross_entropy", normalize=normalize) == pytest.approx(-expected, rel=1e-10)
    assert select.importance_weighted(Z, Y, w) == pytest.approx(-(w * (Z.argmax(1) != Y)).mean().item(), rel=1e-12)


def test_dev_with_equal_weights_is_the_risk_where_pytorch_adapt_divides_by_zero():
    for value in (1.0, 0.1, 3.7):
        w = torch.full((40,), value)
        risk = (Z.argmax(1) != Y).double().mean().item()
        # the control variate knows that weights should have mean 1, but equal ones have no covariance to use
        assert select.dev(Z, Y, w) == pytest.approx(-value * risk, rel=1e-6)
        assert select.dev(Z, Y, w, normalize=True) == pytest.approx(-risk, rel=1e-6)


def test_mutual_information_equals_scikit_learn():
    from sklearn.metrics import adjusted_mutual_info_score

    g = torch.Generator().manual_seed(1)
    for n, r, c in ((300, 10, 10), (50, 3, 7), (200, 2, 2), (6, 5, 3), (90, 20, 4)):
        a = torch.randint(r, (n,), generator=g)
        b = torch.where(torch.rand(n, generator=g) < 0.5, a % c, torch.randint(c, (n,), generator=g))
        expected = adjusted_mutual_info_score(a.numpy(), b.numpy())
        assert mutual_information(a, b) == pytest.approx(expected, abs=1e-10)
        assert mutual_information(b, a) == pytest.approx(expected, abs=1e-10)


def test_class_ami_is_reproducible_and_collapse_is_not_its_best():
    x, y = blobs()
    right = select.class_ami(x, F.one_hot(y, 3))
    assert right == pytest.approx(1.0) and right == select.class_ami(x, F.one_hot(y, 3))
    assert select.class_ami(x, F.one_hot(y[torch.randperm(60, generator=torch.Generator().manual_seed(0))], 3)) < 0.2
    one_class = torch.tensor([[9.0, 0, 0]]).expand(60, 3)
    assert select.class_ami(x, one_class) == 0 and select.class_ami(torch.ones(60, 4), one_class) == 0
    peer = pytest.importorskip("pytorch_adapt.validators").ClassClusterValidator()
    collapsed = {"features": torch.ones(60, 4), "logits": one_class}
    with pytest.warns(Warning, match="distinct clusters"):
        assert peer(target_train=collapsed) == 1  # why it is not used


def test_density_and_entropy_reward_collapse_and_information_does_not():
    one_class, good = torch.tensor([[30.0, 0, 0]]).expand(60, 3), 8 * F.one_hot(torch.arange(60) % 3, 3).double()
    for deceived in (select.entropy, select.soft_neighbourhood_density):
        assert deceived(one_class) > deceived(good)
    for awake in (select.information_maximization, select.batch_nuclear_norm, select.diversity):
        assert awake(one_class) < awake(good)
    assert select.soft_neighbourhood_density(one_class) == pytest.approx(math.log(59))


def test_weights_are_level_at_equal_clouds_and_right_for_a_known_shift():
    same = select.importance_weights(normal(400, 3, seed=1), normal(300, 3, seed=2))
    assert same.mean().item() == pytest.approx(1, abs=0.1) and select.effective_rows(same) > 350
    s, t = normal(3000, 1, seed=1), normal(2000, 1, seed=2) + 0.7
    truth = (0.7 * s - 0.5 * 0.7**2).exp()[:, 0]  # ratio of two normal densities
    w = select.importance_weights(s, t)
    assert (w.log() - truth.log()).abs().mean() < 0.1 and w.mean().item() == pytest.approx(1, abs=0.1)


def test_weights_of_constant_and_separated_features():
    level = select.importance_weights(torch.zeros(20, 2), torch.zeros(30, 2))
    torch.testing.assert_close(level, torch.ones_like(level), rtol=0.05, atol=0)
    apart = select.importance_weights(normal(50, 2), normal(50, 2) + 100)
    assert apart.isfinite().all() and (apart < 0.2).all() and apart.min() > 0


def test_weighting_moves_the_risk_to_the_target():
    """Right on the left half, wrong on the right half; the target lies right."""
    s, t = normal(2000, 1, seed=1), normal(2000, 1, seed=2) + 1.0
    y = torch.zeros(2000, dtype=torch.int64)
    z = torch.where(s < 0.5, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    target_risk = (t >= 0.5).double().mean().item()
    w = select.importance_weights(s, t)
    plain = 1 - select.source_accuracy(z, y)
    for estimate in (-select.importance_weighted(z, y, w), -select.dev(z, y, w)):
        assert abs(estimate - target_risk) < 0.25 * abs(plain - target_risk)


def test_reverse_validation_finds_the_swap_and_takes_one_class():
    (s, ys), (t, yt) = blobs(seed=1), blobs(seed=2)
    right, swapped = F.one_hot(yt, 3), F.one_hot((yt + 1) % 3, 3)
    assert select.reverse_validation(t, right, s, ys) == 1.0
    assert select.reverse_validation(t, swapped, s, ys) == 0.0
    assert select.reverse_validation(t, torch.tensor([[1.0, 0, 0]]).expand(60, 3), s, ys) == pytest.approx(1 / 3)


def test_votes():
    right = 4.0 * F.one_hot(torch.arange(60) % 3, 3)
    bad = 4.0 * F.one_hot(torch.randint(3, (60,), generator=torch.Generator().manual_seed(0)), 3)
    assert select.ensemble_agreement([right, right, bad])[:2] == [1.0, 1.0]
    assert torch.equal(select.weighted_vote([right, bad, right]), right.argmax(1))
    assert select.seed_agreement([right, right, right]) == 1
    # two bad ones of a share of a tenth each do not outvote one
    assert torch.equal(select.weighted_vote([right, bad, bad], [1.0, 0.1, 0.1]), right.argmax(1))
    assert torch.equal(select.weighted_vote([bad]), bad.argmax(1))


ON_TARGET = [select.entropy, select.diversity, select.information_maximization, select.batch_nuclear_norm]


@pytest.mark.parametrize("score", [*ON_TARGET, select.soft_neighbourhood_density])
def test_any_kind_of_array_one_row_order_and_large_logits(score):
    value = score(Z)
    assert isinstance(value, float)
    assert score(Z.numpy()) == score(Z.tolist()) == value
    assert score(Z.flip(0)) == pytest.approx(value, rel=1e-9)
    assert score(Z.bfloat16()) == pytest.approx(value, rel=0.02)
    assert score(Z.clone().requires_grad_()) == value
    assert math.isfinite(score(1e4 * Z)) and math.isfinite(score(0 * Z))


def test_what_is_refused():
    with pytest.raises(ValueError, match="training has failed"):
        select.entropy([[math.nan, 0.0]])
    with pytest.raises(ValueError, match="at least 2 classes"):
        select.diversity([[1.0]])
    with pytest.raises(ValueError, match="n, classes"):
        select.entropy(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="at least 2 rows"):
        select.soft_neighbourhood_density([[1.0, 0.0]])
    with pytest.raises(ValueError, match="whole numbers"):
        select.source_accuracy(Z, Y.double())
    with pytest.raises(ValueError, match=r"in \[0, 5\)"):
        select.source_accuracy(Z, Y + 1)
    with pytest.raises(ValueError, match="none negative"):
        select.dev(Z, Y, -torch.ones(40))
    with pytest.raises(ValueError, match="`loss`"):
        select.dev(Z, Y, torch.ones(40), loss="hinge")
    with pytest.raises(ValueError, match="same columns"):
        select.importance_weights(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="at least two seeds"):
        select.seed_agreement([Z])
    with pytest.raises(ValueError, match="same target rows"):
        select.ensemble_agreement([Z, Z[1:]])
    with pytest.raises(ValueError, match="same rows"):
        select.class_ami(torch.zeros(3, 2), Z)


def test_global_random_states_are_left_alone():
    x, y = blobs()
    torch_before, numpy_before = torch.get_rng_state(), numpy.random.get_state()[1].copy()
    select.class_ami(x, F.one_hot(y, 3))
    select.importance_weights(x, x + 0.1)
    select.reverse_validation(x, F.one_hot(y, 3), x, y)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (numpy.random.get_state()[1] == numpy_before).all()


# ---- numbers ----


def test_label_distance_is_the_distance_of_sorted_quantiles():
    from scipy.stats import wasserstein_distance

    f, y = normal(70, 2).round(decimals=1), 3 * normal(41, 2, seed=1).round(decimals=1) + 1
    parts = [wasserstein_distance(f[:, k], y[:, k]) / y[:, k].std(correction=0).item() for k in (0, 1)]
    assert select.label_distance(f, y) == pytest.approx(-sum(parts) / 2, rel=1e-12)
    assert select.label_distance(1000 * f, 1000 * y) == pytest.approx(-sum(parts) / 2, rel=1e-12)
    assert select.label_distance(y[:, 0].flip(0), y[:, 0]) == 0, "blind to rows that are exchanged"
    truth = normal(60, seed=3)
    predicted = truth + normal(60, seed=4)
    mae = (predicted - truth).abs().mean() / truth.std(correction=0)
    assert -select.label_distance(predicted, truth) <= mae


def test_reverse_regression_by_hand():
    t, s = normal(50, 3) * torch.tensor([1.0, 10.0, 0.1]) + 2, normal(30, 3, seed=1)
    f, y = normal(50, seed=2), normal(30, seed=3) * 5
    mean, scale = t.mean(0), t.std(0)
    A = ((t - mean) / scale).numpy()
    w = numpy.linalg.solve(A.T @ A + 0.1 * 50 * numpy.eye(3), A.T @ (f.numpy() - f.numpy().mean()))
    found = ((s - mean) / scale).numpy() @ w + f.numpy().mean()
    expected = -numpy.abs(found - y.numpy()).mean() / y.std(correction=0).item()
    assert select.reverse_regression(t, f, s, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_importance_weighted_risks_of_numbers_by_hand(loss):
    f, y, w = normal(20, 2), normal(20, 2, seed=1), normal(20, seed=2).exp()
    rows = [
        sum(abs(a - b) if loss == "absolute_error" else (a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2
        for p, q in zip(f.tolist(), y.tolist(), strict=True)
    ]
    expected = -sum(v * r for v, r in zip(w.tolist(), rows, strict=True)) / 20
    assert select.importance_weighted(f, y, w, loss=loss) == pytest.approx(expected, rel=1e-12)
    weighted = w * torch.tensor(rows, dtype=torch.float64)
    eta = -numpy.cov(weighted, w)[0, 1] / numpy.var(w.numpy(), ddof=1)
    expected = -(weighted.mean().item() + eta * (w.mean().item() - 1))
    assert select.dev(f, y, w, loss=loss) == pytest.approx(expected, rel=1e-9)
    assert select.dev(f[:, 0], y[:, 0], torch.ones(20), loss=loss) < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select.label_distance([1.0, 2.0], [3.0, 3.0]), "must vary"),
        (lambda: select.label_distance([1.0, math.nan], [3.0, 4.0]), "`target_outputs` must be finite"),
        (lambda: select.label_distance(normal(4, 2), normal(4, 3)), "columns"),
        (lambda: select.reverse_regression(normal(5, 2), normal(4), normal(3, 2), normal(3)), "same rows"),
        (lambda: select.dev(normal(3), normal(3), torch.ones(3), loss="mae"), '"absolute_error" or "squared_error"'),
        (lambda: select.importance_weighted(normal(3, 2), normal(3), torch.ones(3), loss="squared_error"), "columns"),
    ],
)
def test_bad_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call()
