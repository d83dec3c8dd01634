"""Transductive few-shot methods: against slow references, easyfsl, and what every method must keep."""

import pytest
import torch
from easyfsl import methods as peer
from easyfsl.methods.utils import compute_prototypes

from adapt import fewshot
from tests.adapt.fewshot import references as slow
from tests.adapt.fewshot.episodes import episodes

UNEVEN = [0.5, 0.3, 0.2]
METHODS = {
    "bd_cspn": (fewshot.bd_cspn(), slow.slow_bd_cspn, {}),
    "bd_cspn, no shift": (fewshot.bd_cspn(shift=False, sharpness=2.0), slow.slow_bd_cspn,
                          {"shift": False, "sharpness": 2.0}),
    "pt_map": (fewshot.pt_map(prior="uniform"), slow.slow_pt_map, {"prior": "uniform"}),
    "pt_map, prior": (fewshot.pt_map(prior=UNEVEN, power=None, unit=False, sharpness=0.1), slow.slow_pt_map,
                      {"prior": UNEVEN, "power": None, "unit_length": False, "sharpness": 0.1}),
    "alpha_tim": (fewshot.alpha_tim(rate=0.01), slow.slow_alpha_tim, {"rate": 0.01}),
    "tim": (fewshot.alpha_tim(alpha=1.0, metric="cosine", conditional=0.1), slow.slow_alpha_tim,
            {"alpha": 1.0, "metric": "cosine", "conditional": 0.1}),
    "label_propagation": (fewshot.label_propagation(), slow.slow_label_propagation, {}),
    "laplacian_shot": (fewshot.laplacian_shot(), slow.slow_laplacian_shot, {}),
}  # fmt: skip
TOLERANCE = {"pt_map": 1e-3, "pt_map, prior": 1e-3}  # iterations end at a relative error of 1e-5
ALL = {name: method for name, (method, *_) in METHODS.items()}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sizes", [((1, 2, 3), 12), ((1, 1, 1), 7), ((2, 2, 2), 1), ((1, 2, 1), 2)])
def test_equals_a_slow_reference(name, sizes):
    """Also one query, and fewer queries than classes."""
    method, reference, options = METHODS[name]
    counts, queries = sizes
    S, y, Q, _ = episodes(counts=counts, queries=queries)
    expected = slow.in_loop(reference, S, y, Q, **options)
    torch.testing.assert_close(method(S, y, Q), expected, rtol=0, atol=TOLERANCE.get(name, 1e-8))


@pytest.mark.parametrize("name", ALL)
def test_episodes_are_computed_apart_and_the_order_of_queries_is_free(name):
    S, y, Q, _ = episodes(batch=4, queries=9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    alone = torch.stack([ALL[name](s, label, q) for s, label, q in zip(S, y, Q[:, order], strict=True)])
    together = ALL[name](S.reshape(2, 2, *S.shape[1:]), y.reshape(2, 2, -1), Q.reshape(2, 2, *Q.shape[1:]))
    tolerance = 1e-3 if "pt_map" in name else 1e-9  # the iterations end where all episodes are done
    torch.testing.assert_close(together.reshape(4, 9, 3)[:, order], alone, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", [name for name in ALL if name != "pt_map, prior"])
def test_labels_are_names(name):
    S, y, Q, _ = episodes(names=(3, 7, 40))
    other = torch.zeros(41, dtype=torch.int64)
    other[[3, 7, 40]] = torch.tensor([900, 2, 31])
    found = ALL[name](S, other[y], Q)
    torch.testing.assert_close(found[..., [2, 0, 1]], ALL[name](S, y, Q), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name in ALL if name != "pt_map, prior"])
def test_one_class_no_query_and_half_precision(name):
    S, y, Q, _ = episodes(counts=(2,), names=(9,))
    torch.testing.assert_close(ALL[name](S, y, Q), torch.zeros(2, 6, 1, dtype=torch.float64))
    S, y, Q, _ = episodes()
    assert ALL[name](S, y, Q[:, :0]).shape == (2, 0, 3)
    S, Q = S.bfloat16(), Q.bfloat16()
    found = ALL[name](S, y, Q)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ALL[name](S.double(), y, Q.double()).float(), atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_dense_features_of_a_huge_scale_and_rows_of_zeros(name):
    S, y, Q, right = episodes(spread=20.0, queries=30)
    S, Q = 1e4 * S.float(), 1e4 * Q.float()
    found = ALL[name](S, y, Q)
    assert not found.isnan().any()
    if name in ("bd_cspn, no shift", "alpha_tim", "tim", "laplacian_shot", "label_propagation"):
        predicted = fewshot.classes_of(y).gather(1, found.argmax(-1))
        assert (predicted == right).double().mean() > 0.9
    assert not ALL[name](torch.zeros_like(S), y, torch.zeros_like(Q)).isnan().any()


@pytest.mark.parametrize("name", [name for name in ALL if name != "pt_map, prior"])
def test_a_thousand_classes(name):
    S = torch.randn(1000, 32, generator=torch.Generator().manual_seed(0)).abs()
    found = ALL[name](S, torch.arange(1000), S[:20] + 0.01)
    assert found.shape == (20, 1000) and not found.isnan().any()
    if name not in ("bd_cspn", "pt_map"):  # both assume the shares of the classes
        assert (found.argmax(-1) == torch.arange(20)).double().mean() > 0.9


# ---- easyfsl, where easyfsl is right, and where easyfsl fails ----


def dense(batch=3, queries=15, d=64):
    """Features from 0 on, as after a ReLU, in single precision."""
    S, y, Q, _ = episodes(batch=batch, counts=(1,) * 5, queries=queries, d=d, names=(0, 1, 2, 3, 4), spread=0.6)
    return (S + 1).abs().float(), y, (Q + 1).abs().float()


def peers(make, S, y, Q):
    found = []
    for s, label, q in zip(S, y, Q, strict=True):
        model = make()
        model.process_support_set(s, label)
        found.append(model(q).detach())
    return torch.stack(found)


def test_same_predictions_as_easyfsl():
    S, y, Q = dense()
    pairs = {
        "centroid": (peer.PrototypicalNetworks, fewshot.centroid()),
        "cosine": (peer.SimpleShot, fewshot.centroid(metric="cosine")),
        "tim": (peer.TIM, fewshot.alpha_tim(alpha=1.0, metric="cosine", temperature=10.0, rate=1e-4, conditional=0.1)),
        "pt_map": (
            lambda: peer.PTMAP(lambda_regularization=1.0),
            fewshot.pt_map(prior="uniform", unit=False, sharpness=1.0),
        ),
    }
    for name, (make, method) in pairs.items():
        theirs, ours = peers(make, S, y, Q), method(S, y, Q)
        assert torch.equal(ours.argmax(-1), theirs.argmax(-1)), name
        if name == "tim":
            torch.testing.assert_close(ours.softmax(-1), (10 * theirs).softmax(-1), atol=1e-4, rtol=0)
        if name == "pt_map":
            torch.testing.assert_close(ours.exp(), theirs, atol=1e-3, rtol=0)


def test_same_prototypes_as_easyfsl_where_support_and_queries_have_one_mean():
    S, y, Q = dense()
    Q = Q - Q.mean(1, keepdim=True) + S.mean(1, keepdim=True)
    theirs = peers(peer.BDCSPN, S, y, Q)
    torch.testing.assert_close(
        fewshot.bd_cspn(sharpness=1.0)(S, y, Q), (theirs / 0.1).log_softmax(-1), atol=1e-4, rtol=0
    )


def test_easyfsl_takes_one_neighbour_less():
    class Plain(peer.LaplacianShot):
        def rectify_prototypes(self, query_features):
            pass

    S, y, Q = dense()
    m = S.mean(1, keepdim=True)
    unit = torch.nn.functional.normalize
    theirs = peers(lambda: Plain(knn=4, lambda_regularization=1.0), unit(S - m, dim=-1), y, unit(Q - m, dim=-1))
    ours = fewshot.laplacian_shot(neighbours=3, smoothing=1.0)(S, y, Q)
    torch.testing.assert_close(ours.exp(), theirs, atol=1e-3, rtol=0)


def test_labels_of_any_number_which_give_nan_in_easyfsl():
    S, y, Q = dense()
    assert compute_prototypes(S[0, :2], torch.tensor([3, 7])).isnan().all()
    for method in (fewshot.centroid(), *ALL.values()):
        if method is not ALL["pt_map, prior"]:
            assert method(S[:, :2], torch.tensor([[3, 7]] * 3), Q).isfinite().all()


def test_fewer_queries_than_classes_and_dense_features_which_fail_in_easyfsl():
    S, y, Q = dense()
    assert peers(peer.PTMAP, S, y, Q[:, :3]).isnan().any()
    found = fewshot.pt_map(prior="uniform", unit=False)(S, y, Q[:, :3])
    torch.testing.assert_close(found.exp().sum(1), torch.full((3, 5), 3 / 5), atol=1e-3, rtol=0)
    far = 100 * S, y, 100 * (S + 0.3)
    assert peers(peer.PTMAP, *far).argmax(-1).tolist() == [[0] * 5] * 3, "exp underflows: every answer is class 0"
    assert torch.equal(fewshot.classes_of(y).gather(1, fewshot.pt_map(prior="uniform", unit=False)(*far).argmax(-1)), y)


def test_queries_one_at_a_time_have_other_answers():
    """So the set of queries is an argument, and a single query is not moved onto the mean of the support."""
    S, y, Q, right = episodes(batch=1, counts=(3, 3, 3), queries=30, spread=3.0)
    method = fewshot.bd_cspn()
    alone = torch.cat([method(S, y, Q[:, i : i + 1]) for i in range(30)], 1)
    assert not torch.allclose(alone, method(S, y, Q), atol=1e-2)
    assert (fewshot.classes_of(y)[0][alone.argmax(-1)] == right).double().mean() > 0.9


def test_the_shares_of_the_classes_are_kept():
    S, y, Q, _ = episodes(queries=20)
    for method, shares in ((ALL["pt_map"], [1 / 3] * 3), (ALL["pt_map, prior"], UNEVEN)):
        found = method(S, y, Q).exp().mean(1)
        torch.testing.assert_close(found, torch.tensor([shares] * 2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_more_columns_than_rows_take_the_other_way_to_the_same_answers():
    S, y, Q, _ = episodes(queries=9)
    method, more = ALL["pt_map, prior"], torch.zeros(2, 9, 40, dtype=torch.float64)
    wide = method(torch.cat([S, more[:, :6]], -1), y, torch.cat([Q, more], -1))
    torch.testing.assert_close(wide, method(S, y, Q), atol=1e-9, rtol=0)


def test_every_alpha_is_computed():
    """Close to 1 the slope of the entropy cancels; below 1 the slope has no end where a probability goes to 0."""
    S, y, Q, _ = (x.float() if x.is_floating_point() else x for x in episodes())
    shannon = fewshot.alpha_tim(alpha=1.0, rate=0.05)(S, y, Q)
    torch.testing.assert_close(fewshot.alpha_tim(alpha=1 + 1e-7, rate=0.05)(S, y, Q), shannon, atol=1e-3, rtol=0)
    torch.testing.assert_close(fewshot.alpha_tim(alpha=1 - 1e-7, rate=0.05)(S, y, Q), shannon, atol=1e-3, rtol=0)
    for alpha in (0.01, 0.5, 20.0):
        assert fewshot.alpha_tim(alpha=alpha, temperature=1000.0)(S, y, Q).isfinite().all()


def test_a_prior_of_every_kind():
    S, y, Q, _ = episodes()
    expected = ALL["pt_map"](S, y, Q)
    for prior in (torch.ones(3, requires_grad=True), torch.ones(3).numpy(), (2, 2, 2)):
        found = fewshot.pt_map(prior=prior)(S, y, Q)
        torch.testing.assert_close(found, expected)
        assert not found.requires_grad


def test_what_is_no_option_is_refused():
    S, y, Q, _ = episodes()
    for make in (
        lambda: fewshot.pt_map(prior="flat"), lambda: fewshot.pt_map(prior=[0.5, 0.0]),
        lambda: fewshot.pt_map(prior=[0.5, 0.5])(S, y, Q), lambda: fewshot.alpha_tim(metric="x"),
        lambda: fewshot.bd_cspn()(S, -y, Q), lambda: fewshot.pt_map(prior=None), lambda: fewshot.pt_map(prior=3.0),
        lambda: fewshot.pt_map(prior=[1.0, torch.inf]), lambda: fewshot.pt_map(prior=[]),
        lambda: fewshot.pt_map(prior=torch.ones(2, 3)), lambda: fewshot.pt_map(prior=["a", "b"]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must (be|have)"):
            make()
    assert repr(fewshot.bd_cspn()) == "bd_cspn(sharpness=10.0, shift=True, temperature=0.1)"
